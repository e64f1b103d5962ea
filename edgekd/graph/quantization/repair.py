"""An 8-bit file that loses too much accuracy is repaired: step after step, the ones that cost the device nothing first,
each tried and reported, until one file is within the limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.errors import StageError
from edgekd.graph.quantization.calibrate import Method
from edgekd.graph.quantization.overflow import sums_overflow_here
from edgekd.graph.quantization.simulation import Ingredients
from edgekd.graph.quantization.workshop import Recipe, Workshop, workshop_of
from edgekd.graph.runtime import run_onnx
from edgekd.records.repair import RepairAttempt, RepairRecord
from edgekd.temporary import temporary_folder

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.graph.quantization.schemes import StaticInt8

MOST_IN_FLOAT = 3  # one layer of so many may be left in float here: with more, little is left of what 8 bits gain


@dataclass(frozen=True)
class Judge:
    """What a file is judged by. feeds: float32 (N, ...) by input name, labels: (N,), of validation samples.
    max_accuracy_drop: what it may lose against the fp32 file. session: session configuration entries."""

    feeds: FedRows
    labels: NDArray[np.int64]
    max_accuracy_drop: float
    session: Mapping[str, str] = field(default_factory=dict)

    def accuracy(self, path: Path) -> float:
        return float(np.mean(run_onnx(path, self.feeds, self.session).argmax(axis=1) == self.labels))


def repaired(
    scheme: StaticInt8, fp32: Path, feeds: FedRows, known: Ranges, names: Sequence[str], judge: Judge
) -> tuple[bytes, RepairRecord]:
    """The first file within the limit, or the most accurate of all that were made; and what was tried.

    feeds: samples of the training split. known: ranges of inputs. names: of the layers with weights, in the order of
    the graph. Each step builds on the best file that was found before it.

    Raises:
        ConfigError: `fp32` is not a model, or a rule of the scheme is about no layer.
        StageError: the file cannot be made as it was asked for.
    """
    trials = _Trials(
        workshop_of(scheme, fp32, feeds, known, names), judge, judge.accuracy(fp32), Recipe(scheme.calibrate)
    )
    trials.run((_seven_bits, _calibrations, _corrected, _equalised, _rounded, _in_float))
    return trials.content, trials.record()


def to_be_trained(
    scheme: StaticInt8, fp32: Path, feeds: FedRows, known: Ranges, names: Sequence[str], judge: Judge | None
) -> tuple[Ingredients, tuple[str, ...]]:
    """What a file is made of that will be trained in 8 bits, and the steps that led there: none where what was asked
    for keeps the limit, else those before AdaRound, whose choice training would undo. judge: None where none is tried.

    Raises:
        ConfigError, StageError: as `repaired`.
    """
    workshop, asked = workshop_of(scheme, fp32, feeds, known, names), Recipe(scheme.calibrate)
    if judge is None:
        return workshop.ingredients(asked), ()
    trials = _Trials(workshop, judge, judge.accuracy(fp32), asked)
    trials.run((_seven_bits, _calibrations, _corrected, _equalised))
    return workshop.ingredients(trials.found), trials.found.steps(asked)


@dataclass
class _Trials:
    """What was tried so far, and the best of it."""

    workshop: Workshop
    judge: Judge
    fp32_accuracy: float
    asked: Recipe
    attempts: list[RepairAttempt] = field(default_factory=list)
    best: Recipe | None = None
    accuracy: float = -1.0
    content: bytes = b""
    since: float = field(default_factory=time.monotonic)

    @property
    def kept(self) -> bool:
        """Whether the best one keeps the limit."""
        return self.best is not None and self.fp32_accuracy - self.accuracy <= self.judge.max_accuracy_drop

    @property
    def found(self) -> Recipe:
        assert self.best is not None
        return self.best

    def run(self, steps: Sequence[Callable[[_Trials], Iterator[Recipe]]]) -> None:
        """What was asked for, then step after step until the limit is kept.

        Raises:
            StageError: what was asked for cannot be made.
        """
        self.make(self.asked)
        for step in steps:
            for recipe in step(self):
                if self.kept:
                    return
                self.make(recipe)

    def make(self, recipe: Recipe) -> None:
        """
        Raises:
            StageError: it cannot be made, and it is what was asked for.
        """
        content, failed, accuracy = None, "finds nothing to change in this network", None
        try:
            content = self.workshop.file(recipe)
        except StageError as error:
            if self.best is None:
                raise
            failed = str(error)
        if content is not None:
            failed = ""
            with temporary_folder() as folder:
                path = folder / "model.onnx"
                path.write_bytes(content)
                accuracy = self.judge.accuracy(path)
            if accuracy > self.accuracy:
                self.best, self.accuracy, self.content = recipe, accuracy, content
        now = time.monotonic()
        self.attempts.append(
            RepairAttempt(
                steps=recipe.steps(self.asked),
                accuracy=accuracy,
                size_bytes=len(content or b""),
                seconds=now - self.since,
                failed=failed,
            )
        )
        self.since = now

    def record(self) -> RepairRecord:
        return RepairRecord(
            samples=len(self.judge.labels),
            fp32_accuracy=self.fp32_accuracy,
            max_accuracy_drop=self.judge.max_accuracy_drop,
            kept=self.kept,
            accuracy=self.accuracy,
            steps=self.found.steps(self.asked),
            attempts=tuple(self.attempts),
        )


def _seven_bits(trials: _Trials) -> Iterator[Recipe]:
    """First of all, for sums that overflow would spoil whatever else is done; only where they do so."""
    if not trials.workshop.numbers.reduce_range and sums_overflow_here():
        yield replace(trials.found, seven_bits=True)


def _calibrations(trials: _Trials) -> Iterator[Recipe]:
    asked = trials.found
    for method in get_args(Method):
        if method != asked.method:
            yield replace(asked, method=method)


def _corrected(trials: _Trials) -> Iterator[Recipe]:
    yield replace(trials.found, corrected=True)


def _equalised(trials: _Trials) -> Iterator[Recipe]:
    """What did not help before it may do so now: scales that fit no channel leave nothing to correct."""
    before = replace(trials.found, equalised=True)
    yield replace(before, corrected=False)
    yield replace(before, corrected=True)
    if trials.found.equalised:
        yield replace(trials.found, absorbed=True)


def _rounded(trials: _Trials) -> Iterator[Recipe]:
    yield replace(trials.found, rounded=True)


def _in_float(trials: _Trials) -> Iterator[Recipe]:
    """More and more of the layers that most of the error is of, one at a time."""
    best = trials.found
    worst = _by_sensitivity(trials.workshop, best)
    for number in range(1, max(1, len(worst) // MOST_IN_FLOAT) + 1):
        yield replace(best, in_float=tuple(worst[:number]))


def _by_sensitivity(workshop: Workshop, recipe: Recipe) -> list[str]:
    """The layers, that one first without which in 8 bits the logits are nearest to those of the float network."""
    errors: dict[str, float] = {}
    with temporary_folder() as folder:
        path = folder / "model.onnx"
        onnx.save(workshop.model, path)
        exact = run_onnx(path, workshop.feeds)
        for name in workshop.candidates():
            content = workshop.file(replace(recipe, in_float=(name,)))
            assert content is not None
            path.write_bytes(content)
            errors[name] = float(np.mean((run_onnx(path, workshop.feeds) - exact) ** 2))
    return sorted(errors, key=lambda name: errors[name])
