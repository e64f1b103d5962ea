"""What a release can show at all with the samples that there are: told before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.records.splits import SplitsRecord

MOST = 10**8
"""Samples; who needs more needs another limit."""


def told_before(
    section: ReleaseSection, targets: Sequence[TargetProfile], splits: SplitsRecord, parameters: int
) -> Iterator[str]:
    """The limits that no student can be shown to keep, in words; parameters: of the student."""
    for name, limit, passes in _limits(section):
        if passes(splits.test):
            continue
        needed = fewest(passes)
        least = f"a limit that {splits.test:,} can show is {_loosest(name, splits.test)}"
        if needed is None:
            yield f"release.{name}: {limit:g} can be shown by no number of test {splits.noun}; {least}"
        else:
            yield (
                f"release.{name}: {splits.test:,} test {splits.noun} cannot show {limit:g}, not even of a student that "
                f"makes no mistake: at least {needed:,} are needed, or the verdict is undecided; {least}"
            )
    for target in targets:
        allowed = target.limits.model_bytes
        if allowed is not None and parameters > allowed:
            yield (
                f"{target.name}: the student has {parameters:,} parameters, of a byte or more each in every kind of "
                f"file, and limits.model_bytes is {allowed:,}"
            )


def fewest(passes: Callable[[int], bool]) -> int | None:
    """The smallest number of samples that passes, where every larger one does too; None for more than MOST."""
    high = 1
    while not passes(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def best_drop(samples: int) -> float:
    """The upper end of the interval of the accuracy that was lost, of two models that differ in no answer."""
    from edgekd.harness.scoring import drop_interval

    return drop_interval(0, 0, samples)[1]


def best_share(samples: int) -> float:
    """The lower end of the interval of a share that is all of them."""
    from edgekd.harness.scoring import wilson

    return wilson(samples, samples)[0]


def _limits(section: ReleaseSection) -> Iterator[tuple[str, float, Callable[[int], bool]]]:
    """By name: each limit, and whether so many samples can show it in the best case."""
    if section.max_accuracy_drop is not None:
        yield "max_accuracy_drop", section.max_accuracy_drop, partial(_drop_shown, section.max_accuracy_drop)
    if section.min_agreement is not None:
        yield "min_agreement", section.min_agreement, partial(_share_shown, section.min_agreement)
    if section.min_accuracy is not None:
        yield "min_accuracy", section.min_accuracy, partial(_share_shown, section.min_accuracy)


def _drop_shown(limit: float, samples: int) -> bool:
    return best_drop(samples) <= limit


def _share_shown(limit: float, samples: int) -> bool:
    return best_share(samples) >= limit


def _loosest(name: str, samples: int) -> str:
    """The strictest limit that so many samples can show, to four places on the safe side."""
    if name == "max_accuracy_drop":
        return f"{-(-best_drop(samples) // 1e-4) * 1e-4:.4f}"
    return f"{best_share(samples) // 1e-4 * 1e-4:.4f}"
