"""What every loss term gives: a function from a lesson to one number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from edgekd.config.component import Component, Use
from edgekd.training.lesson import Answers, Lesson, Shapes

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.config.training import TrainingOptions
    from edgekd.models.reuse import Reuse
    from edgekd.training.temperatures.base import Schedule, Temperature

Term = Callable[[Lesson], "Tensor"]
"""A `Lesson` to a scalar, the mean over the batch."""

Compare = Callable[["Tensor", "Tensor", Lesson], "Tensor"]
"""What the student gives, what a teacher gives of the same kind, and the lesson, to a scalar."""


@dataclass(frozen=True)
class Taps:
    """The layers that a term reads, by name: of the student, and of each teacher that it hears."""

    student: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()


class Loss(Component):
    """One term of an objective: `weight` times the term's value."""

    weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of this term in the sum")
    warmup: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the training over which the weight rises along a line from 0; 0: it is there at once",
    )

    def weight_at(self, progress: float) -> float:
        """The weight when this share of the training is over."""
        return self.weight * min(1.0, progress / self.warmup) if self.warmup else self.weight

    @property
    def taught(self) -> bool:
        """Whether it needs a teacher."""
        return False

    @property
    def taps(self) -> Taps:
        """The layers that it reads; no layer is recorded that no term reads."""
        return Taps()

    def hears(self, teacher: str) -> bool:  # noqa: ARG002 - the signature of those that hear some
        """Whether it compares the student with this one of its teachers."""
        return self.taught

    def check(self, options: TrainingOptions) -> None:
        """
        Raises:
            ConfigError: it cannot be had in a training with these options.
        """

    def reusing(self, network: str, reuse: Reuse) -> Loss:  # noqa: ARG002 - the signature of the one that reads it
        """The same term for a student that ends in the classifier of this network; `reuse`: where."""
        return self

    @abstractmethod
    def build(self, shapes: Shapes) -> Term:
        """The term; when it is an `nn.Module`, its parameters are trained with the student's and dropped afterwards."""


class TaughtLoss(Loss):
    """The base of terms that compare the student with teachers."""

    network: str | None = Field(
        None, description="the teacher or peer to listen to; by default all that the student learns from, their mean"
    )

    @property
    def taught(self) -> bool:
        return True

    def hears(self, teacher: str) -> bool:
        return self.network in (None, teacher.partition(".")[0])  # `teacher.2` is of the ensemble of `teacher`

    def heard(self, lesson: Lesson) -> dict[str, Answers]:
        """The answers of the teachers that this term listens to, by name."""
        return {name: answers for name, answers in lesson.teachers.items() if self.hears(name)}


class ResponseLoss(TaughtLoss):
    """The base of terms that compare answers: logits, not layers."""

    standardise: bool = Field(
        False,
        description="bring each sample's logits to mean 0 and standard deviation 1 first, in student and teacher; 2 is "
        "a customary temperature then",
    )
    several: Literal["each", "mean", "confident"] = Field(
        "each",
        description="what several teachers say: each: the mean of the term over them; mean: they are one teacher with "
        "the mean of their probabilities; confident: so, but in each sample the surer ones count more",
    )

    def between(self, compare: Compare, *parts: object) -> Term:
        """The term of `compare(student, teacher, lesson)`, both logits (N, C): the mean over the teachers that it
        hears; those of `parts` that are modules are trained with the student."""
        return self.between_each(lambda _teacher: compare, parts)

    def between_each(self, compare: Callable[[str], Compare], parts: Iterable[object]) -> Term:
        """The same where each teacher, by its name, has a comparison of its own."""
        import torch

        from edgekd.training.losses.parts import TermWithParts, agreed, standardised

        def seen(logits: Tensor) -> Tensor:
            return standardised(logits) if self.standardise else logits

        def term(lesson: Lesson) -> Tensor:
            student = seen(lesson.student.logits)
            teachers = {name: answers.logits for name, answers in self.heard(lesson).items()}
            if self.several != "each":
                agreement = agreed(list(teachers.values()), confident=self.several == "confident")
                teachers = {next(iter(teachers)): agreement}
            values = [compare(name)(student, seen(logits), lesson) for name, logits in teachers.items()]
            return torch.stack(values).mean()

        return TermWithParts(term, *parts)


class SoftenedLoss(ResponseLoss):
    """The base of terms with a temperature."""

    temperature: Annotated[Component, Use("temperatures")] | None = Field(
        None, description="softens both networks' outputs; by default the section's"
    )

    def softening(self) -> Schedule:
        """The temperature at each progress; `with_temperature` has given one to a term that sets none."""
        assert self.temperature is not None
        return cast("Temperature", self.temperature).build()


class FeatureLoss(TaughtLoss):
    """The base of terms that compare a layer of the student with one of each teacher."""

    student: str = Field(description="layer of the student, by its name (`edgekd list layers`)")
    teacher: str = Field(description="layer of the teacher that it is compared with, by its name")

    @property
    def taps(self) -> Taps:
        return Taps(student=(self.student,), teacher=(self.teacher,))

    @abstractmethod
    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:
        """How the two layers are compared, made to fit their shapes without the batch; when it is an `nn.Module`, its
        parameters are trained with the student's. Each teacher has one of its own.

        Raises:
            ConfigError: layers of these shapes cannot be compared.
        """

    def build(self, shapes: Shapes) -> Term:
        import torch

        from edgekd.training.losses.parts import TermWithParts

        mine = shapes.student[self.student]
        compares = {
            name: self.comparing(mine, taps[self.teacher], shapes)
            for name, taps in shapes.teachers.items()
            if self.hears(name)
        }

        def term(lesson: Lesson) -> Tensor:
            student = lesson.student.taps[self.student]
            values = [
                compares[name](student, answers.taps[self.teacher], lesson)
                for name, answers in self.heard(lesson).items()
            ]
            return torch.stack(values).mean()

        return TermWithParts(term, *compares.values())
