"""A teacher of the user's own: `use: file.py:callable`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from edgekd.config.component import UserComponent
from edgekd.config.normalisation import OwnNormalisation
from edgekd.data.modalities.base import Feeds
from edgekd.records.contract import ModelContract
from edgekd.teachers.base import Answerer, Teacher, checked_logits

CALLED = "it is called with the inputs float32 (N, ...) by name and with the options in the file"


class UserTeacher(OwnNormalisation, UserComponent, Teacher):
    """`callable(feeds, **options)` -> logits (N, classes); `feeds` are the model's inputs float32 (N, ...) by name,
    normalised as the data says, or with `mean` and `std`.

    A class with `__init__(**options)` and `__call__(feeds)` does too; it is made once, so that it may load something.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def open(self, contract: ModelContract) -> Answerer:
        loaded = self.function()
        answer: Callable[[Feeds], object] = functools.partial(loaded, **self.options)
        if isinstance(loaded, type):
            with self.called(hint=CALLED):
                answer = loaded(**self.options)
        wanted = None if self.normalisation is None else self.normalisation.from_data(contract)

        def answerer(feeds: Feeds) -> NDArray[np.float32]:
            samples = len(next(iter(feeds.values())))
            if wanted is not None:
                feeds = {name: _scaled(each, *wanted) for name, each in feeds.items()}
            with self.called(hint=CALLED):
                answered = answer(feeds)
            return checked_logits(answered, samples, len(contract.classes), self.use)

        return answerer


def _scaled(inputs: NDArray[np.float32], scale: Sequence[float], offset: Sequence[float]) -> NDArray[np.float32]:
    """x · scale + offset, by channel."""
    factor, summand = (np.array(each, np.float32).reshape(1, -1, *[1] * (inputs.ndim - 2)) for each in (scale, offset))
    return inputs * factor + summand
