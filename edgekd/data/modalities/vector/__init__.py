"""Vectors: rows of numbers, such as the readings of sensors, each feature brought to zero mean and unit variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.data.modalities.vector.inputs import FEW
from edgekd.data.modalities.vector.inputs import accepted as accepted
from edgekd.data.modalities.vector.inputs import feed as feed
from edgekd.data.modalities.vector.inputs import read as read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from edgekd.config.training import AugmentOptions
    from edgekd.data.modalities.base import Augment, Spec

KEY = "features"
NOUN = "rows"
RAW = False
LABELS_HOLD = True
LIMITS = (
    "The accuracy holds for rows like the test rows; nothing in the model notices a row of another kind, and each is "
    "given one of the classes.",
    "Columns are known by their place alone: they must come in the order and units of training, none missing.",
)


def specify(samples: Any, reading: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
    """The one input `features`: float32 (F,), with mean and standard deviation of each feature, and with `reading`.

    A feature that is the same in every training row keeps the standard deviation 1: it tells the model nothing, but
    one dead sensor is no reason to stop.

    Raises:
        ValueError: as `accepted`.
    """
    first = accepted(samples[:1])[0]
    parts = [slice(start, start + FEW) for start in range(0, len(samples), FEW)]
    total, same = np.zeros(len(first)), np.ones(len(first), dtype=bool)
    for each in parts:
        features = accepted(samples[each])
        total += features.sum(axis=0, dtype=np.float64)
        same &= (features == first).all(axis=0)
    mean = total / len(samples)
    std = np.sqrt(sum(((accepted(samples[each]) - mean) ** 2).sum(axis=0) for each in parts) / len(samples))
    std[same] = 1.0  # by comparison: the mean of equal numbers is rounded
    # nine digits: as many as tell float32 numbers apart
    preprocessing = {"mean": [float(f"{each:.9g}") for each in mean], "std": [float(f"{each:.9g}") for each in std]}
    preprocessing |= dict(reading)
    return [{"name": "features", "dtype": "float32", "shape": [len(mean)], "preprocessing": preprocessing}]


def shifted(
    samples: NDArray[np.float32], specs: Sequence[Spec], kind: str, amount: float, seed: int
) -> NDArray[np.float32]:
    """Copies with Gaussian noise, `amount` times as wide as the features of the training samples.

    Raises:
        ValueError: another kind of change, of which vectors know none.
    """
    if kind != "noise":
        raise ValueError(f"{kind} is for images\nvectors take noise")
    spread = np.array(specs[0]["preprocessing"]["std"], dtype=np.float32)
    drawn = np.random.default_rng(seed).standard_normal(samples.shape, dtype=np.float32)
    changed: NDArray[np.float32] = samples + np.float32(amount) * spread * drawn
    return changed


def augmentation(options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
    """Gaussian noise on the standardised features.

    Raises:
        ValueError: an option that features have no use for.
    """
    from edgekd.data.modalities.base import asked_for

    if not asked_for(options, {"noise"}, NOUN):
        return None
    import torch

    from edgekd.data.tensors import moved

    (spec,) = specs

    def augment(inputs: dict[str, Tensor], numbers: NDArray[np.float64]) -> dict[str, Tensor]:
        """numbers: float64 (N, F) in [0, 1)."""
        features = inputs[spec["name"]]
        inside = np.maximum(numbers, 2.0**-54)  # 0 itself would be infinitely far out
        normal = torch.special.ndtri(torch.from_numpy(inside)).float()
        return {**inputs, spec["name"]: features + options.noise * moved(normal, features.device)}

    return augment


def numbers(specs: Sequence[Spec]) -> int:
    """One for each feature."""
    return int(specs[0]["shape"][0])


def alternating(options: AugmentOptions) -> Sequence[int]:  # noqa: ARG001 - the signature of every kind of input
    """None of them."""
    return ()


def facts(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Of input and preprocessing."""
    (spec,) = specs
    return [
        ("input", f"`{spec['name']}`: {spec['dtype']} (N, {spec['shape'][0]}), columns in the order of training"),
        ("preprocessing", "(feature − mean) / std; manifest.json has both for each column"),
    ]


def cpp_constants(specs: Sequence[Spec]) -> list[str]:
    """For `inputs.h`."""
    (spec,) = specs
    mean, std = (", ".join(repr(float(each)) for each in spec["preprocessing"][key]) for key in ("mean", "std"))
    return [
        "using Element = float;",
        f"constexpr std::size_t FEATURES = {spec['shape'][0]};",
        f"constexpr double MEAN[FEATURES] = {{{mean}}};",
        f"constexpr double STD[FEATURES] = {{{std}}};",
    ]
