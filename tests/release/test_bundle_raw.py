# ruff: noqa: F401, F811 - fixtures of other folders
"""A bundle whose file takes pixels as they are and gives the class too: every program of it, and edgekd's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from typer.testing import CliRunner

from edgekd.cli import app
from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import SCHEMES
from edgekd.data.modalities.base import contract_for, feeds_for, shipped_contract
from edgekd.graph.device_form import DeviceForm
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.runtime import run_onnx
from edgekd.records.bundle import Manifest
from edgekd.records.contract import ModelContract
from edgekd.release.bundle import BundleInputs, ShippedFile, build_bundle
from edgekd.release.verify import load_model, read_manifest, verify
from tests.graph.conftest import Digits, digits, fitting, fp32, network

from .conftest import evidence, save_model
from .test_bundle_cpp import assert_same_answer, netpbm, predict_py
from .toolchain import Toolchain, compiler, run, toolchain

Made = Callable[..., Path]


@pytest.fixture
def made(inputs: BundleInputs, tmp_path: Path) -> Made:
    """A bundle of a network's file in a form, and its samples."""

    def bundle(
        fp32: Path, contract: ModelContract, images: NDArray[np.uint8], scheme: str = "fp32", **options: str
    ) -> Path:
        form = DeviceForm(contract, shipped_contract(contract, ExportOptions.model_validate(options)))
        made_by = component_class(SCHEMES, scheme).model_validate(fitting(scheme))
        assert isinstance(made_by, Scheme)
        folder = tmp_path / "-".join([scheme, *options.values()])
        model = folder.with_suffix(".onnx")
        made = make_candidate(made_by, fp32, feeds_for(contract, images), model, form=form)
        golden = images[-20:]
        logits = run_onnx(model, feeds_for(form.shipped, golden), made.session)
        shipped = ShippedFile(model, scheme, made, logits, onnxruntime.__version__)
        target = evidence(scheme).model_copy(update={"accuracy": None})
        content = replace(
            inputs, contract=form.shipped, models={scheme: shipped}, targets={"local": target}, golden_samples=golden
        )
        build_bundle(content, folder)
        return folder

    return bundle


@pytest.mark.parametrize("scheme", SCHEMES.members)
def test_raw_and_float_bundles_give_the_same_answers(made: Made, fp32: Path, digits: Digits, scheme: str) -> None:
    raw = made(fp32, digits.contract, digits.images, scheme, input="raw", output="label")
    floats = made(fp32, digits.contract, digits.images, scheme, input="float")
    models = [load_model(folder, read_manifest(folder)) for folder in (raw, floats)]

    assert verify(raw) == []
    labels = [np.array(each.labels(digits.images)) for each in models]
    logits = models[1].logits(digits.images)
    second, first = np.sort(logits, axis=1)[:, -2:].T
    # of float16: more than rounding to it may change
    clear = first - second > (2e-4 * np.ptp(logits) if scheme == "fp16_weights" else 0)
    assert (labels[0] == labels[1])[clear].all()
    shares = [{line.split("\t")[1] for line in predict_py(each, each / "golden/samples.npy")} for each in (raw, floats)]
    assert shares[0] == shares[1]
    done = subprocess.run([sys.executable, raw / "verify.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (raw / "predict.cpp").read_text() == (floats / "predict.cpp").read_text()


def test_python_makes_no_floats_of_the_pixels(made: Made, fp32: Path, digits: Digits) -> None:
    folder = made(fp32, digits.contract, digits.images, input="raw")
    model = load_model(folder, read_manifest(folder))
    fed = model.inputs.feed(digits.images, model.specs)["image"]

    assert fed.dtype == np.uint8
    assert np.shares_memory(fed, digits.images)


def test_the_program_in_cpp_feeds_bytes(
    toolchain: Toolchain, made: Made, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    folder = made(fp32, digits.contract, digits.images, input="raw", output="label")
    program = toolchain.build(folder / "predict.cpp", tmp_path / "built")
    images = [netpbm(tmp_path / f"{number}.pgm", pixels) for number, pixels in enumerate(digits.images[-20:])]

    for image, line in zip(images, predict_py(folder, *images), strict=True):
        status, out, err = run(program, image, folder / "fp32.onnx")
        assert (status, err) == (0, "")
        assert_same_answer(out.removesuffix("\n"), line)


def test_colour_is_fed_as_it_lies_in_the_file(
    toolchain: Toolchain, made: Made, inputs: BundleInputs, tmp_path: Path
) -> None:
    images = np.random.default_rng(5).integers(0, 256, (30, 1, 4, 3), dtype=np.uint8)
    contract = contract_for("image", images, ("cat", "dog"))
    weights = np.random.default_rng(3).normal(size=(12, 2)).astype(np.float32)
    save_model(tmp_path / "colour.onnx", contract, weights)
    folder = made(tmp_path / "colour.onnx", contract, images, input="raw")
    program = toolchain.build(folder / "predict.cpp", tmp_path / "built")
    expected = feeds_for(contract, images)["image"].reshape(-1, 12) @ weights

    assert read_manifest(folder).contract.shape == (1, 4, 3)  # height, width, channels
    answers = load_model(folder, read_manifest(folder)).logits(images)
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    for pixels in images[:5]:
        path = netpbm(tmp_path / "image.ppm", pixels)
        status, out, _ = run(program, path, folder / "fp32.onnx")
        assert status == 0
        assert_same_answer(out.removesuffix("\n"), predict_py(folder, path)[0])


def test_bench_times_it_from_raw_samples_too(made: Made, fp32: Path, digits: Digits, tmp_path: Path) -> None:
    folder = made(fp32, digits.contract, digits.images, input="raw", output="label")
    command = ["bench", str(folder), "--end-to-end", "--seconds", "1", "--json"]
    done = CliRunner().invoke(app, command)

    assert done.exit_code == 0, done.output
    assert {each["name"] for each in json.loads(done.stdout)["models"]} == {
        folder.name, f"{folder.name} end to end"
    }  # fmt: skip


def test_the_card_says_that_pixels_go_in_as_they_are(made: Made, fp32: Path, digits: Digits) -> None:
    card = (made(fp32, digits.contract, digits.images, input="raw") / "MODEL_CARD.md").read_text()

    assert "`image`: uint8 NCHW, 1 × 8 × 8" in card
    assert "none: pixels as they are; in the file (pixel / 255" in card


def test_a_manifest_that_promises_another_input_is_refused(made: Made, fp32: Path, digits: Digits) -> None:
    folder = made(fp32, digits.contract, digits.images, input="raw")
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    content["contract"]["inputs"][0]["dtype"] = "float32"

    with pytest.raises(ValidationError, match="takes other inputs than the contract says"):
        Manifest.model_validate(content)


def test_a_label_that_is_not_of_the_largest_logit_is_found(
    made: Made, fp32: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(fp32, digits.contract, digits.images, input="raw", output="label")
    monkeypatch.setattr("edgekd.release.device.predict.Model.labels", lambda self, samples: ["9"] * len(samples))

    (problem,) = verify(folder)
    assert "is not that of its largest logit" in problem
