"""That a pipeline gives the same whether its samples are in memory or stay on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.config.pipeline import load_pipeline
from edgekd.data import repeats
from edgekd.data.modalities import base, image
from edgekd.pipeline.engine import Selection
from edgekd.pipeline.store import Store
from edgekd.progress import Silent
from edgekd.records.arrays import StoredArray, load_arrays
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.run import RunRecord
from edgekd.records.screening import ScreeningRecord
from edgekd.stages import files, session
from edgekd.stages.target_stage import fed_in_parts

PIPELINE = """\
name: small
data: {use: digits, validation: 0.2}
teacher: {model: {use: conv, width: 4, stages: 2}, epochs: 1, min_accuracy: 0}
student: {model: {use: conv, width: 4, stages: 2}}
distill: {epochs: 1, control: false, losses: [{use: kd}]}
quantize: {candidates: [int8_qdq], max_accuracy_drop: 1.0}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, RunRecord]:
    folder.mkdir()
    monkeypatch.setenv("EDGEKD_STORE", str(folder / "store"))
    (folder / "here.yaml").write_text("name: here\ndevice: local\nmeasure: {seconds: 1, screen_seconds: 2}\n")
    (folder / "p.yaml").write_text(PIPELINE)
    loaded = load_pipeline(folder / "p.yaml")
    _, record = session.run_pipeline(loaded, Selection(until="validate"), Silent(), runs=folder / "runs")
    return Store(folder / "store"), record


def artifacts(store: Store, record: RunRecord, stage: str) -> dict[str, Path]:
    (found,) = [each for each in record.stages if each.id == stage]
    return {port: store.path(artifact) for port, artifact in found.outputs.items()}


def test_a_pipeline_gives_the_same_from_disk_as_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = run(tmp_path / "memory", monkeypatch)
    monkeypatch.setattr(files, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(image, "COUNTED_BYTES", 100 * 8 * 8)
    monkeypatch.setattr(repeats, "READ", 100)
    monkeypatch.setattr(base, "fed_at_once", lambda contract, limit_bytes=0: 100)
    read: list[int] = []
    whole = StoredArray.__getitem__

    def counted(self: StoredArray, rows: slice | NDArray[np.int64], /) -> NDArray[np.generic]:
        found = whole(self, rows)
        if found.ndim == 4:
            read.append(len(found))
        return found

    monkeypatch.setattr(StoredArray, "__getitem__", counted)
    disk = run(tmp_path / "disk", monkeypatch)
    assert 0 < max(read) <= 1024, "no split was read whole, which has 1,078 samples"
    for stage, port in (
        *(("data", port) for port in ("train", "validation", "test", "contract")),
        *(("train@teacher", "weights"), ("train@student", "weights"), ("quantize@int8_qdq", "model")),
    ):
        assert artifacts(*memory, stage)[port].read_bytes() == artifacts(*disk, stage)[port].read_bytes(), stage
    expected, found = (load_arrays(artifacts(*each, "validate@here")["logits"]) for each in (memory, disk))
    for name in ("teacher", "fp32"):
        assert found[name].shape == (449, 10)
        np.testing.assert_array_equal(found[name], expected[name])
    screened = [
        ScreeningRecord.model_validate_json(artifacts(*each, "screen@here")["screening"].read_bytes())
        for each in (memory, disk)
    ]
    assert [each.validation_samples for each in screened] == [270, 270]
    assert [max(each.samples for each in record.candidates) for record in screened] == [270, 100]


@pytest.mark.parametrize("few", [1, 4, 10, 11, 50])
def test_validation_feeds_every_sample_once_and_then_the_golden_ones(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(base, "fed_at_once", lambda contract: few)
    spec = InputSpec(name="features", shape=(1,), preprocessing={"mean": [0.0], "std": [1.0]})
    contract = ModelContract(modality="vector", inputs=(spec,), classes=("a", "b"))
    samples, golden = np.arange(10, dtype=np.float32)[:, None], np.array([[100], [101]], np.float32)
    pieces = [each.feeds["features"][:, 0].tolist() for each in fed_in_parts(contract, samples, after=golden)]
    assert [value for piece in pieces for value in piece] == [*range(10), 100, 101]
    assert len(pieces) == -(-10 // few)
    assert all(len(piece) <= few + 2 for piece in pieces)


def test_large_samples_are_fed_a_few_at_a_time() -> None:
    def contract(*shape: int) -> ModelContract:
        return ModelContract(modality="image", inputs=(InputSpec(name="image", shape=shape),), classes=("a", "b"))

    assert base.fed_at_once(contract(3, 224, 224)) == 2**28 // (4 * 3 * 224 * 224)
    assert base.fed_at_once(contract(3, 32, 32)) > 10_000, "all test images of CIFAR-10 at once"
    assert base.fed_at_once(contract(3, 4096, 4096), 2**20) == 1
