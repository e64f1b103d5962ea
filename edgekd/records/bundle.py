"""The manifest of a bundle: what ships, how it is to be run, and the evidence that it may. Schema version 1."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from edgekd.records.base import Record
from edgekd.records.check import Check, Outcome
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.model import ModelFacts


class SessionSettings(Record):
    """How the runtime is set up on a target; `options` are further session configuration entries."""

    provider: str
    threads: int
    inter_op_threads: int
    spinning: bool
    optimisation: Literal["none", "basic", "extended", "layout", "all"]
    options: dict[str, str]


class TargetEvidence(Record):
    """What was found on one target, with the session settings that ship for it."""

    session: SessionSettings
    outcome: Outcome
    checks: tuple[Check, ...]
    accuracy: Evaluation | None
    latency: LatencyRecord | None


class Golden(Record):
    """Images with the answers that the model must give to them.

    images: uint8 (N, H, W, C); logits: float32 (N, classes), of the model under the runtime `onnxruntime`.
    `tolerance` is the largest difference that another processor may make, in units of the logits.
    """

    images: str = "golden/images.npy"
    logits: str = "golden/logits.npy"
    tolerance: float
    onnxruntime: str


class Source(Record):
    """Where it came from: digests of the data and of every stage that took part, by name."""

    pipeline: str
    seed: int
    data: dict[str, str]
    stages: dict[str, str]


class FileEntry(Record):
    sha256: str
    size_bytes: int


class Manifest(Record):
    """`files` lists everything in the bundle but the manifest itself, by its path from the bundle's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    edgekd: str
    name: str
    outcome: Outcome
    model_file: str = "model.onnx"
    model: ModelFacts
    scheme: str
    contract: ModelContract
    targets: dict[str, TargetEvidence]
    golden: Golden
    source: Source
    files: dict[str, FileEntry]
