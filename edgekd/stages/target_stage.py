"""What the stages that work on a target have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.config.networks import CONTROL
from edgekd.config.target import TargetProfile
from edgekd.pipeline.stage import Stage
from edgekd.records.contract import ModelContract
from edgekd.records.runtime import RuntimeSettings
from edgekd.records.screening import FP32, ChoiceRecord
from edgekd.stages.modality import feeding_identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.data.modalities.base import Feeds
    from edgekd.data.samples import Rows
    from edgekd.harness.subject import Subject

REFERENCE = "teacher"


class Fed(NamedTuple):
    """The same samples as networks take them, and raw, for files that normalise them themselves (else empty)."""

    feeds: Feeds
    raw: Feeds
    lengths: Mapping[str, int] = {}
    """Of inputs that may be shorter, to how many places they were cut."""


def fed(contract: ModelContract, samples: Rows) -> Fed:
    from edgekd.data.modalities.base import feeds_for, shipped_contract

    shipped = shipped_contract(contract, ExportOptions(input="raw"))
    return Fed(feeds_for(contract, samples), feeds_for(shipped, samples) if shipped.raw else {})


def subject(path: Path, session: Mapping[str, str] = {}) -> Subject:
    """A file as the harness takes it; whether it is fed raw samples stands in it."""
    from edgekd.graph.device_form import takes_bytes
    from edgekd.harness.subject import Subject

    return Subject(path, session=session, raw=takes_bytes(path.read_bytes()))


@dataclass(frozen=True)
class TargetStage(Stage, ABC):
    """It runs ONNX files on a target."""

    target: TargetProfile
    modality: str

    @property
    def runtime(self) -> RuntimeSettings:
        """What of the target's settings it runs with."""
        return self.target.runtime

    def identity(self) -> dict[str, JsonValue]:
        return {
            "target": self.target.name,
            "device": self.target.device.identity(),
            "runtime": identity(self.runtime),
            "modality": feeding_identity(self.modality),
        }

    def environment(self) -> dict[str, JsonValue]:
        from edgekd.stages.targets import device_of, machine_of

        return machine_of(device_of(self.target))

    @staticmethod
    def compared(inputs: Mapping[str, Path], choice: ChoiceRecord) -> dict[str, Subject]:
        """The files at the ports `teacher`, `fp32` and `model`, by the names that reports call them: the last is the
        chosen candidate, which may be the fp32 file itself."""
        models = {REFERENCE: subject(inputs["teacher"]), FP32: subject(inputs["fp32"])}
        if choice.chosen != FP32:
            models[choice.chosen] = subject(inputs["model"], choice.session)
        return models

    @staticmethod
    def compared_pairs(choice: ChoiceRecord) -> list[tuple[str, str]]:
        """Which of them is held against which: each against the teacher, what ships also against the fp32 file."""
        if choice.chosen == FP32:
            return [(FP32, REFERENCE)]
        return [(choice.chosen, REFERENCE), (FP32, REFERENCE), (choice.chosen, FP32)]

    @staticmethod
    def validation_feeds(inputs: Mapping[str, Path], count: int) -> Fed:
        """The first so many validation samples as the models take them, as long as most of them are."""
        from edgekd.data.modalities.base import usual_lengths
        from edgekd.harness.subject import cut
        from edgekd.stages.files import load_record, load_split

        contract, samples = load_record(ModelContract, inputs["contract"]), load_split(inputs["validation"]).samples
        lengths, whole = usual_lengths(contract, samples), fed(contract, samples[:count])
        return Fed(dict(cut(whole.feeds, lengths)), whole.raw, lengths)


@dataclass(frozen=True)
class ComparingStage(TargetStage, ABC):
    """It asks every network that there is to compare. beside: the control and the student's variants; the fp32 file of
    each arrives at `NAME.fp32`, and at `control` what was made of the control as of the chosen file."""

    beside: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The ports of all their files."""
        control = (CONTROL,) if CONTROL in self.beside else ()
        return ("teacher", "fp32", "model", "choice", *control, *(f"{name}.{FP32}" for name in self.beside))

    def all_compared(self, inputs: Mapping[str, Path], choice: ChoiceRecord) -> dict[str, Subject]:
        """By the names that reports call them."""
        names = (f"{name}.{FP32}" for name in self.beside)
        found = {name: subject(inputs[name]) for name in names if name in inputs}
        if CONTROL in inputs and choice.chosen != FP32:
            found[f"{CONTROL}.{choice.chosen}"] = subject(inputs[CONTROL], choice.session)
        return {**self.compared(inputs, choice), **found}

    def all_pairs(self, models: tuple[str, ...], choice: ChoiceRecord) -> list[tuple[str, str]]:
        """Beside `compared_pairs`, the student's files against the control's, and each variant against both."""
        pairs = self.compared_pairs(choice)
        for name in models:
            network, _, file = name.partition(".")
            if network == CONTROL:
                pairs.append((file, name))
            elif network in self.beside:
                pairs.append((name, file))
                if f"{CONTROL}.{file}" in models:
                    pairs.append((name, f"{CONTROL}.{file}"))
        return pairs


def fed_in_parts(
    contract: ModelContract,
    samples: Rows,
    *,
    after: NDArray[Any] | None = None,
    change: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Iterator[Fed]:
    """What the models are fed: the samples, which may be more than memory holds, changed; and with the last of them
    `after`."""
    import numpy as np

    from edgekd.data.modalities.base import fed_at_once

    few = fed_at_once(contract)
    for start in range(0, len(samples), few):
        part = samples[start : start + few]
        if change is not None:
            part = change(part)
        last = start + few >= len(samples)
        yield fed(contract, np.concatenate([part, after]) if last and after is not None else part)
