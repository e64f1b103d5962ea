"""How many test samples a limit needs, with the intervals of the gate."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.harness.scoring import paired, wilson
from edgekd.records.check import Outcome
from edgekd.records.splits import SplitsRecord
from edgekd.release.gate import at_least, at_most
from edgekd.stages.evidence import best_drop, best_share, fewest, told_before


def splits(test: int) -> SplitsRecord:
    return SplitsRecord(noun="images", train=1000, validation=100, test=test, classes=10)


def target(**limits: float) -> TargetProfile:
    return TargetProfile.model_validate({"name": "here", "device": "local", "limits": limits})


@pytest.mark.parametrize("samples", [1, 20, 100, 359, 10_000])
def test_the_best_case_is_that_of_the_gate(samples: int) -> None:
    right = np.ones(samples, bool)
    assert best_drop(samples) == paired("a", "b", right, right).drop_interval[1]
    assert best_share(samples) == wilson(samples, samples)[0]


@pytest.mark.parametrize("limit", [0.5, 0.03, 0.01, 0.005, 0.001])
def test_so_many_samples_can_pass_and_one_less_cannot(limit: float) -> None:
    needed = fewest(lambda samples: best_drop(samples) <= limit)
    assert needed is not None

    def outcome(samples: int) -> Outcome:
        right = np.ones(samples, bool)
        pair = paired("a", "b", right, right)
        return at_most("drop", limit, pair.drop, pair.drop_interval, "").outcome

    assert outcome(needed) is Outcome.PASS
    assert outcome(needed - 1) is Outcome.UNDECIDED


def test_a_limit_that_the_test_samples_cannot_show_is_told_with_the_number_that_can() -> None:
    (told,) = told_before(ReleaseSection(max_accuracy_drop=0.01), [target()], splits(100), 1000)
    needed = fewest(lambda samples: best_drop(samples) <= 0.01)
    assert told == (
        "release.max_accuracy_drop: 100 test images cannot show 0.01, not even of a student that makes no mistake: at "
        f"least {needed:,} are needed, or the verdict is undecided; a limit that 100 can show is 0.0272"
    )
    assert not list(told_before(ReleaseSection(max_accuracy_drop=0.0272), [target()], splits(100), 1000))
    assert best_drop(100) > 0.0271


def test_a_share_is_told_too_and_what_nothing_can_show() -> None:
    told = list(told_before(ReleaseSection(min_agreement=0.99, min_accuracy=1.0), [target()], splits(100), 1000))
    assert at_least("agreement", 0.99, 1.0, wilson(380, 380), "").outcome is Outcome.UNDECIDED
    assert "at least 381 are needed" in told[0]
    assert at_least("agreement", 0.99, 1.0, wilson(381, 381), "").outcome is Outcome.PASS
    assert told[1].startswith("release.min_accuracy: 1 can be shown by no number of test images")


def test_more_weights_than_bytes_are_told() -> None:
    section = ReleaseSection(max_accuracy_drop=1.0)
    (told,) = told_before(section, [target(model_bytes=999)], splits(100), 1000)
    assert "1,000 parameters" in told
    assert "999" in told
    assert not list(told_before(section, [target(model_bytes=1000)], splits(100), 1000))
