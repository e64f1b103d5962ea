"""predict.py and verify.py as a device runs them: other packages than numpy and onnxruntime cannot be imported."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.agent import options
from edgekd.config.registry import MODALITIES
from edgekd.data.image_folder import ImageFolder
from edgekd.data.modalities.base import contract_for, feeds_for, source_of
from edgekd.progress import Silent
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.device import predict, verify
from edgekd.release.device.predict import Model, UnusableError
from edgekd.release.verify import load_model, read_manifest

from .conftest import CONTRACT, VECTORS, WEIGHTS, evidence, logits_of, logits_of_rows, shipped_file

DEVICE = """
import runpy, sys

class OnlyWhatADeviceHas:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"edgekd", "pydantic", "onnx", "torch", "scipy", "yaml", "sklearn", *BLOCKED}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, OnlyWhatADeviceHas())
program = sys.argv[2]
sys.argv = sys.argv[2:]
sys.path[0] = program.rpartition("/")[0]
runpy.run_path(program, run_name="__main__")
"""


def run(
    bundle: Path, program: str, *arguments: object, cwd: Path, without: str = "PIL"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DEVICE, without, str(bundle / program), *map(str, arguments)],
        cwd=cwd,
        env={"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "somewhere else"
    folder.mkdir()
    return folder


def here(bundle: Path, target: str | None = None) -> Model:
    return load_model(bundle, read_manifest(bundle), target)


def label(pixels: NDArray[np.uint8], weights: NDArray[np.float32] = WEIGHTS) -> tuple[str, float]:
    logits = logits_of(pixels.reshape(1, 4, 3, 1), weights)[0].astype(float)
    shares = np.exp(logits) / np.exp(logits).sum()
    return CONTRACT.classes[int(logits.argmax())], float(shares.max())


def test_verify_says_ok_and_leaves_the_bundle_as_it_was(bundle: Path, elsewhere: Path) -> None:
    first, second = (run(bundle, "verify.py", cwd=elsewhere) for _ in range(2))

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("ok: 12 files; the golden answers of fp32 are given again under ONNX Runtime ")
    assert second.returncode == 0
    assert not list(bundle.rglob("__pycache__"))


def test_verify_asks_every_model_or_the_one_of_a_target(two_model_bundle: Path, elsewhere: Path) -> None:
    every = run(two_model_bundle, "verify.py", cwd=elsewhere)
    one = run(two_model_bundle, "verify.py", "--target", "spare", cwd=elsewhere)
    wrong = run(two_model_bundle, "verify.py", "--target", "moon", cwd=elsewhere)

    assert "the golden answers of fp32, int8_weights are given again" in every.stdout
    assert "the golden answers of int8_weights are given again" in one.stdout
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "error: the bundle has nothing for target 'moon'; it has local, board, spare\n"


def test_verify_names_every_problem_and_ends_in_1(bundle: Path, elsewhere: Path) -> None:
    (bundle / "MODEL_CARD.md").unlink()
    (bundle / "extra").touch()
    done = run(bundle, "verify.py", cwd=elsewhere)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: MODEL_CARD.md: missing\nerror: extra: not of this bundle\n"


@pytest.mark.parametrize("program", ["predict.py", "inputs.py", "session.py"])
def test_a_changed_program_is_found_and_not_run(program: str, bundle: Path, elsewhere: Path) -> None:
    (bundle / program).write_text("raise SystemExit('run all the same')")
    changed = run(bundle, "verify.py", cwd=elsewhere)
    (bundle / program).unlink()
    missing = run(bundle, "verify.py", cwd=elsewhere)

    assert (changed.returncode, changed.stdout) == (1, "")
    assert changed.stderr.startswith(f"error: {program}: 36 bytes, ")
    assert (missing.returncode, missing.stderr) == (1, f"error: {program}: missing\n")


@pytest.mark.parametrize("program", ["verify.py", "predict.py"])
@pytest.mark.parametrize("foreign", ["numpy", "onnxruntime", "argparse", "json"])
def test_a_foreign_module_beside_a_program_is_not_imported(
    program: str, foreign: str, bundle: Path, elsewhere: Path
) -> None:
    (bundle / f"{foreign}.py").write_text("raise SystemExit('the foreign module was run')")
    np.save(elsewhere / "a.npy", np.zeros((4, 3), np.uint8))
    arguments = ["a.npy"] if program == "predict.py" else []
    # as a user runs it: its own folder comes first among those that Python imports from
    done = subprocess.run(
        [sys.executable, bundle / program, *arguments], cwd=elsewhere, capture_output=True, text=True, check=False
    )

    assert "the foreign module was run" not in done.stderr
    if program == "predict.py":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert (done.returncode, done.stderr) == (1, f"error: {foreign}.py: not of this bundle\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"schema": 2, "files": {}}', "the manifest is damaged: KeyError: 'golden_samples'"),
        ("[]", "the manifest is damaged: TypeError: "),
        ("{", " is not JSON"),
    ],
)
def test_verify_of_a_damaged_manifest_is_one_line(content: str, reason: str, bundle: Path, elsewhere: Path) -> None:
    (bundle / "manifest.json").write_text(content)
    done = run(bundle, "verify.py", cwd=elsewhere)

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_predict_gives_label_and_confidence_of_every_kind_of_file_that_needs_nothing_more(
    bundle: Path, elsewhere: Path
) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, size=(4, 3), dtype=np.uint8)
    np.save(elsewhere / "a.npy", pixels)
    np.save(elsewhere / "b.npy", pixels[..., None])
    (elsewhere / "c.pgm").write_bytes(b"P5 # made by hand\n3 4\n255\n" + pixels.tobytes())
    (elsewhere / "d.ppm").write_bytes(b"P6\n3 4 255\n" + np.repeat(pixels[..., None], 3, axis=2).tobytes())
    names = ["a.npy", "b.npy", "c.pgm", "d.ppm"]
    done = run(bundle, "predict.py", *names, cwd=elsewhere)

    best, share = label(pixels)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{name}\t{best}\t{share:.4f}" for name in names]
    assert not list(bundle.rglob("__pycache__"))


def test_predict_takes_the_model_of_the_target(two_model_bundle: Path, elsewhere: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, size=(4, 3), dtype=np.uint8)
    np.save(elsewhere / "a.npy", pixels)
    answers = {
        target: run(two_model_bundle, "predict.py", "a.npy", "--target", target, cwd=elsewhere).stdout.split("\t")[1]
        for target in ("local", "board", "spare")
    }
    wrong = run(two_model_bundle, "predict.py", "a.npy", "--target", "moon", cwd=elsewhere)

    other = label(pixels, -WEIGHTS)[0]
    assert other != label(pixels)[0]
    assert answers == {"local": label(pixels)[0], "board": other, "spare": other}
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "it has local, board, spare" in wrong.stderr


def test_predict_gives_every_row_of_a_file_a_line(vector_bundle: Path, elsewhere: Path) -> None:
    rows = np.load(vector_bundle / "golden" / "samples.npy")
    lines = [",".join(repr(float(value)) for value in row) for row in rows]
    (elsewhere / "many.csv").write_text("\n".join(["a,b,c,d", *lines]) + "\n")
    (elsewhere / "one.csv").write_text(lines[2] + "\n")
    done = run(vector_bundle, "predict.py", "many.csv", "one.csv", cwd=elsewhere)

    labels = [VECTORS.classes[best] for best in logits_of_rows(rows).argmax(axis=1)]
    assert len(set(labels)) > 1
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        *([f"many.csv:{number}", name] for number, name in enumerate(labels, 1)),
        ["one.csv", labels[2]],
    ]


def test_a_file_that_cannot_be_used_is_told_before_anything_is_answered(vector_bundle: Path, elsewhere: Path) -> None:
    (elsewhere / "good.csv").write_text("1,2,3,4\n")
    (elsewhere / "short.csv").write_text("1,2,3\n")
    done = run(vector_bundle, "predict.py", "good.csv", "short.csv", cwd=elsewhere)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: cannot read short.csv: line 1 holds 3 numbers, the model takes 4\n"


def test_vectors_verify(vector_bundle: Path, elsewhere: Path) -> None:
    done = run(vector_bundle, "verify.py", cwd=elsewhere)

    assert (done.returncode, done.stderr) == (0, "")


def test_predict_gives_pictures_of_any_size_and_kind_the_answer_that_training_pixels_have(
    inputs: BundleInputs, tmp_path: Path, elsewhere: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    generator = np.random.default_rng(0)
    exif = image.Exif()
    exif[0x0112] = 6
    pixels = generator.integers(0, 256, (21, 34, 4), dtype=np.uint8)
    for label_of in ("cat", "dog"):
        (elsewhere / label_of).mkdir()
    image.fromarray(pixels[..., :3]).save(elsewhere / "cat" / "turned.jpg", exif=exif)
    image.fromarray(pixels).save(elsewhere / "cat" / "clear.png", exif=exif)
    image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(elsewhere / "cat" / "deep.tiff")
    image.fromarray(pixels[..., :3]).quantize(8).save(elsewhere / "dog" / "palette.gif", transparency=2)
    (elsewhere / "dog" / "deep.ppm").write_bytes(b"P6 21 17 65535\n" + generator.bytes(2 * 3 * 21 * 17))
    (elsewhere / "dog" / "plain.pgm").write_bytes(b"P5 34 21 255\n" + pixels[..., 1].tobytes())
    folder = ImageFolder.model_validate(
        {"use": "image_folder", "path": str(elsewhere), "size": [4, 3], "color": "gray", "test": 2}
    )
    data = folder.load(Silent())
    made = contract_for("image", data.train.samples, CONTRACT.classes, data.reading).inputs[0]
    preprocessing = {**made.preprocessing, "mean": [0.25], "std": [0.5]}
    contract = CONTRACT.model_copy(update={"inputs": (made.model_copy(update={"preprocessing": preprocessing}),)})
    build_bundle(replace(inputs, contract=contract), tmp_path / "b")

    trained = [*np.asarray(data.train.samples), *np.asarray(data.test.samples)]
    expected = sorted("\t".join((best, f"{share:.4f}")) for best, share in map(label, trained))
    paths = sorted(elsewhere.glob("*/*.*"))
    done = run(tmp_path / "b", "predict.py", *paths, cwd=elsewhere, without="nothing")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(line.partition("\t")[2] for line in done.stdout.splitlines()) == expected
    few = [path for path in paths if path.suffix in (".pgm", ".ppm")]
    without = run(tmp_path / "b", "predict.py", *few, cwd=elsewhere)
    assert (without.returncode, without.stderr) == (0, "")
    assert set(without.stdout.splitlines()) < set(done.stdout.splitlines())


def test_a_bundle_that_says_nothing_of_transparency_refuses_what_is_transparent(bundle: Path, elsewhere: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.full((4, 3, 4), 255, np.uint8)
    image.fromarray(pixels).save(elsewhere / "opaque.png")
    pixels[0, 0, 3] = 254
    image.fromarray(pixels).save(elsewhere / "clear.png")

    assert run(bundle, "predict.py", "opaque.png", cwd=elsewhere, without="nothing").returncode == 0
    done = run(bundle, "predict.py", "clear.png", cwd=elsewhere, without="nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "it is transparent, and the model's contract does not say what is behind it" in done.stderr


def test_a_files_name_does_nothing_to_the_terminal(bundle: Path, elsewhere: Path) -> None:
    name = "\x1b[31mred\n\t\x9b.npy"
    np.save(elsewhere / name, np.zeros((4, 3), np.uint8))
    odd = os.fsdecode(b"\xff.npy")
    np.save(elsewhere / odd, np.zeros((4, 3), np.uint8))
    answered = run(bundle, "predict.py", name, odd, cwd=elsewhere)
    refused = run(bundle, "predict.py", "\x1b[31mgone.npy", cwd=elsewhere)

    names = [line.split("\t")[0] for line in answered.stdout.splitlines()]
    assert (answered.returncode, answered.stderr) == (0, "")
    assert names == ["\\x1b[31mred\\n\\t\\x9b.npy", "\\udcff.npy"]
    assert refused.stderr.startswith("error: cannot read \\x1b[31mgone.npy: ")


def test_predict_reads_png_with_pillow_and_says_so_without(bundle: Path, elsewhere: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(6).integers(0, 256, size=(4, 3), dtype=np.uint8)
    image.fromarray(pixels).save(elsewhere / "a.png")

    with_pillow = run(bundle, "predict.py", "a.png", cwd=elsewhere, without="nothing")
    without = run(bundle, "predict.py", "a.png", cwd=elsewhere)

    best, share = label(pixels)
    assert with_pillow.stdout == f"a.png\t{best}\t{share:.4f}\n"
    assert without.returncode == 2
    assert "needs Pillow (python3 -m pip install pillow)" in without.stderr


@pytest.mark.parametrize("program", ["predict.py", "verify.py"])
@pytest.mark.parametrize("missing", ["numpy", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    missing: str, program: str, bundle: Path, elsewhere: Path
) -> None:
    arguments = ["a.npy"] if program == "predict.py" else []
    done = run(bundle, program, *arguments, cwd=elsewhere, without=missing)

    assert done.returncode == 1
    assert f"error: {missing} is not installed" in done.stderr
    assert "pip install numpy onnxruntime" in done.stderr
    assert "Traceback" not in done.stderr


BAD_IMAGES = {
    "missing.npy": None,
    "text.npy": b"hello",
    "text.pgm": b"hello",
    "ascii.pgm": b"P2\n3 4\n255\n",
    "deep.pgm": b"P5 3 4 65536\n" + bytes(24),
    "short.pgm": b"P5 3 4 255\n" + bytes(11),
    "words.pgm": b"P5 three 4 255\n" + bytes(12),
    "huge.ppm": b"P6 99999999 99999999 255\n" + bytes(12),
    "comment.pgm": b"P5 # no end",
    "wide.pgm": b"P5 5 4 255\n" + bytes(20),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_an_image_that_cannot_be_used_is_one_line(name: str, bundle: Path, tmp_path: Path) -> None:
    content = BAD_IMAGES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(UnusableError, match=name) as caught:
        here(bundle).read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_floats_are_no_pixels(bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 3), np.float32))

    with pytest.raises(UnusableError, match=r"expected uint8 pixels .*, found float32"):
        here(bundle).read(tmp_path / "a.npy")


def test_colour_becomes_the_grey_that_pillow_makes(bundle: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(7).integers(0, 256, size=(4, 3, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)

    (grey,) = here(bundle).read(tmp_path / "a.npy")
    np.testing.assert_array_equal(grey[..., 0], np.asarray(image.fromarray(pixels).convert("L")))


def test_preprocessing_in_the_bundle_is_that_of_training(inputs: BundleInputs, bundle: Path) -> None:
    module = predict.load_parts(bundle).inputs
    fed = module.feed(inputs.golden_samples, json.loads((bundle / "manifest.json").read_text())["contract"]["inputs"])

    assert module.__file__ == str(bundle / "inputs.py")
    np.testing.assert_array_equal(fed["image"], feeds_for(CONTRACT, inputs.golden_samples)["image"])


def test_session_settings_that_ship_take_effect(inputs: BundleInputs, tmp_path: Path) -> None:
    shipped = inputs.models["fp32"]
    own = shipped_file(shipped.path, shipped.golden_logits, {"session.disable_quant_qdq": "1"})
    target = evidence(
        threads=2, optimisation="basic", options={"session.disable_quant_qdq": "0", "session.use_env_allocators": "0"}
    )
    build_bundle(replace(inputs, models={"fp32": own}, targets={"board": target}), tmp_path / "b")
    found = here(tmp_path / "b").session.get_session_options()

    assert found.intra_op_num_threads == 2
    assert found.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert found.get_session_config_entry("session.use_env_allocators") == "0"
    assert found.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert found.get_session_config_entry("session.disable_quant_qdq") == "1"  # the model's own is over the target's


@pytest.mark.parametrize("of", ["model", "target"])
def test_a_session_option_reaches_the_session_of_the_programs(
    of: str, inputs: BundleInputs, tmp_path: Path, elsewhere: Path
) -> None:
    option = {"session.load_model_format": "ORT"}  # which the file is not, so that the runtime refuses it
    shipped = inputs.models["fp32"]
    if of == "model":
        changed = replace(inputs, models={"fp32": shipped_file(shipped.path, shipped.golden_logits, option)})
    else:
        changed = replace(inputs, targets={"board": evidence(options=option)})
    build_bundle(changed, tmp_path / "b")
    np.save(elsewhere / "a.npy", np.zeros((4, 3), np.uint8))
    predicted = run(tmp_path / "b", "predict.py", "a.npy", cwd=elsewhere)
    verified = run(tmp_path / "b", "verify.py", cwd=elsewhere)

    assert (predicted.returncode, predicted.stdout) == (2, "")
    assert (verified.returncode, verified.stdout) == (1, "")
    for done in (predicted, verified):
        assert done.stderr.splitlines()[-1].startswith("error: ONNX Runtime ")
        assert "cannot load the model" in done.stderr


def test_a_model_of_a_fixed_batch_answers_any_number_of_images(inputs: BundleInputs, fixed_batch_bundle: Path) -> None:
    model = here(fixed_batch_bundle)

    for count in (1, 2, 5):
        images = inputs.golden_samples[:count]
        np.testing.assert_allclose(model.logits(images), logits_of(images), rtol=1e-5, atol=1e-6)


def test_several_inputs_are_fed_by_their_names(tmp_path: Path) -> None:
    from types import SimpleNamespace

    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Sub", ["left", "right"], ["logits"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("left", "right")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "m.onnx")
    manifest = {
        "contract": {"classes": ["a", "b", "c"], "output": "logits", "inputs": []},
        "models": {"m": {"file": "m.onnx", "session": {}}},
        "targets": {"t": {"model": "m", "runtime": evidence().runtime.model_dump()}},
    }
    pair = SimpleNamespace(feed=lambda samples, _: {"right": samples[:, 1], "left": samples[:, 0]})
    model = Model(tmp_path, manifest, "t", predict.Parts(inputs=pair, session=options))
    samples = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)

    np.testing.assert_array_equal(model.logits(samples), samples[:, 0] - samples[:, 1])


def test_the_programs_are_in_the_bundle_as_they_are_in_the_package(inputs: BundleInputs, tmp_path: Path) -> None:
    build_bundle(inputs, tmp_path / "b")
    sources: dict[str, str | Path] = {
        "predict.py": predict.__file__,
        "verify.py": verify.__file__,
        "inputs.py": source_of("image"),
        "session.py": options.__file__,
    }

    files = json.loads((tmp_path / "b" / "manifest.json").read_text())["files"]
    for name, source in sources.items():
        assert (tmp_path / "b" / name).read_bytes() == Path(source).read_bytes()
        assert name in files


@pytest.mark.parametrize("modality", MODALITIES.members)
def test_the_programs_are_in_the_language_of_python_3_9(modality: str) -> None:
    for path in (predict.__file__, verify.__file__, source_of(modality), options.__file__):
        ast.parse(Path(path).read_text(encoding="utf-8"), feature_version=(3, 9))


def test_a_bundle_that_was_moved_still_works(bundle: Path, tmp_path: Path, elsewhere: Path) -> None:
    shutil.move(bundle, tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")

    for folder in ("moved", "link"):
        assert run(tmp_path / folder, "verify.py", cwd=elsewhere).returncode == 0
