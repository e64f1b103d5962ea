"""Successive halving on trainings that cost nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.fit.halving import FINALISTS, Course, Pace, falling, halve
from edgekd.records.study import Attempt, Rung

FREE = [0.0] * 1000


class Trainings:
    """Shape n reaches `chance[n]` at the end, less and with noise before; an epoch takes `epoch` seconds, and the
    teacher `view` for each view that is new."""

    def __init__(self, chance: list[float], epoch: float, view: float = 0.0, views: int | None = None) -> None:
        self.chance, self.epoch, self.view, self.views = chance, epoch, view, views
        self.asked = 0
        self.made: list[tuple[int, int]] = []

    def __call__(self, shape: int, epochs: int) -> Attempt:
        shown = epochs if self.views is None else min(epochs, self.views)
        waited, self.asked = max(0, shown - self.asked) * self.view, max(self.asked, shown)
        self.made.append((shape, epochs))
        reached = self.chance[shape] - 0.1 / epochs
        return Attempt(
            shape=shape,
            epochs=epochs,
            validation_correct=round(1000 * reached),
            validation_total=1000,
            seconds=epochs * self.epoch + waited,
        )


def spent(rungs: list[Rung]) -> float:
    return sum(each.seconds for rung in rungs for each in rung.attempts)


def counts(rungs: list[Rung]) -> list[tuple[int, int]]:
    return [(rung.epochs, len(rung.attempts)) for rung in rungs]


def test_rungs_grow_threefold_to_the_whole_training() -> None:
    assert Course(25, None, 1).lengths == (3, 8, 25)
    assert Course(60, None, 1).lengths == (7, 20, 60)
    assert Course(2, None, 1).lengths == (1, 2)
    assert Course(1, None, 1).lengths == (1,)


def test_counts_fall_by_the_same_factor() -> None:
    assert falling(27, 3, 2) == (9, 3)
    assert falling(300, 3, 2) == (30, 3)
    assert falling(2, 2, 2) == (2, 2)
    assert falling(5, 3, 0) == ()


def test_the_best_shape_is_found_and_each_rung_keeps_the_most_accurate() -> None:
    chance = list(np.random.default_rng(0).uniform(0.5, 0.95, 27))
    rungs = halve(27, Trainings(chance, 0.1), Course(25, None, 1e6), FREE)
    assert counts(rungs) == [(3, 27), (8, 9), (25, 3)]
    by_chance = sorted(range(27), key=lambda shape: -chance[shape])
    assert {each.shape for each in rungs[2].attempts} == set(by_chance[:3])


def test_when_measuring_took_all_the_time_one_is_trained_to_the_end() -> None:
    rungs = halve(10, Trainings([0.9] * 10, 5.0), Course(25, None, -3.0), FREE)
    assert counts(rungs) == [(3, 1), (8, 1), (25, 1)]


def test_in_the_place_of_one_that_fails_later_goes_the_next_best() -> None:
    inner = Trainings([0.9, 0.95, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], 0.1)

    def train(shape: int, epochs: int) -> Attempt:
        attempt = inner(shape, epochs)
        fails = shape == 1 and epochs == 9
        return attempt.model_copy(update={"failed": "the loss became nan"}) if fails else attempt

    rungs = halve(9, train, Course(9, None, 1e6), FREE)
    assert [each.shape for each in rungs[-1].attempts] == [1, 0, 2, 3]


def test_failures_alone_do_not_take_more_than_the_time() -> None:
    def train(shape: int, epochs: int) -> Attempt:
        failed = "the loss became nan"
        return Attempt(shape=shape, epochs=epochs, validation_correct=0, validation_total=1, seconds=4, failed=failed)

    assert counts(halve(300, train, Course(9, None, 10), FREE)) == [(1, 3)]


@pytest.mark.parametrize("seconds", [100, 300, 1000, 3000])
@pytest.mark.parametrize("epoch", [0.2, 1, 5])
@pytest.mark.parametrize("views", [None, 6])
def test_the_time_is_kept_and_used(seconds: float, epoch: float, views: int | None) -> None:
    """Beyond it goes only what must be: one shape to the end."""
    train = Trainings([0.9 - shape / 10000 for shape in range(500)], epoch, view=2.0, views=views)
    rungs = halve(500, train, Course(25, views, seconds, closing=5), FREE)
    took = spent(rungs) + 5 * len(rungs[-1].attempts)
    one = sum(length * epoch for length in (3, 8, 25)) + 2.0 * (views or 25) + 5
    assert took <= max(seconds * 1.02, one + 3 * epoch + 8 * epoch)
    if seconds > 2 * one and len(rungs[0].attempts) < 500:
        assert took > 0.7 * seconds
        assert len(rungs[0].attempts) > len(rungs[-1].attempts)


def test_with_no_time_one_is_trained_to_the_end() -> None:
    rungs = halve(10, Trainings([0.9] * 10, 5.0), Course(25, None, 0.001), FREE)
    assert counts(rungs) == [(3, 1), (8, 1), (25, 1)]


def test_a_training_of_one_epoch_has_one_rung() -> None:
    rungs = halve(10, Trainings([0.9] * 10, 1.0), Course(1, None, 6.5), FREE)
    assert counts(rungs) == [(1, 6)]


def test_failures_are_told_and_the_others_go_on() -> None:
    inner = Trainings([0.9, 0.95, 0.8, 0.7], 0.1)

    def train(shape: int, epochs: int) -> Attempt:
        attempt = inner(shape, epochs)
        return attempt.model_copy(update={"failed": "the loss became nan"}) if shape == 1 else attempt

    rungs = halve(4, train, Course(9, None, 1e6), FREE)
    assert [each.failed for each in rungs[0].attempts] == ["", "the loss became nan", "", ""]
    assert all(each.shape != 1 for rung in rungs[1:] for each in rung.attempts)
    assert rungs[-1].epochs == 9


def test_when_all_fail_there_is_no_further_rung() -> None:
    def train(shape: int, epochs: int) -> Attempt:
        failed = "no such file"
        return Attempt(shape=shape, epochs=epochs, validation_correct=0, validation_total=1, seconds=0, failed=failed)

    rungs = halve(4, train, Course(9, None, 1e6), FREE)
    assert counts(rungs) == [(1, 4)]


def test_of_equally_accurate_shapes_the_cheaper_go_on() -> None:
    rungs = halve(9, Trainings([0.9] * 9, 0.1), Course(9, None, 1e6), [9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert {each.shape for each in rungs[-1].attempts} == {8, 7, 6}


def test_done_again_from_the_store_the_same_is_decided() -> None:
    course = Course(25, 6, 400, closing=5)
    first = Trainings([0.9 - shape / 1000 for shape in range(50)], 1.3, view=2.0, views=6)
    rungs = halve(50, first, course, FREE)
    kept = {(each.shape, each.epochs): each for rung in rungs for each in rung.attempts}
    assert halve(50, lambda shape, epochs: kept[shape, epochs], course, FREE) == rungs
    assert len(rungs[-1].attempts) == FINALISTS


def test_the_pace_takes_the_teachers_answers_out_of_the_first_training() -> None:
    train = Trainings([0.9] * 4, 1.0, view=10.0)
    pace = Pace(Course(25, None, 1e6))
    pace.done += [train(0, 3), train(1, 3)]
    assert pace.epoch == pytest.approx(1.0)
    assert pace.of([0, 1], 8) == pytest.approx(16)
    assert pace.after(2, 2, 2) == pytest.approx((25 - 3) * 10)
