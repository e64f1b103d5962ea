"""Real files of the first schema, as the version before the second wrote them."""

from __future__ import annotations

import json
from pathlib import Path

from edgekd.records.bundle import Manifest
from edgekd.records.candidate import CandidateRecord
from edgekd.records.evaluation import Evaluation
from edgekd.records.exported import ExportedRecord
from edgekd.records.latency import LatencyRecord
from edgekd.records.network import NetworkRecord
from edgekd.records.run import RunRecord
from edgekd.records.schema1 import manifest_from_1, run_from_1

OLD = Path(__file__).parents[1] / "golden" / "schema1"


def test_a_run_of_the_first_schema_says_the_same_in_the_second() -> None:
    old = json.loads((OLD / "run.json").read_text())
    record = RunRecord.model_validate(run_from_1(old))
    assert record.exit_code == 0
    assert list(record.all(NetworkRecord)) == ["teacher", "student"]
    assert record.all(NetworkRecord)["student"].parameters == old["student"]["parameters"]
    assert record.all(ExportedRecord)["teacher"].facts.sha256 == old["exported"]["teacher"]["facts"]["sha256"]
    made = record.all(CandidateRecord)["int8"].file
    assert made is not None
    assert made.facts.size_bytes == old["quantized"]["facts"]["size_bytes"]
    evaluation = record.all(Evaluation)["local"]
    before = old["evaluations"]["local"]
    assert evaluation.models["fp32"].accuracy.correct == before["models"]["student"]["accuracy"]["correct"]
    assert evaluation.pair("int8", "teacher").drop == before["models"]["int8"]["against_teacher"]["drop"]
    assert evaluation.pair("int8", "fp32").drop == before["int8_against_student"]["drop"]
    latency = record.all(LatencyRecord)["local"]
    assert latency.comparison("int8", "teacher").ratio == old["latencies"]["local"]["comparisons"][1]["ratio"]
    assert [each.id for each in record.stages][1:3] == ["train@teacher", "train@student"]


def test_a_run_that_had_reached_nothing_is_read_too() -> None:
    old = json.loads((OLD / "run.json").read_text())
    bare = {key: old[key] for key in old if key not in ("evaluations", "latencies", "instructions", "release")}
    bare |= {"teacher": None, "student": None, "exported": None, "quantized": None, "stages": []}
    record = RunRecord.model_validate(run_from_1(bare))
    assert record.records == {}
    assert record.release is None


def test_a_manifest_of_the_first_schema_names_the_same_files() -> None:
    old = json.loads((OLD / "bundle" / "manifest.json").read_text())
    manifest = Manifest.model_validate(manifest_from_1(old))
    shipped = manifest.shipped()
    assert shipped.file == "model.onnx"
    assert shipped.facts.sha256 == manifest.files["model.onnx"].sha256
    assert manifest.golden_samples in manifest.files
    assert shipped.golden.logits in manifest.files
    assert manifest.contract.inputs[0].shape == (1, 8, 8)
    assert manifest.targets["local"].runtime.threads == 1
