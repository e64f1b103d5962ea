"""Labels as they stand in files: which classes they are, and the number of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ConfigError


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that occur, sorted: as numbers where all of them are, and then of spellings of the same number the
    shortest."""
    names = sorted(set(labels))
    numbers: dict[Decimal, str] = {}
    for name in sorted(names, key=len):
        number = _number(name)
        if number is None:
            return tuple(names)
        numbers.setdefault(number, name)
    return tuple(numbers[number] for number in sorted(numbers))


def class_numbers(labels: Sequence[str], classes: Sequence[str], places: Sequence[str]) -> NDArray[np.int64]:
    """int64 (N,), the place of each label among the classes. places: where each label stands, for the error.

    Raises:
        ConfigError: a label is none of them.
    """
    key: Callable[[str], object] = str if any(_number(name) is None for name in classes) else _number
    numbers = {key(name): number for number, name in enumerate(classes)}
    for place, label in zip(places, labels, strict=True):
        if key(label) not in numbers:
            raise ConfigError(
                f"the label {label!r} does not occur in the training file",
                hint=f"the classes are {', '.join(classes)}",
                where=place,
            )
    return np.array([numbers[key(label)] for label in labels], dtype=np.int64)


def _number(label: str) -> Decimal | None:
    """None where it is no finite one; exact, since float would take two long numbers for one."""
    try:
        number = Decimal(label)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
