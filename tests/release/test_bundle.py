from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from edgekd.errors import StageError
from edgekd.records.bundle import Manifest
from edgekd.records.model import Execution
from edgekd.release.archive import write_archive
from edgekd.release.bundle import build_bundle
from edgekd.release.verify import read_manifest, verify


def test_a_bundle_holds_what_a_device_needs_and_verifies(bundle):
    names = sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())

    assert names == [
        "MODEL_CARD.md",
        "golden/images.npy",
        "golden/logits.npy",
        "manifest.json",
        "model.onnx",
        "predict.cpp",
        "predict.py",
        "verify.py",
    ]
    assert verify(bundle) == []
    assert verify(bundle, "board") == []


def test_the_manifest_says_what_ships_and_why(bundle, inputs):
    manifest = json.loads((bundle / "manifest.json").read_text())

    assert manifest["schema"] == 1
    assert manifest["outcome"] == "pass"
    assert manifest["contract"]["classes"] == ["cat", "dog|hound"]
    assert manifest["contract"]["inputs"][0]["mean"] == [0.25]
    assert manifest["model"]["opset"] == 18
    assert manifest["model"]["ir_version"] == 8
    assert manifest["model"]["runtime"] == "1.15"
    assert manifest["targets"]["local"]["session"]["threads"] == 1
    assert manifest["targets"]["local"]["accuracy"]["models"]["int8"]["accuracy"]["correct"] == 91
    assert manifest["targets"]["local"]["checks"][0]["outcome"] == "pass"
    assert manifest["source"]["data"] == {"train": "ab" * 32}
    for name, entry in manifest["files"].items():
        content = (bundle / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    assert set(manifest["files"]) == {p.relative_to(bundle).as_posix() for p in bundle.rglob("*.*")} - {"manifest.json"}


def test_the_manifest_on_disk_is_the_one_returned(inputs, tmp_path):
    assert build_bundle(inputs, tmp_path / "b") == read_manifest(tmp_path / "b")


def test_the_same_run_gives_the_same_archive_to_the_byte(inputs, tmp_path):
    for name in ("one", "two"):
        build_bundle(inputs, tmp_path / name)
        write_archive(tmp_path / name, tmp_path / f"{name}.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_quantized_models_may_differ_more_between_processors_than_float_ones(inputs, tmp_path):
    span = float(np.ptp(inputs.golden_logits))
    in_8_bits = Execution(operators={"QGemm": 1}, float_operators={})

    exact = build_bundle(inputs, tmp_path / "float").golden.tolerance
    rounded = build_bundle(replace(inputs, execution=in_8_bits), tmp_path / "int8").golden.tolerance

    assert exact == pytest.approx(0.001 * span, rel=1e-4)
    assert rounded == pytest.approx(0.01 * span, rel=1e-4)


def test_another_file_than_the_measured_one_does_not_ship(inputs, tmp_path):
    inputs.model.write_bytes(inputs.model.read_bytes() + b"\x00")

    with pytest.raises(StageError, match="not the file that was validated and measured"):
        build_bundle(inputs, tmp_path / "b")


def test_a_folder_with_something_in_it_is_not_built_into(inputs, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "other.txt").touch()

    with pytest.raises(StageError, match="not empty"):
        build_bundle(inputs, tmp_path / "b")


def test_the_schema_of_version_1_loads_as_it_was_written(bundle):
    # a golden form: whoever renames a field breaks bundles in the field, and must make schema 2
    fields = {name: sorted(value) for name, value in json.loads((bundle / "manifest.json").read_text()).items()
              if isinstance(value, dict) and name not in ("files", "targets", "source")}  # fmt: skip

    assert fields == {
        "contract": ["classes", "inputs", "output"],
        "golden": ["images", "logits", "onnxruntime", "tolerance"],
        "model": [
            "inputs", "ir_version", "operators", "opset", "outputs", "parameters", "runtime", "sha256", "size_bytes",
        ],
    }  # fmt: skip
    assert sorted(Manifest.model_fields) == [
        "contract", "edgekd", "files", "golden", "model", "model_file", "name", "outcome", "schema_version", "scheme",
        "source", "targets",
    ]  # fmt: skip
