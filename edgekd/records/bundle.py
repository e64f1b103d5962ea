"""The manifest of a bundle: what ships, how it is to be run, and the evidence that it may. Schema version 2."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from edgekd.records.base import Record
from edgekd.records.check import Check, Outcome
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.model import ModelFacts
from edgekd.records.runtime import RuntimeSettings


class Golden(Record):
    """The answers that one model must give to the bundle's golden samples.

    logits: the file, float32 (N, classes), under the runtime version `onnxruntime`. `tolerance` is the largest
    difference that another processor may make, in units of the logits.
    """

    logits: str
    tolerance: float = Field(ge=0, allow_inf_nan=False)
    onnxruntime: str


class ShippedModel(Record):
    """One file. `session`: session configuration entries that it needs wherever it runs."""

    file: str
    scheme: str
    session: dict[str, str]
    facts: ModelFacts
    golden: Golden


class TargetEvidence(Record):
    """What was found on one target: `model` ships there, under `runtime` and the model's own session options.

    required_operators: the file for a build of ONNX Runtime that has what runs there and no more. ort: the file of the
    model in the runtime's own format, optimised there already. right: the file of the test samples that it answers as
    it should there, a bit each in their order, as `numpy.packbits` packs them; None in bundles of before it was kept.
    """

    model: str
    runtime: RuntimeSettings
    outcome: Outcome
    checks: tuple[Check, ...]
    accuracy: Evaluation | None
    latency: LatencyRecord | None
    required_operators: str | None = None
    ort: str | None = None
    right: str | None = None


class Source(Record):
    """Where it came from: digests of the data (`train`, `validation`, and unless it is older `test`) and of every stage
    that took part, by name."""

    pipeline: str
    seed: int
    data: dict[str, str]
    stages: dict[str, str]


class FileEntry(Record):
    sha256: str
    size_bytes: int


class Manifest(Record):
    """`models` by the name of the candidate, each once however many targets take it; `golden_samples`: the file of raw
    samples of the validation split; `files` lists everything in the bundle but the manifest itself, by its path from
    the bundle's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[2] = Field(2, alias="schema")
    edgekd: str
    name: str
    outcome: Outcome
    contract: ModelContract
    models: dict[str, ShippedModel] = Field(min_length=1)
    targets: dict[str, TargetEvidence] = Field(min_length=1)
    golden_samples: str = "golden/samples.npy"
    source: Source
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _ships_what_targets_take(self) -> Self:
        odd = {each.model for each in self.targets.values()} ^ set(self.models)
        if odd:
            raise ValueError(f"the models and those that the targets take differ: {', '.join(sorted(odd))}")
        return self

    @model_validator(mode="after")
    def _models_take_what_the_contract_says(self) -> Self:
        for name, each in self.models.items():
            if [spec.dtype for spec in self.contract.inputs] != [fed.dtype for fed in each.facts.inputs]:
                raise ValueError(f"{name} takes other inputs than the contract says")
        return self

    def shipped(self, target: str | None = None) -> ShippedModel:
        """The model of a target, of the first by default.

        Raises:
            KeyError: the bundle has nothing for that target.
        """
        return self.models[self.targets[target or next(iter(self.targets))].model]
