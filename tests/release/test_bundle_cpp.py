# ruff: noqa: F401, F811 - fixtures of other folders
"""predict.cpp: compiled as its first lines say, and run beside predict.py on the same files."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from pydantic import JsonValue

from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import run_onnx
from edgekd.records.contract import InputSpec
from edgekd.records.runtime import Optimisation
from edgekd.release.bundle import BundleInputs, ShippedFile, build_bundle
from edgekd.release.verify import read_manifest, verify
from tests.graph.conftest import Digits, digits, fp32, network

from .conftest import CONTRACT, evidence, save_model, shipped_file
from .test_cpp import AWKWARD
from .toolchain import Toolchain, compiled, compiler, run, toolchain

USAGE = "usage: predict FILE [MODEL] [--target NAME]\n"
LAST_DIGIT = 1.01e-4  # two libraries' exp() may round a confidence to neighbours


@pytest.fixture(params=["int8_qdq", "int8_weights"])
def digits_bundle(
    request: pytest.FixtureRequest, inputs: BundleInputs, fp32: Path, digits: Digits, tmp_path: Path
) -> Path:
    """Of a network that learned the digits: in 8 bits, or with 8-bit weights and a session option."""
    scheme = {"int8_qdq": Int8Qdq(use="int8_qdq"), "int8_weights": Int8Weights(use="int8_weights")}[request.param]
    model = tmp_path / "made.onnx"
    made = make_candidate(scheme, fp32, digits.train, model)
    golden = digits.images[-20:]
    shipped = ShippedFile(
        path=model, scheme=request.param, made=made, onnxruntime=onnxruntime.__version__,
        golden_logits=run_onnx(model, {"image": digits.inputs[-20:]}, made.session),
    )  # fmt: skip
    bare = evidence(request.param).model_copy(update={"accuracy": None})
    build_bundle(
        replace(
            inputs, contract=digits.contract, models={request.param: shipped}, targets={"local": bare},
            golden_samples=golden,
        ),
        tmp_path / "digits",
    )  # fmt: skip
    return tmp_path / "digits"


def netpbm(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """pixels: uint8 (H, W, 1 or 3)"""
    height, width, channels = pixels.shape
    path.write_bytes(f"P{5 if channels == 1 else 6}\n{width} {height}\n255\n".encode() + pixels.tobytes())
    return path


def predict_py(bundle: Path, *arguments: Path | str) -> list[str]:
    command = [sys.executable, bundle / "predict.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def assert_same_answer(line: str, expected: str) -> None:
    (path, label, confidence), (as_path, as_label, as_confidence) = line.split("\t"), expected.split("\t")
    assert (path, label) == (as_path, as_label)
    assert re.fullmatch(r"[01]\.\d{4}", confidence)
    assert float(confidence) == pytest.approx(float(as_confidence), abs=LAST_DIGIT)


def test_the_program_answers_as_predict_py_does(toolchain: Toolchain, digits_bundle: Path, tmp_path: Path) -> None:
    golden = np.load(digits_bundle / "golden" / "samples.npy")
    model = digits_bundle / read_manifest(digits_bundle).shipped().file
    images = [netpbm(tmp_path / f"{number}.pgm", pixels) for number, pixels in enumerate(golden)]
    program = toolchain.build(digits_bundle / "predict.cpp", tmp_path / "built")

    expected = predict_py(digits_bundle, *images)
    assert len({line.split("\t")[1] for line in expected}) > 5
    for image, line in zip(images, expected, strict=True):
        status, out, err = run(program, image, model)
        assert (status, err) == (0, "")
        assert_same_answer(out.removesuffix("\n"), line)
    assert verify(digits_bundle) == []


def test_a_files_name_does_nothing_to_the_terminal(toolchain: Toolchain, bundle: Path, tmp_path: Path) -> None:
    program = toolchain.build(bundle / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "\x1b[31mred\n\x9b Käse.pgm", np.zeros((4, 3, 1), np.uint8))

    status, out, err = run(program, image, bundle / "fp32.onnx")
    assert (status, err) == (0, "")
    assert out.startswith(f"{tmp_path}/\\x1b[31mred\\x0a\\x9b Käse.pgm\t")
    assert "\x1b" not in out
    assert out.count("\n") == 1
    status, _, err = run(program, tmp_path / "\x1b[31mgone.pgm", bundle / "fp32.onnx")
    assert (status, err.count("\x1b")) == (2, 0)


def test_awkward_names_do_not_break_the_program(toolchain: Toolchain, inputs: BundleInputs, tmp_path: Path) -> None:
    everything = "".join(AWKWARD)
    contract = CONTRACT.model_copy(update={"classes": (everything, everything[::-1])})
    options = {everything.replace("\0", ""): 'some "value"\\'}
    target = evidence(options=options).model_copy(update={"accuracy": None})
    bundle = tmp_path / "b"
    build_bundle(replace(inputs, name='a"\n\\', contract=contract, targets={everything: target}), bundle)
    program = toolchain.build(bundle / "predict.cpp", tmp_path / "built")
    for number, pixels in enumerate(inputs.golden_samples):
        image = netpbm(tmp_path / f"{number}.pgm", pixels)
        status, out, err = run(program, image, bundle / "fp32.onnx")

        best = inputs.models["fp32"].golden_logits[number].argmax()
        assert (status, err) == (0, "")
        assert out.startswith(f"{image}\t{contract.classes[best]}\t")


SESSIONS: dict[str, dict[str, Any]] = {
    "threads": {"threads": 2, "inter_op_threads": 2, "spinning": True, "options": {}},
    "layout": {"optimisation": "layout"},
    "none": {"optimisation": "none"},
}


@pytest.mark.parametrize("name", SESSIONS)
def test_every_kind_of_session_builds_and_runs(
    name: str, toolchain: Toolchain, inputs: BundleInputs, tmp_path: Path
) -> None:
    build_bundle(replace(inputs, targets={"board": evidence(**SESSIONS[name])}), tmp_path / "b")
    program = toolchain.build(tmp_path / "b" / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", inputs.golden_samples[0])

    status, out, err = run(program, image, tmp_path / "b" / "fp32.onnx")
    assert (status, err) == (0, "")
    assert_same_answer(out.removesuffix("\n"), predict_py(tmp_path / "b", image)[0])


def test_every_level_of_optimisation_is_the_one_of_the_header(
    toolchain: Toolchain, inputs: BundleInputs, tmp_path: Path
) -> None:
    numbers = {"none": 0, "basic": 1, "extended": 2, "layout": 3, "all": 99}
    lines = ["#include <onnxruntime_c_api.h>"]
    for level, number in numbers.items():
        build_bundle(replace(inputs, targets={"board": evidence(optimisation=level)}), tmp_path / level)
        (written,) = re.findall(r"ORT_SEQUENTIAL,\n +(.*),", (tmp_path / level / "model.h").read_text())
        lines.append(f'static_assert({written} == {number}, "{level}");')
    (tmp_path / "levels.cpp").write_text("\n".join(lines) + "\n")

    assert set(numbers) == set(get_args(Optimisation))
    compiled([toolchain.compiler, "-std=c++17", "-I", str(toolchain.include), "-c", "levels.cpp"], tmp_path)


def test_a_model_of_a_fixed_batch_answers_one_image(
    toolchain: Toolchain, inputs: BundleInputs, fixed_batch_bundle: Path, tmp_path: Path
) -> None:
    program = toolchain.build(fixed_batch_bundle / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", inputs.golden_samples[0])

    status, out, _ = run(program, image, fixed_batch_bundle / "fp32.onnx")
    assert status == 0
    assert_same_answer(out.removesuffix("\n"), predict_py(fixed_batch_bundle, image)[0])


@pytest.mark.parametrize("of", ["model", "target"])
def test_a_session_option_reaches_the_session(
    of: str, toolchain: Toolchain, inputs: BundleInputs, tmp_path: Path
) -> None:
    option = {"session.load_model_format": "ORT"}  # which the file is not, so that the runtime refuses it
    shipped = inputs.models["fp32"]
    if of == "model":
        changed = replace(inputs, models={"fp32": shipped_file(shipped.path, shipped.golden_logits, option)})
    else:
        changed = replace(inputs, targets={"board": evidence(options=option)})
    build_bundle(changed, tmp_path / "b")
    program = toolchain.build(tmp_path / "b" / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", inputs.golden_samples[0])

    status, out, err = run(program, image, tmp_path / "b" / "fp32.onnx")
    assert (status, out) == (2, "")
    assert f"error: ONNX Runtime {onnxruntime.__version__}: " in err


def test_each_target_is_answered_with_its_own_model_and_the_first_by_default(
    toolchain: Toolchain, two_models: BundleInputs, two_model_bundle: Path, tmp_path: Path
) -> None:
    program = toolchain.build(two_model_bundle / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", two_models.golden_samples[0])
    answers = {}
    for asked in ((), ("--target", "local"), ("--target", "board"), ("--target", "spare")):
        status, out, err = run(program, *asked, image, folder=two_model_bundle)
        assert (status, err) == (0, "")
        assert run(program, image, *asked, folder=two_model_bundle) == (0, out, "")
        assert_same_answer(out.removesuffix("\n"), predict_py(two_model_bundle, image, *asked)[0])
        answers[asked[-1:]] = out.split("\t")[1]

    assert answers[()] == answers["local",] != answers["board",] == answers["spare",]


def test_a_target_that_the_bundle_has_not_is_told_with_those_that_it_has(
    toolchain: Toolchain, two_models: BundleInputs, two_model_bundle: Path, tmp_path: Path
) -> None:
    program = toolchain.build(two_model_bundle / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", two_models.golden_samples[0])

    assert run(program, image, "--target", "boat", folder=two_model_bundle) == (
        2, "", "error: the bundle has nothing for target 'boat'; it has local, board, spare\n",
    )  # fmt: skip
    assert run(program, image, "--target") == (2, "", USAGE)
    assert run(program, "--target", "board") == (2, "", USAGE)


def test_the_settings_of_a_target_are_those_of_its_session(
    toolchain: Toolchain, two_models: BundleInputs, tmp_path: Path
) -> None:
    refused = {"session.load_model_format": "ORT"}  # which the file is not, so that the runtime refuses it
    targets = {"local": evidence(), "board": evidence("int8_weights", options=refused)}
    build_bundle(replace(two_models, targets=targets), tmp_path / "b")
    program = toolchain.build(tmp_path / "b" / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", two_models.golden_samples[0])

    assert run(program, image, folder=tmp_path / "b")[0] == 0
    status, out, err = run(program, image, "--target", "board", folder=tmp_path / "b")
    assert (status, out) == (2, "")
    assert f"error: ONNX Runtime {onnxruntime.__version__}: " in err


def test_the_batch_is_that_of_the_model_of_a_target(
    toolchain: Toolchain, two_models: BundleInputs, tmp_path: Path
) -> None:
    fixed = tmp_path / "fixed.onnx"
    save_model(fixed, batch=2)
    models = {**two_models.models, "int8_weights": shipped_file(fixed, two_models.models["fp32"].golden_logits)}
    build_bundle(replace(two_models, models=models), tmp_path / "b")
    program = toolchain.build(tmp_path / "b" / "predict.cpp", tmp_path / "built")
    image = netpbm(tmp_path / "image.pgm", two_models.golden_samples[0])

    first = run(program, image, folder=tmp_path / "b")
    assert first[0] == 0
    assert run(program, image, "--target", "board", folder=tmp_path / "b") == first


def test_rows_of_numbers_are_answered_as_predict_py_does(
    toolchain: Toolchain, vector_bundle: Path, tmp_path: Path
) -> None:
    program = toolchain.build(vector_bundle / "predict.cpp", tmp_path / "built")
    rows = np.load(vector_bundle / "golden" / "samples.npy")
    assert len({line.split("\t")[1] for line in predict_py(vector_bundle, vector_bundle / "golden/samples.npy")}) > 1
    for number, row in enumerate(rows):
        path = tmp_path / f"{number}.csv"
        path.write_text("a,b,c,d\n" + ",".join(repr(float(value)) for value in row) + "\n")
        status, out, err = run(program, path, vector_bundle / "fp32.onnx")

        assert (status, err) == (0, "")
        assert_same_answer(out.removesuffix("\n"), predict_py(vector_bundle, path)[0])

    (tmp_path / "short.csv").write_text("1,2,3\n")
    status, out, err = run(program, tmp_path / "short.csv", vector_bundle / "fp32.onnx")
    assert (status, out) == (2, "")
    assert err == f"error: cannot read {tmp_path}/short.csv: line 1 holds 3 numbers, the model takes 4\n"


def test_colour_is_taken_apart_by_channel(toolchain: Toolchain, inputs: BundleInputs, tmp_path: Path) -> None:
    weights = np.random.default_rng(3).normal(size=(12, 2)).astype(np.float32)
    preprocessing: dict[str, JsonValue] = {"mean": [0.1, -0.2, 1e-7], "std": [0.5, 0.25, 3]}
    spec = InputSpec(name="image", shape=(3, 1, 4), preprocessing=preprocessing)
    contract = CONTRACT.model_copy(update={"inputs": (spec,)})
    model = tmp_path / "colour.onnx"
    save_model(model, contract, weights)
    file = shipped_file(model, inputs.models["fp32"].golden_logits)
    build_bundle(replace(inputs, models={"fp32": file}, contract=contract), tmp_path / "b")
    program = toolchain.build(tmp_path / "b" / "predict.cpp", tmp_path / "built")
    for seed in range(5):
        pixels = np.random.default_rng(seed).integers(0, 256, size=(1, 4, 3), dtype=np.uint8)
        path = netpbm(tmp_path / "image.ppm", pixels)
        status, out, _ = run(program, path, tmp_path / "b" / "fp32.onnx")

        assert status == 0
        assert_same_answer(out.removesuffix("\n"), predict_py(tmp_path / "b", path)[0])


NOT_NETPBM = "not a binary PGM or PPM"
BAD_IMAGES = {
    "missing.pgm": (None, "No such file or directory"),
    "empty.pgm": (b"", NOT_NETPBM),
    "text.pgm": (b"hello", NOT_NETPBM),
    "ascii.pgm": (b"P2\n3 4\n255\n", NOT_NETPBM),
    "deep.pgm": (b"P5 3 4 65536\n" + bytes(24), "3 x 4 pixels of 65536 levels"),
    "behind.pgm": (b"# first\nP5 3 4 255\n" + bytes(12), NOT_NETPBM),
    "words.pgm": (b"P5 three 4 255\n" + bytes(12), NOT_NETPBM),
    "negative.pgm": (b"P5 -3 4 255\n" + bytes(12), NOT_NETPBM),
    "beyond.pgm": (b"P5 99999999999999999999 4 255\n" + bytes(12), NOT_NETPBM),
    "comment.pgm": (b"P5 # no end", NOT_NETPBM),
    "endless.pgm": (b"P5 " + b"3" * 100_000, NOT_NETPBM),
    "short.pgm": (b"P5 3 4 255\n" + bytes(11), "the file is cut short"),
    "wide.pgm": (b"P5 5 4 255\n" + bytes(20), "the image is 5x4, the model takes 3x4"),
}


@pytest.fixture(scope="module")
def small_program(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """The program of a bundle, built once."""
    folder = tmp_path_factory.mktemp("small")
    return lambda bundle: next(folder.glob("predict"), None) or toolchain.build(bundle / "predict.cpp", folder)


def test_what_cannot_be_used_is_one_line_and_ends_in_2(
    small_program: Callable[[Path], Path], bundle: Path, tmp_path: Path
) -> None:
    program = small_program(bundle)
    for name, (content, reason) in BAD_IMAGES.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        status, out, err = run(program, tmp_path / name, bundle / "fp32.onnx")
        assert (name, status, out) == (name, 2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert str(tmp_path / name) in err
        assert reason in err

    assert run(program) == (2, "", USAGE)
    assert run(program, tmp_path) == (2, "", f"error: cannot read {tmp_path}: Is a directory\n")


def test_a_header_with_comments_is_read(small_program: Callable[[Path], Path], bundle: Path, tmp_path: Path) -> None:
    pixels = bytes(range(35, 47))  # begins with '#', which is no comment there
    (tmp_path / "a.pgm").write_bytes(b"P5 # made by hand\n#\n3\t4\n# last\n255\n" + pixels)
    status, out, err = run(small_program(bundle), tmp_path / "a.pgm", bundle / "fp32.onnx")

    assert (status, err) == (0, "")
    assert_same_answer(out.removesuffix("\n"), predict_py(bundle, tmp_path / "a.pgm")[0])


def test_a_model_that_cannot_be_used_is_told(
    small_program: Callable[[Path], Path], bundle: Path, inputs: BundleInputs, tmp_path: Path
) -> None:
    image = netpbm(tmp_path / "image.pgm", inputs.golden_samples[0])
    (tmp_path / "text.onnx").write_text("no model")
    save_model(tmp_path / "other.onnx", batch=2)
    reasons = {
        "missing.onnx": "doesn't exist",
        "text.onnx": "Protobuf parsing failed",
        "other.onnx": "invalid dimensions",
    }
    for name, reason in reasons.items():
        status, out, err = run(small_program(bundle), image, tmp_path / name)
        assert (status, out) == (2, "")
        last = err.splitlines()[-1]
        assert last.startswith(f"error: ONNX Runtime {onnxruntime.__version__}: ")
        assert reason in last


def test_a_library_older_than_the_header_is_told(
    toolchain: Toolchain, bundle: Path, inputs: BundleInputs, tmp_path: Path
) -> None:
    include = tmp_path / "include"
    include.mkdir()
    for header in toolchain.include.glob("onnxruntime_*.h"):
        text = re.sub(r"(?m)^#define ORT_API_VERSION \d+", "#define ORT_API_VERSION 9999", header.read_text())
        (include / header.name).write_text(text)
    program = toolchain.build(bundle / "predict.cpp", tmp_path / "built", include)
    image = netpbm(tmp_path / "image.pgm", inputs.golden_samples[0])

    status, out, err = run(program, image, bundle / "fp32.onnx")
    assert (status, out) == (2, "")
    assert (
        f"error: the library is ONNX Runtime {onnxruntime.__version__}, older than the header (API version 9999)" in err
    )
