"""A teacher of the user's own: `use: file.py:callable`."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from edgekd.config.component import UserComponent
from edgekd.data.modalities.base import Feeds
from edgekd.records.contract import ModelContract
from edgekd.teachers.base import Answerer, Teacher, checked_logits


class UserTeacher(UserComponent, Teacher):
    """`callable(feeds, **options)` -> logits (N, classes); `feeds` are the model's inputs float32 (N, ...) by name,
    preprocessed.

    A class with `__init__(**options)` and `__call__(feeds)` does too; it is made once, so that it may load something.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def open(self, contract: ModelContract) -> Answerer:
        loaded = self.function()
        answer: Callable[[Feeds], object] = (
            loaded(**self.options) if isinstance(loaded, type) else functools.partial(loaded, **self.options)
        )

        def answerer(feeds: Feeds) -> NDArray[np.float32]:
            samples = len(next(iter(feeds.values())))
            return checked_logits(answer(feeds), samples, len(contract.classes), self.use)

        return answerer
