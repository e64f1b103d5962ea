"""predict.py and verify.py as a device runs them: other packages than numpy and onnxruntime cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.data.contract import normalise
from edgekd.release.bundle import build_bundle
from edgekd.release.device.predict import Model, UnusableError, load_manifest

from .conftest import CONTRACT, logits_of

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


def run(bundle: Path, program: str, *arguments: object, cwd: Path, without: str = "PIL"):
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


def label(pixels: np.ndarray) -> tuple[str, float]:
    logits = logits_of(pixels.reshape(1, 4, 3, 1))[0].astype(float)
    shares = np.exp(logits) / np.exp(logits).sum()
    return CONTRACT.classes[int(logits.argmax())], float(shares.max())


def test_verify_says_ok_and_leaves_the_bundle_as_it_was(bundle, elsewhere):
    first, second = (run(bundle, "verify.py", cwd=elsewhere) for _ in range(2))

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("ok: 7 files, golden images agree under ONNX Runtime ")
    assert second.returncode == 0
    assert not list(bundle.rglob("__pycache__"))


def test_verify_names_every_problem_and_ends_in_1(bundle, elsewhere):
    (bundle / "MODEL_CARD.md").unlink()
    (bundle / "extra").touch()
    done = run(bundle, "verify.py", cwd=elsewhere)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: MODEL_CARD.md: missing\nerror: extra: not of this bundle\n"


def test_verify_of_a_damaged_manifest_is_one_line(bundle, elsewhere):
    (bundle / "manifest.json").write_text('{"schema": 1, "files": {}}')
    done = run(bundle, "verify.py", cwd=elsewhere)

    assert done.returncode == 1
    assert done.stderr.startswith("error: the manifest is damaged")
    assert done.stderr.count("\n") == 1


def test_predict_gives_label_and_confidence_of_every_kind_of_file_that_needs_nothing_more(bundle, elsewhere):
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


def test_predict_reads_png_with_pillow_and_says_so_without(bundle, elsewhere):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(6).integers(0, 256, size=(4, 3), dtype=np.uint8)
    image.fromarray(pixels).save(elsewhere / "a.png")

    with_pillow = run(bundle, "predict.py", "a.png", cwd=elsewhere, without="nothing")
    without = run(bundle, "predict.py", "a.png", cwd=elsewhere)

    best, share = label(pixels)
    assert with_pillow.stdout == f"a.png\t{best}\t{share:.4f}\n"
    assert without.returncode == 2
    assert "needs Pillow (python3 -m pip install pillow)" in without.stderr


@pytest.mark.parametrize("missing", ["numpy", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(missing, bundle, elsewhere):
    done = run(bundle, "predict.py", "a.npy", cwd=elsewhere, without=missing)

    assert done.returncode == 1
    assert f"error: {missing} is not installed" in done.stderr
    assert "pip install numpy onnxruntime" in done.stderr
    assert "Traceback" not in done.stderr


BAD_IMAGES = {
    "missing.npy": None,
    "text.npy": b"hello",
    "text.pgm": b"hello",
    "ascii.pgm": b"P2\n3 4\n255\n",
    "deep.pgm": b"P5 3 4 65535\n" + bytes(24),
    "short.pgm": b"P5 3 4 255\n" + bytes(11),
    "words.pgm": b"P5 three 4 255\n" + bytes(12),
    "huge.ppm": b"P6 99999999 99999999 255\n" + bytes(12),
    "comment.pgm": b"P5 # no end",
    "wide.pgm": b"P5 5 4 255\n" + bytes(20),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_an_image_that_cannot_be_used_is_one_line(name, bundle, tmp_path):
    if BAD_IMAGES[name] is not None:
        (tmp_path / name).write_bytes(BAD_IMAGES[name])

    with pytest.raises(UnusableError, match=name) as caught:
        Model(bundle, load_manifest(bundle)).read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_floats_are_no_pixels(bundle, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 3), np.float32))

    with pytest.raises(UnusableError, match=r"expected uint8 pixels .*, found float32"):
        Model(bundle, load_manifest(bundle)).read(tmp_path / "a.npy")


def test_colour_becomes_the_grey_that_pillow_makes(bundle, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(7).integers(0, 256, size=(4, 3, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)

    grey = Model(bundle, load_manifest(bundle)).read(tmp_path / "a.npy")
    np.testing.assert_array_equal(grey[..., 0], np.asarray(image.fromarray(pixels).convert("L")))


def test_preprocessing_is_bit_for_bit_that_of_training(inputs, bundle):
    model = Model(bundle, load_manifest(bundle))

    expected = normalise(inputs.golden_images, CONTRACT.image)
    np.testing.assert_array_equal(model.preprocessed(inputs.golden_images), expected)


def test_preprocessing_treats_every_colour_by_its_own_mean_and_std(bundle):
    manifest = load_manifest(bundle)
    manifest["contract"]["inputs"][0] |= {"channels": 3, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 0.125]}
    pixels = np.random.default_rng(8).integers(0, 256, size=(2, 4, 3, 3), dtype=np.uint8)

    made = Model(bundle, manifest).preprocessed(pixels)
    expected = ((pixels / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 0.125]).transpose(0, 3, 1, 2)
    assert (made.dtype, made.shape) == (np.float32, (2, 3, 4, 3))
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_session_settings_that_ship_take_effect(bundle):
    manifest = load_manifest(bundle)
    manifest["targets"]["local"]["session"] |= {"threads": 2, "optimisation": "basic"}
    options = Model(bundle, manifest).session.get_session_options()

    assert options.intra_op_num_threads == 2
    assert options.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert options.get_session_config_entry("session.use_env_allocators") == "0"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_model_of_a_fixed_batch_answers_any_number_of_images(inputs, fixed_batch_bundle):
    model = Model(fixed_batch_bundle, load_manifest(fixed_batch_bundle))

    for count in (1, 2, 5):
        images = inputs.golden_images[:count]
        np.testing.assert_allclose(model.logits(images), logits_of(images), rtol=1e-5, atol=1e-6)


def test_the_programs_are_in_the_bundle_as_they_are_in_the_package(inputs, tmp_path):
    import edgekd.release.device.predict as source

    build_bundle(inputs, tmp_path / "b")

    assert (tmp_path / "b" / "predict.py").read_bytes() == Path(source.__file__).read_bytes()
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["files"]["predict.py"]
