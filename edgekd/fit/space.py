"""Which shapes there are to try, and which of them are drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import JsonValue

from edgekd.config.fit import Variation
from edgekd.config.select import Range
from edgekd.fit.shape import Shape

Choices = Sequence[JsonValue]
STEP = 1.25  # from one width to the next wider one at least
FRUITLESS = 200  # draws in a row that give nothing new: there is nothing new


def multiples(least: int, most: int, of: int) -> list[int]:
    """Multiples of a number, each at least STEP times the one before: of 8 from 8 to 64 these are 8, 16, 24, 32, 40,
    56."""
    found: list[int] = []
    for each in range(max(of, -(-least // of) * of), max(of, most) + 1, of):
        if not found or each >= STEP * found[-1]:
            found.append(each)
    return found


def defaults(use: str, multiple: int) -> dict[str, Choices]:
    """What varies of an architecture where the user does not say; None leaves an option out."""
    aligned: Choices = [multiple] if multiple > 1 else [None]
    staged: dict[str, Choices] = {
        "growth": [1, 1.5, 2],
        "stride": [1, 2],
        "kernel": [None, None, 5],  # by default 3; at 5 few shapes are small enough
        "aligned": aligned,
    }
    known: dict[str, dict[str, Choices]] = {
        "conv": {"width": multiples(4, 64, multiple), "depth": [1, 2, 3], "stages": [1, 2, 3, 4, 5], **staged},
        "ds_cnn": {"width": multiples(4, 128, multiple), "depth": [1, 2, 3], "stages": [2, 3, 4], **staged},
        "resnet": {"width": multiples(4, 64, multiple), "depth": [1, 2, 3], "stages": [1, 2, 3, 4], **staged},
        "ds_resnet": {
            "stem": multiples(4, 48, multiple),
            "width": multiples(8, 128, multiple),
            "blocks": [[1, 1], [1, 2], [2, 2], [2, 3], [3, 4], [1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 3, 3]],
        },
        "mlp": {"width": multiples(4, 512, multiple), "depth": [1, 2, 3]},
    }
    return known.get(use, {})


def automatic(dimensions: int) -> list[Variation]:
    """The architectures that suit an input of so many dimensions without the batch."""
    names = ("conv", "ds_cnn", "ds_resnet", "resnet") if dimensions == 3 else ("mlp",)
    return [Variation(use=name) for name in names]


def options_of(variation: Variation, multiple: int) -> dict[str, Choices | Range]:
    """Of each option what it is drawn of: what the user says, else the default."""
    own = {key: each if isinstance(each, (list, Range)) else [each] for key, each in variation.options.items()}
    # who gives values for one option of a shape gives them all: what is left out is as the architecture has it
    return {**own} if own else dict(defaults(variation.use, multiple))


class Space:
    """Shapes that have not been drawn yet, in an order that the seed decides, of all variations in turns."""

    def __init__(self, variations: Sequence[Variation], multiple: int, seed: int) -> None:
        self._options = [(each.use, options_of(each, multiple)) for each in variations]
        self._generator = np.random.default_rng(seed)
        self._drawn: set[str] = set()

    def __iter__(self) -> Iterator[Shape]:
        """Ends when nothing new is drawn any more."""
        fruitless = 0
        turn = 0
        while fruitless < FRUITLESS * len(self._options):
            use, options = self._options[turn % len(self._options)]
            turn += 1
            shape = {"use": use, **self._one(options)}
            key = json.dumps(shape, sort_keys=True)
            if key in self._drawn:
                fruitless += 1
                continue
            fruitless = 0
            self._drawn.add(key)
            yield shape

    def _one(self, options: Mapping[str, Choices | Range]) -> Shape:
        drawn = {key: self._value(each) for key, each in options.items()}
        return {key: each for key, each in drawn.items() if each is not None}

    def _value(self, choices: Choices | Range) -> JsonValue:
        if isinstance(choices, Range):
            return _within(choices, float(self._generator.random()))
        return choices[int(self._generator.integers(len(choices)))]


def _within(between: Range, share: float) -> JsonValue:
    """The number at a share, in [0, 1), of the range; whole where it can be."""
    low, high = between.low, between.high
    if between.step is not None:
        steps = int((high - low) / between.step + 1e-9) + 1
        value = low + between.step * int(share * steps)
    elif between.log:
        value = low * (high / low) ** share
    else:
        value = low + (high - low) * share
    return int(value) if float(value).is_integer() else value
