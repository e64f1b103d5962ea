"""Which settings are tried next: a grid, or what a sampler of optuna makes of what was reached."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.select import Range
from edgekd.config.sweep import Setting, SweepSection
from edgekd.errors import UsageError
from edgekd.records.base import digest

if TYPE_CHECKING:
    import optuna

Reached = float | None
"""What a setting reached, as the mean over its seeds; None where one of them came to no end."""

LEARNING = ("tpe", "gp")
MOST_REPEATED = 100  # proposals in a row that are all known: the sampler has nothing new to say


def proposals(section: SweepSection, seed: int) -> Generator[list[Setting], list[Reached], None]:
    """Rounds of settings, each proposed when told what those of the round before reached, in their order. No setting
    comes twice, and the same ones come in the same order for equal seeds and answers, so that a sweep that was killed
    goes on by being told again what it knows.

    Raises:
        UsageError: the sampler needs a library that is not here.
    """
    if section.sampler == "grid" or section.combinations <= section.settings:
        yield list(section.grid())
        return
    sampling = _Sampling(section, seed)
    left = section.settings
    while left:
        size = min(left, section.round) if section.sampler in LEARNING else left
        asked = sampling.round(size)
        if asked:
            sampling.tell((yield asked))
        left = left - size if len(asked) == size else 0


class _Sampling:
    def __init__(self, section: SweepSection, seed: int) -> None:
        self.section = section
        self.known: dict[str, Reached] = {}
        self.open: dict[str, optuna.Trial] = {}
        with _needing_libraries(section.sampler):
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self.study = optuna.create_study(direction="maximize", sampler=_sampler(section.sampler, seed))

    def round(self, size: int) -> list[Setting]:
        """As many new settings, or fewer where the sampler has no others."""
        asked: list[Setting] = []
        repeated = 0
        while len(asked) < size and repeated < MOST_REPEATED:
            with _needing_libraries(self.section.sampler):
                trial = self.study.ask()
                setting = _suggested(trial, self.section)
            key = digest(setting)
            if key in self.known or key in self.open:
                self._repeated(trial, key)
                repeated += 1
            else:
                self.open[key] = trial
                asked.append(setting)
                repeated = 0
        return asked

    def tell(self, reached: list[Reached]) -> None:
        for (key, trial), value in zip(self.open.items(), reached, strict=True):
            self.known[key] = value
            self.study.tell(trial, self._worst if value is None else value)
        self.open.clear()

    def _repeated(self, trial: optuna.Trial, key: str) -> None:
        """Answers what was asked before, so that the sampler goes on to something else."""
        from optuna.trial import TrialState

        if key in self.open:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            value = self.known[key]
            self.study.tell(trial, self._worst if value is None else value)

    @property
    def _worst(self) -> float:
        """What one that came to no end counts as: samplers do not learn from what is told to have failed."""
        return min((value for value in self.known.values() if value is not None), default=0.0)


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    if name == "tpe":
        return samplers.TPESampler(seed=seed, constant_liar=True)  # so that those of one round differ
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "qmc":
        return samplers.QMCSampler(seed=seed, scramble=True)
    return samplers.RandomSampler(seed=seed)


@contextmanager
def _needing_libraries(sampler: str) -> Iterator[None]:
    """Without optuna's remarks that a sampler is experimental, or falls back to random values for what is no number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise UsageError(
                f"the sampler {sampler} needs {error.name}", hint="python -m pip install 'edgekd[sweep]'"
            ) from error


def _suggested(trial: optuna.Trial, section: SweepSection) -> dict[str, JsonValue]:
    setting: dict[str, JsonValue] = {}
    for key, values in section.space.items():
        if isinstance(values, Range):
            number = trial.suggest_float(key, values.low, values.high, log=values.log, step=values.step)
            whole = values.step is not None and values.step.is_integer() and values.low.is_integer()
            setting[key] = round(number) if whole else number
        else:
            setting[key] = values[trial.suggest_categorical(key, list(range(len(values))))]
    return setting
