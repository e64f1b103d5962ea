"""Successive halving: many shapes trained for a short time, the best of them again for longer, the last few to the end.

Every training begins anew and has the learning rate's whole course: one that is cut off in the middle of a long course
says little of its end.

Source: Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization, algorithm
1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgekd.records.study import Attempt, Rung

FACTOR = 3
"""How many times longer each rung trains than the one before."""
RUNGS = 3
FINALISTS = 3
"""Shapes that are trained to the end, where there is time."""


@dataclass(frozen=True)
class Course:
    """epochs: of a whole training. views: of the samples, whose teachers' answers are asked once; None: one an epoch.
    seconds: for all trainings and what follows. closing: seconds for what is done with each finalist afterwards."""

    epochs: int
    views: int | None
    seconds: float
    closing: float = 0.0

    @property
    def lengths(self) -> tuple[int, ...]:
        """Epochs of each rung."""
        return tuple(dict.fromkeys(max(1, round(self.epochs / FACTOR**step)) for step in reversed(range(RUNGS))))

    def asked(self, epochs: int) -> int:
        """How many views a training of that length shows."""
        return epochs if self.views is None else min(epochs, self.views)


def falling(first: int, last: int, steps: int) -> tuple[int, ...]:
    """So many counts after the first, each smaller by the same factor, to the last."""
    return tuple(math.ceil(round(first * (last / first) ** (step / steps), 6)) for step in range(1, steps + 1))


@dataclass
class Pace:
    """How long trainings take, from those that came to an end.

    The first one also waited for what teachers say to its views, and so will the first of a longer rung.
    """

    course: Course
    done: list[Attempt] = field(default_factory=list)

    @property
    def epoch(self) -> float:
        """Seconds for an epoch of a shape that was not trained yet."""
        known = self._unhindered() or self.done
        return sum(each.seconds for each in known) / sum(each.epochs for each in known)

    def of(self, shapes: Sequence[int], epochs: int) -> float:
        """Seconds for trainings of these shapes, by their own pace where it is known."""
        own = {each.shape: each.seconds / each.epochs for each in self._unhindered()}
        return sum(own.get(shape, self.epoch) * epochs for shape in shapes)

    def _unhindered(self) -> list[Attempt]:
        """Those that waited for no teacher: all views had been shown before."""
        found, seen = [], 0
        for each in self.done:
            if self.course.asked(each.epochs) <= seen:
                found.append(each)
            seen = max(seen, self.course.asked(each.epochs))
        return found

    def after(self, number: int, count: int, finalists: int) -> float:
        """Seconds for all that follows a rung in which so many are trained, and for what teachers are still asked."""
        lengths = self.course.lengths[number + 1 :]
        last = min(count, finalists)
        counts = falling(count, last, len(lengths))
        training = sum(count * epochs for count, epochs in zip(counts, lengths, strict=True)) * self.epoch
        return training + self._asking() + last * self.course.closing

    def _asking(self) -> float:
        """Seconds for the teachers' answers to the views that no training has shown yet."""
        first, *others = self.done
        if not others:
            return 0.0  # the first one's pace has it
        view = max(0.0, first.seconds - self.epoch * first.epochs) / self.course.asked(first.epochs)
        seen = max(self.course.asked(each.epochs) for each in self.done)
        return max(0, self.course.asked(self.course.epochs) - seen) * view


def halve(entrants: int, train: Callable[[int, int], Attempt], course: Course, costs: Sequence[float]) -> list[Rung]:
    """The rungs from the shortest to the longest.

    entrants: how many there are; as many are trained in the first rung, in their order, as leave time for the others.
    train: trains one, by its number, for so many epochs. costs: of each, to prefer the cheaper of equally accurate
    ones. What is decided depends on the attempts alone, which say how long they took when they were made: done again
    from the store, the same shapes go on.

    At least one is trained to the end, however little time there is. In the place of one that fails goes the next best.
    """
    pace, spent = Pace(course), 0.0
    rungs: list[Rung] = []
    left: Sequence[int] = range(entrants)
    finalists, wanted = 1, entrants
    for number, epochs in enumerate(course.lengths):
        attempts: list[Attempt] = []
        for shape in left:
            ended = sum(not each.failed for each in attempts)
            if ended == wanted or (number == 0 and not _another(pace, len(attempts), finalists, spent)):
                break
            attempt = train(shape, epochs)
            attempts.append(attempt)
            spent += attempt.seconds
            if not attempt.failed:
                pace.done.append(attempt)
                if len(pace.done) == 2:  # the pace is known; more shapes to choose from shall not mean fewer finalists
                    finalists = _finalists(pace, number, len(attempts), spent)
        rungs.append(Rung(epochs=epochs, attempts=tuple(attempts)))
        left = ranking(attempts, costs)
        if not left:
            break
        if number + 1 < len(course.lengths):
            wanted = _survivors(pace, number, left, spent)
    return rungs


def ranking(attempts: Sequence[Attempt], costs: Sequence[float]) -> list[int]:
    """The shapes of those that came to an end, the most accurate first, of equals the cheapest."""
    ended = [each for each in attempts if not each.failed]
    return [each.shape for each in sorted(ended, key=lambda each: (-each.accuracy, costs[each.shape]))]


def _another(pace: Pace, trained: int, finalists: int, spent: float) -> bool:
    """Whether there is time for one more in the first rung."""
    if not trained:
        return True
    if not pace.done:
        return spent < pace.course.seconds
    next_one = pace.course.lengths[0] * pace.epoch
    if len(pace.done) == 1:  # that one asked the teachers: how long others take only the second will tell
        return spent + next_one <= pace.course.seconds / 2
    return spent + next_one + pace.after(0, trained + 1, finalists) <= pace.course.seconds


def _survivors(pace: Pace, number: int, ranked: Sequence[int], spent: float) -> int:
    """How many go on from this rung to the next."""
    course = pace.course
    finalists = min(len(ranked), _finalists(pace, number, len(ranked), spent))
    count = falling(len(ranked), finalists, len(course.lengths) - 1 - number)[0]
    epochs = course.lengths[number + 1]
    while count > 1:
        ahead = pace.of(ranked[:count], epochs) + pace.after(number + 1, count, finalists)
        if spent + ahead <= course.seconds:
            break
        count -= 1
    return count


def _finalists(pace: Pace, number: int, trained: int, spent: float) -> int:
    """How many can be trained to the end; in the first rung, if each of them shall be the best of a few."""
    for finalists in range(FINALISTS, 1, -1):
        count = max(trained, finalists * FACTOR) if number == 0 else trained
        missing = (count - trained) * pace.course.lengths[number] * pace.epoch
        if spent + missing + pace.after(number, count, finalists) <= pace.course.seconds:
            return finalists
    return 1
