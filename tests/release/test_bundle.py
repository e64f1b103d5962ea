from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.errors import StageError
from edgekd.records.bundle import Manifest
from edgekd.records.model import Execution
from edgekd.release.archive import write_archive
from edgekd.release.bundle import BundleInputs, ShippedFile, build_bundle
from edgekd.release.verify import read_manifest, verify

from .conftest import evidence

PROGRAMS = ["inputs.h", "inputs.py", "model.h", "predict.cpp", "predict.py", "session.py", "verify.py"]


def files_of(bundle: Path) -> list[str]:
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


def computing(inputs: BundleInputs, execution: Execution) -> BundleInputs:
    """The same with its model executed otherwise."""
    shipped = inputs.models["fp32"]
    changed = shipped.made.model_copy(update={"execution": execution})
    return replace(inputs, models={"fp32": replace(shipped, made=changed)})


def test_a_bundle_holds_what_a_device_needs_and_verifies(bundle: Path) -> None:
    models = ["fp32.onnx", "golden/fp32.npy", "golden/samples.npy"]
    assert files_of(bundle) == sorted(["MODEL_CARD.md", "manifest.json", "manifest.schema.json", *models, *PROGRAMS])
    assert verify(bundle) == []
    assert verify(bundle, "board") == []


def test_a_model_is_in_the_bundle_once_however_many_targets_take_it(two_model_bundle: Path) -> None:
    assert [name for name in files_of(two_model_bundle) if name.endswith((".onnx", ".npy"))] == [
        "fp32.onnx", "golden/fp32.npy", "golden/int8_weights.npy", "golden/samples.npy", "int8_weights.onnx",
    ]  # fmt: skip
    manifest = read_manifest(two_model_bundle)
    assert {name: each.model for name, each in manifest.targets.items()} == {
        "local": "fp32",
        "board": "int8_weights",
        "spare": "int8_weights",
    }
    assert manifest.shipped().file == "fp32.onnx"
    assert manifest.shipped("spare").session == {"session.disable_quant_qdq": "1"}
    assert [verify(two_model_bundle, target) for target in (None, "local", "board", "spare")] == [[]] * 4


def test_the_manifest_says_what_ships_and_why(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())

    assert manifest["schema"] == 2
    assert manifest["outcome"] == "pass"
    assert manifest["contract"]["classes"] == ["cat", "dog|hound"]
    assert manifest["contract"]["inputs"][0]["preprocessing"]["mean"] == [0.25]
    assert manifest["models"]["fp32"]["facts"]["opset"] == 18
    assert manifest["models"]["fp32"]["facts"]["ir_version"] == 8
    assert manifest["models"]["fp32"]["facts"]["runtime"] == "1.15"
    assert manifest["targets"]["local"]["runtime"]["threads"] == 1
    assert manifest["targets"]["local"]["accuracy"]["models"]["fp32"]["accuracy"]["correct"] == 91
    assert manifest["targets"]["local"]["checks"][0]["outcome"] == "pass"
    assert manifest["source"]["data"] == {"train": "ab" * 32}
    for name, entry in manifest["files"].items():
        content = (bundle / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    assert set(manifest["files"]) == set(files_of(bundle)) - {"manifest.json"}


def test_every_runtime_setting_is_in_the_manifest(inputs: BundleInputs, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "threads": 3, "inter_op_threads": 2, "affinity": (1, 2), "nice": 5, "memory_limit_mb": 64.5,
        "optimisation": "layout", "provider": "XnnpackExecutionProvider",
    }  # fmt: skip
    build_bundle(replace(inputs, targets={"board": evidence(**settings)}), tmp_path / "b")

    found = json.loads((tmp_path / "b" / "manifest.json").read_text())["targets"]["board"]["runtime"]
    assert found == {
        **settings, "affinity": [1, 2], "spinning": False, "options": {"session.use_env_allocators": "0"},
    }  # fmt: skip


def test_the_manifest_on_disk_is_the_one_returned(two_models: BundleInputs, tmp_path: Path) -> None:
    assert build_bundle(two_models, tmp_path / "b") == read_manifest(tmp_path / "b")


def test_the_same_run_gives_the_same_archive_to_the_byte(two_models: BundleInputs, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_bundle(two_models, tmp_path / name)
        write_archive(tmp_path / name, tmp_path / f"{name}.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_quantized_models_may_differ_more_between_processors_than_float_ones(
    inputs: BundleInputs, tmp_path: Path
) -> None:
    span = float(np.ptp(inputs.models["fp32"].golden_logits))
    in_8_bits = computing(inputs, Execution(operators={"QGemm": 1}, float_operators={}))

    exact = build_bundle(inputs, tmp_path / "float").shipped().golden.tolerance
    rounded = build_bundle(in_8_bits, tmp_path / "int8").shipped().golden.tolerance

    assert exact == pytest.approx(0.001 * span, rel=1e-4)
    assert rounded == pytest.approx(0.01 * span, rel=1e-4)


def test_another_file_than_the_measured_one_does_not_ship(two_models: BundleInputs, tmp_path: Path) -> None:
    path = two_models.models["int8_weights"].path
    path.write_bytes(path.read_bytes() + b"\x00")

    with pytest.raises(StageError, match="int8_weights: other.onnx is not the file that was validated and measured"):
        build_bundle(two_models, tmp_path / "b")


def test_a_target_whose_model_is_not_there_and_a_model_that_no_target_takes_are_refused(
    two_models: BundleInputs, tmp_path: Path
) -> None:
    only_local = {"local": two_models.targets["local"]}
    only_fp32 = {"fp32": two_models.models["fp32"]}
    for wrong in (replace(two_models, targets=only_local), replace(two_models, models=only_fp32)):
        with pytest.raises(StageError, match="those that its targets take differ: int8_weights"):
            build_bundle(wrong, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_answer_for_every_golden_sample_is_asked_for(inputs: BundleInputs, tmp_path: Path) -> None:
    shipped: ShippedFile = inputs.models["fp32"]
    short = replace(shipped, golden_logits=shipped.golden_logits[:-1])

    with pytest.raises(StageError, match="fp32: 4 answers to 5 golden samples"):
        build_bundle(replace(inputs, models={"fp32": short}), tmp_path / "b")


def test_a_folder_with_something_in_it_is_not_built_into(inputs: BundleInputs, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "other.txt").touch()

    with pytest.raises(StageError, match="not empty"):
        build_bundle(inputs, tmp_path / "b")


def test_the_schema_of_version_2_is_written_as_it_was(bundle: Path) -> None:
    # a golden form: whoever renames a field breaks bundles in the field, and must make schema 3
    manifest = json.loads((bundle / "manifest.json").read_text())
    model, target = manifest["models"]["fp32"], manifest["targets"]["local"]

    assert {name: sorted(each) for name, each in manifest.items() if name in ("contract", "source")} == {
        "contract": ["classes", "inputs", "modality", "output"],
        "source": ["data", "pipeline", "seed", "stages"],
    }
    assert sorted(model) == ["facts", "file", "golden", "scheme", "session"]
    assert sorted(model["golden"]) == ["logits", "onnxruntime", "tolerance"]
    assert sorted(model["facts"]) == [
        "inputs", "ir_version", "operators", "opset", "outputs", "parameters", "runtime", "sha256", "size_bytes",
    ]  # fmt: skip
    assert sorted(target) == [
        "accuracy", "checks", "latency", "model", "ort", "outcome", "required_operators", "right", "runtime",
    ]  # fmt: skip
    assert sorted(manifest) == [
        "contract", "edgekd", "files", "golden_samples", "models", "name", "outcome", "schema", "source", "targets",
    ]  # fmt: skip
    assert len(Manifest.model_fields) == len(manifest)
