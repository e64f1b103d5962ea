"""Who takes part in a training, and which of their layers are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from edgekd.errors import ConfigError
from edgekd.training.lesson import Answers, Batch, Lesson, Shapes
from edgekd.training.losses.base import Loss
from edgekd.training.objective import place_of
from edgekd.training.taps import LayerError, answers, undisturbed
from edgekd.training.teachers import Teaching
from edgekd.training.workers import ALONE, Workers
from edgekd.training.workload import DryPass, Operations, operations_of

STUDENT = ""
ALONE_IN_CLASS: Mapping[str, nn.Module] = MappingProxyType({})


@dataclass(frozen=True)
class Classroom:
    """section: what the file calls the training; student_taps, teacher_taps: the layers that some loss reads, of the
    student and of each teacher or peer by name.

    Peers learn beside the student by the same losses. What one hears is what the student hears with the two in each
    other's place: in the lesson of the peer `twin` the student answers as `twin`.
    """

    student: nn.Module
    teachers: Mapping[str, Teaching]
    losses: Sequence[Loss]
    section: str
    student_taps: tuple[str, ...]
    teacher_taps: Mapping[str, tuple[str, ...]]
    peers: Mapping[str, nn.Module]

    @property
    def learners(self) -> dict[str, nn.Module]:
        """The student, whose name is empty here, and its peers."""
        return {STUDENT: self.student, **self.peers}

    def taps_of(self, learner: str) -> tuple[str, ...]:
        """The layers that are read of one who learns, by its own losses and by those of the others."""
        theirs = (tap for name in self._roles(learner) for tap in self.teacher_taps[name])
        return _unique((*self.student_taps, *theirs))

    def _roles(self, network: str) -> tuple[str, ...]:
        """The names under which a network is heard."""
        return tuple(self.peers) if network == STUDENT else (network,)

    def lessons(self, batch: Batch, said: Sequence[Answers], progress: float, workers: Workers = ALONE) -> list[Lesson]:
        """What everybody says to a batch, for each who learns; said: what they do, in the order of `learners`.

        Raises:
            ConfigError: a teacher has no layer that a loss reads, or cannot answer.
        """
        teachers = {}
        for name, teaching in self.teachers.items():
            with self._named(name):
                teachers[name] = teaching(batch, self.teacher_taps[name], workers)
        lessons = []
        overheard = [each.overheard() for each in said] if self.peers else []
        for own, mine in enumerate(said):
            peers = {name: overheard[0 if place == own else place] for place, name in enumerate(self.peers, start=1)}
            lessons.append(Lesson(batch, mine, {**teachers, **peers}, progress))
        return lessons

    @contextmanager
    def _named(self, network: str) -> Iterator[None]:
        """Gives an error of one who learns or of a teacher its place in the file."""
        try:
            yield
        except LayerError as error:
            error.what = f"{network or 'student'}: {error.what}"
            error.where = self._reader(network, error.layer)
            raise
        except ConfigError as error:
            error.where = error.where or network
            raise

    def _reader(self, network: str, layer: str) -> str:
        """The place in the file of the first loss that reads this layer of a network."""
        return next(
            place_of(self.section, position)
            for position, loss in enumerate(self.losses)
            if (network in self.learners and layer in loss.taps.student)
            or (layer in loss.taps.teacher and any(loss.hears(name) for name in self._roles(network)))
        )

    def dry_pass(self, batch: Batch, *, classes: int, samples: int) -> DryPass:
        """What the losses are made to fit, and what there is to compute for a batch; it changes nothing in anybody.

        Raises:
            ConfigError: as `lesson`; or the student has no layer that a loss reads.
        """
        said: dict[str, Answers] = {}
        counted: dict[str, float] = {}
        for name, module in self.learners.items():
            with undisturbed(module), operations_of() as count, self._named(name):
                said[name] = answers(module, tuple(batch.inputs.values()), self.taps_of(name))
            counted[name] = count()
        with undisturbed(self.student), operations_of() as theirs:
            lessons = self.lessons(batch, list(said.values()), 0.0)
        shapes = {
            name: Shapes(
                classes=classes,
                samples=samples,
                student=_shapes(lesson.student),
                teachers={name: _shapes(each) for name, each in lesson.teachers.items()},
            )
            for name, lesson in zip(said, lessons, strict=True)
        }
        everybody = {**lessons[0].teachers, **said}
        crossing = frozenset(
            name
            for name, each in everybody.items()
            if any(tap.shape[:1] != (len(batch.rows),) for tap in each.taps.values())
        )
        mine = counted.pop(STUDENT)
        operations = Operations(student=mine, teachers=theirs(), peers=sum(counted.values()))
        return DryPass(shapes.pop(STUDENT), operations, crossing, shapes)


def classroom(
    student: nn.Module,
    teachers: Mapping[str, Teaching],
    losses: Sequence[Loss],
    section: str,
    peers: Mapping[str, nn.Module] = ALONE_IN_CLASS,
) -> Classroom:
    """The classroom for these losses, which the file has in this section.

    Raises:
        ConfigError: a loss listens to a network that is not there.
    """
    heard = (*teachers, *peers)
    for position, loss in enumerate(losses):
        if loss.taught and not any(loss.hears(name) for name in heard):
            there = f"only {', '.join(heard)}" if heard else "nobody"
            raise ConfigError(
                f"the loss {loss.use} needs a teacher that it does not find: {there} teaches here",
                where=place_of(section, position),
                hint="name one in `from` or `peers`, or leave it out (an own one that reads none: `labels_only: true`)",
            )
    return Classroom(
        student=student,
        teachers=teachers,
        losses=losses,
        section=section,
        student_taps=_unique(name for loss in losses for name in loss.taps.student),
        teacher_taps={
            teacher: _unique(name for loss in losses if loss.hears(teacher) for name in loss.taps.teacher)
            for teacher in heard
        },
        peers=peers,
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _shapes(said: Answers) -> dict[str, tuple[int, ...]]:
    return {name: tuple(output.shape[1:]) for name, output in said.taps.items()}
