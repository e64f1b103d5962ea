"""What every loss term has: a weight, and when it is there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.training.objective import objective_from

from .conftest import VALUES, lesson, loss, shapes_of

SHARES = st.floats(0, 1)
EPOCHS, WARM_EPOCHS = 240, 20


def test_a_weight_is_there_at_once_by_default() -> None:
    assert [loss("cross_entropy", weight=0.3).weight_at(progress) for progress in (0.0, 0.5, 1.0)] == [0.3] * 3


def test_dkds_published_warm_up_is_a_share_of_20_of_240_epochs() -> None:
    term = loss("cross_entropy", weight=8, warmup=WARM_EPOCHS / EPOCHS)
    for epoch in range(EPOCHS + 1):
        assert term.weight_at(epoch / EPOCHS) == pytest.approx(8 * min(epoch / WARM_EPOCHS, 1.0))


@settings(max_examples=50)
@given(weight=st.floats(0, 1e6), warmup=SHARES, early=SHARES, late=SHARES)
def test_a_weight_only_rises_from_nothing_to_itself(weight: float, warmup: float, early: float, late: float) -> None:
    term = loss("cross_entropy", weight=weight, warmup=warmup)
    early, late = sorted((early, late))
    assert 0 <= term.weight_at(early) <= term.weight_at(late) <= weight
    assert term.weight_at(1.0) == weight
    assert term.weight_at(0.0) == (0 if warmup else weight)


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (1.0, 1.0)])
def test_the_objective_takes_the_weight_at_the_lessons_progress_and_reports_the_term_without_it(
    progress: float, factor: float
) -> None:
    losses = [loss("cross_entropy", weight=0.1), loss("cross_entropy", weight=3, warmup=0.2)]
    given = lesson(progress=progress)
    total, terms = objective_from(losses, shapes_of(given), seed=0, section="distill")(given)
    assert float(total) == pytest.approx((0.1 + 3 * factor) * VALUES["cross_entropy"], rel=1e-9)
    assert [float(each) for each in terms.values()] == pytest.approx([VALUES["cross_entropy"]] * 2, rel=1e-9)


@pytest.mark.parametrize("warmup", [-0.1, 1.1, float("nan")])
def test_no_more_than_the_whole_training_can_be_a_warm_up(warmup: float) -> None:
    with pytest.raises(ValidationError):
        loss("cross_entropy", warmup=warmup)
