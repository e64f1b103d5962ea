"""Who takes part in a training, and which of their layers are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from edgekd.errors import ConfigError
from edgekd.training.lesson import Answers, Batch, Lesson, Shapes
from edgekd.training.losses.base import Loss
from edgekd.training.objective import place_of
from edgekd.training.taps import LayerError, answers, undisturbed
from edgekd.training.teachers import Teaching
from edgekd.training.workers import ALONE, Workers
from edgekd.training.workload import DryPass, Operations, operations_of


@dataclass(frozen=True)
class Classroom:
    """section: what the file calls the training; student_taps, teacher_taps: the layers that some loss reads, of the
    student and of each teacher by name."""

    student: nn.Module
    teachers: Mapping[str, Teaching]
    losses: Sequence[Loss]
    section: str
    student_taps: tuple[str, ...]
    teacher_taps: Mapping[str, tuple[str, ...]]

    def lesson(self, batch: Batch, said: Answers, progress: float, workers: Workers = ALONE) -> Lesson:
        """What everybody says to a batch; said: what the student does.

        Raises:
            ConfigError: a teacher has no layer that a loss reads, or cannot answer.
        """
        teachers = {}
        for name, teaching in self.teachers.items():
            with self._named(name):
                teachers[name] = teaching(batch, self.teacher_taps[name], workers)
        return Lesson(batch, said, teachers, progress)

    @contextmanager
    def _named(self, teacher: str | None) -> Iterator[None]:
        """Gives an error of the student (None) or of a teacher its place in the file."""
        try:
            yield
        except LayerError as error:
            error.what = f"{teacher or 'student'}: {error.what}"
            error.where = self._reader(teacher, error.layer)
            raise
        except ConfigError as error:
            error.where = error.where or teacher
            raise

    def _reader(self, teacher: str | None, layer: str) -> str:
        """The place in the file of the first loss that reads this layer, of a teacher or of the student."""
        return next(
            place_of(self.section, position)
            for position, loss in enumerate(self.losses)
            if layer in (loss.taps.student if teacher is None else loss.taps.teacher)
            and (teacher is None or loss.hears(teacher))
        )

    def dry_pass(self, batch: Batch, *, classes: int, samples: int) -> DryPass:
        """What the losses are made to fit, and what there is to compute for a batch; it changes nothing in anybody.

        Raises:
            ConfigError: as `lesson`; or the student has no layer that a loss reads.
        """
        with undisturbed(self.student):
            with operations_of() as mine, self._named(None):
                said = answers(self.student, tuple(batch.inputs.values()), self.student_taps)
            with operations_of() as theirs:
                lesson = self.lesson(batch, said, 0.0)
        shapes = Shapes(
            classes=classes,
            samples=samples,
            student=_shapes(lesson.student),
            teachers={name: _shapes(each) for name, each in lesson.teachers.items()},
        )
        everybody = {"": lesson.student, **lesson.teachers}
        crossing = frozenset(
            name
            for name, each in everybody.items()
            if any(tap.shape[:1] != (len(batch.rows),) for tap in each.taps.values())
        )
        return DryPass(shapes, Operations(student=mine(), teachers=theirs()), crossing)


def classroom(student: nn.Module, teachers: Mapping[str, Teaching], losses: Sequence[Loss], section: str) -> Classroom:
    """The classroom for these losses, which the file has in this section.

    Raises:
        ConfigError: a loss listens to a teacher that is not there.
    """
    for position, loss in enumerate(losses):
        if loss.taught and not any(loss.hears(name) for name in teachers):
            there = f"only {', '.join(teachers)}" if teachers else "nobody"
            raise ConfigError(
                f"the loss {loss.use} needs a teacher that it does not find: {there} teaches here",
                where=place_of(section, position),
                hint="name one in `from`, or leave the term out (an own loss that reads none: `labels_only: true`)",
            )
    return Classroom(
        student=student,
        teachers=teachers,
        losses=losses,
        section=section,
        student_taps=_unique(name for loss in losses for name in loss.taps.student),
        teacher_taps={
            teacher: _unique(name for loss in losses if loss.hears(teacher) for name in loss.taps.teacher)
            for teacher in teachers
        },
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _shapes(said: Answers) -> dict[str, tuple[int, ...]]:
    return {name: tuple(output.shape[1:]) for name, output in said.taps.items()}
