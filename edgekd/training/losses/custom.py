"""A loss of the user's own: `use: file.py:callable`."""

from __future__ import annotations

import functools

from pydantic import ConfigDict

from edgekd.config.component import UserComponent
from edgekd.training.losses.base import Loss, Term


class UserLoss(UserComponent, Loss):
    """`callable(batch, **options)` -> scalar tensor; `batch` is an `edgekd.training.losses.base.Batch`.

    A class with `__init__(**options)` and `__call__(batch)` does too; when it is an `nn.Module`, its parameters
    are trained with the student's.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def build(self, temperature: float) -> Term:  # noqa: ARG002 - a user's term names its own options
        loaded = self.function()
        term: Term = loaded(**self.options) if isinstance(loaded, type) else functools.partial(loaded, **self.options)
        return term
