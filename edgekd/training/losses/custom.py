"""A loss of the user's own: `use: file.py:callable`."""

from __future__ import annotations

import functools
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from edgekd.config.component import UserComponent
from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Loss, Taps, Term


class UserLoss(UserComponent, Loss):
    """`callable(lesson, **options)` -> scalar tensor; `lesson` is an `edgekd.training.lesson.Lesson`.

    A class with `__init__(**options)` and `__call__(lesson)` does too, made once; when it is an `nn.Module`, its
    parameters are trained with the student's and dropped afterwards.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    labels_only: bool = Field(False, description="it reads no teacher, so that the control learns with it too")
    student_layers: tuple[str, ...] = Field((), description="layers of the student in `lesson.student.taps`")
    teacher_layers: tuple[str, ...] = Field((), description="layers of each teacher in its `taps`")

    @model_validator(mode="after")
    def _reads_teachers_or_not(self) -> Self:
        if self.labels_only and self.teacher_layers:
            raise ValueError("labels_only and teacher_layers exclude each other")
        return self

    @property
    def taught(self) -> bool:
        return not self.labels_only

    @property
    def taps(self) -> Taps:
        return Taps(student=self.student_layers, teacher=self.teacher_layers)

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - a user's term takes its own options alone
        loaded = self.function()
        if not isinstance(loaded, type):
            return functools.partial(loaded, **self.options)
        with self.called():
            term: Term = loaded(**self.options)
        return term
