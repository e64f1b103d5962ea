"""Random changes to a whole batch of sounds at once, on the bands of pitch that a model is fed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities.noise import noise_like
from edgekd.data.modalities.sound import DRAWN
from edgekd.data.modalities.spans import spans
from edgekd.data.tensors import moved

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Spec


class SoundAugment:
    """Changed copies of the one input: (log-mel - mean) / std, float32 (N, 1, M, T).

    First the loudness, then the time, then noise, then what is hidden. Every sound is computed by itself and from its
    own row of numbers.
    """

    def __init__(self, spec: Spec, options: AugmentOptions) -> None:
        self.name = spec["name"]
        self.options = options
        rules = spec["preprocessing"]
        self.frames = round(options.delay * rules["rate"] / rules["hop"])
        self.floor = float(rules["floor"])
        mean, std = (np.array(rules[key]).reshape(1, 1, -1, 1) for key in ("mean", "std"))
        self.mean, self.std, self.silence = (
            torch.from_numpy(each.astype(np.float32)) for each in (mean, std, (np.log(self.floor) - mean) / std)
        )

    def __call__(self, inputs: dict[str, Tensor], numbers: NDArray[np.float64]) -> dict[str, Tensor]:
        """numbers: float64 (N, len(DRAWN)) in [0, 1)."""
        options, bands = self.options, inputs[self.name]
        drawn = {each: numbers[:, column] for column, each in enumerate(DRAWN)}
        if options.gain:
            bands = self._louder(bands, (drawn["gain"] * 2 - 1) * options.gain)
        if self.frames:
            bands = self._delayed(bands, drawn["delay"])
        if options.noise:
            bands = noise_like(bands, drawn["noise"]).mul_(options.noise).add_(bands)
        if options.hide_time:
            hidden = _hidden(drawn["time"], drawn["time_length"], options.hide_time, bands.shape[3])
            bands = bands * moved(hidden, bands.device)[:, None, None, :]
        if options.hide_pitch:
            hidden = _hidden(drawn["pitch"], drawn["pitch_length"], options.hide_pitch, bands.shape[2])
            bands = bands * moved(hidden, bands.device)[:, None, :, None]
        return {**inputs, self.name: bands}

    def _louder(self, bands: Tensor, decibels: NDArray[np.float64]) -> Tensor:
        """As if the samples had been multiplied before the bands were made of them: exact, but for clipping.

        With x = log(E + f) of the energy E and the floor f, a factor g of energy makes log(g E + f) = x + log(s +
        g (1 - s)), where s = f / exp(x) is 1 in silence, which so stays silence.
        """
        factor = moved((10 ** (decibels / 10)).astype(np.float32), bands.device).reshape(-1, 1, 1, 1)
        mean, std = moved(self.mean, bands.device), moved(self.std, bands.device)
        above = (bands * std + mean - math.log(self.floor)).clamp_(min=0)  # of the floor; rounding may lead below
        return bands + torch.log(torch.exp(-above) - factor * torch.expm1(-above)) / std

    def _delayed(self, bands: Tensor, numbers: NDArray[np.float64]) -> Tensor:
        """Each sound moved by whole frames, to either side; silence comes in."""
        by = np.floor(numbers * (2 * self.frames + 1)).astype(np.int64) - self.frames
        length = bands.shape[3]
        places = np.arange(length) - by[:, None]
        inside = moved(((places >= 0) & (places < length))[:, None, None, :], bands.device)
        wanted = moved(places.clip(0, length - 1), bands.device)[:, None, None, :].expand_as(bands)
        return torch.where(inside, bands.gather(3, wanted), moved(self.silence, bands.device))


def _hidden(
    numbers: NDArray[np.float64], lengths: NDArray[np.float64], most: float, length: int
) -> NDArray[np.float32]:
    """0 in a span of up to `most` of the length, 1 elsewhere: float32 (N, length). 0 is the mean of every band.

    Source: Park et al. 2019, SpecAugment, section 2.
    """
    sides = np.floor(lengths * (np.floor(most * length) + 1)).astype(np.int64)
    return 1 - spans(numbers, length, sides).astype(np.float32)
