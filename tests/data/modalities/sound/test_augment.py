from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities import sound
from edgekd.data.modalities.sound import DRAWN
from tests.data.wav_files import tone

GENERATOR = np.random.default_rng(0)
SOUNDS = np.stack([tone(hz, seconds=0.5, height=800) for hz in np.linspace(100, 3900, 40)])
SOUNDS = (SOUNDS + GENERATOR.normal(0, 30, SOUNDS.shape)).astype(np.int16)
SOUNDS[:, 3000:] = 0
SPECS = sound.specify(SOUNDS, {"rate": 8000})
EVERYTHING = AugmentOptions(gain=6, delay=0.1, noise=0.1, hide_time=0.3, hide_pitch=0.3)


def fed(samples: NDArray[np.int16]) -> Tensor:
    return torch.from_numpy(sound.feed(samples, SPECS)["mel"])


def numbers(count: int = 40, **given: float) -> NDArray[np.float64]:
    """Uniform, but for those that are given."""
    drawn = np.random.default_rng(1).random((count, len(DRAWN)))
    for name, value in given.items():
        drawn[:, DRAWN.index(name)] = value
    return drawn


def augmented(bands: Tensor, options: dict[str, Any], drawn: NDArray[np.float64]) -> Tensor:
    change = sound.augmentation(AugmentOptions.model_validate(options), SPECS)
    assert change is not None
    return change({"mel": bands}, drawn)["mel"]


def test_without_options_there_is_nothing_to_do() -> None:
    assert sound.augmentation(AugmentOptions(), SPECS) is None


@pytest.mark.parametrize(("drawn", "factor"), [(1 - 1e-12, 2.0), (0.0, 0.5), (0.5, 1.0)])
def test_a_gain_is_what_louder_samples_would_have_given(drawn: float, factor: float) -> None:
    louder = augmented(fed(SOUNDS), {"gain": 20 * np.log10(2)}, numbers(gain=drawn))
    expected = fed(np.rint(SOUNDS * factor).astype(np.int16))
    assert (louder - expected).abs().max() < (0.02 if factor < 1 else 1e-4)  # halves of odd samples are rounded


def test_silence_stays_silence_however_loud_it_is_made() -> None:
    silent = fed(np.zeros((40, 4000), np.int16))
    assert (augmented(silent, {"gain": 20}, numbers()) - silent).abs().max() < 1e-3  # a hundredfold rounding error


@pytest.mark.parametrize(("drawn", "frames"), [(0.0, -2), (0.5, 0), (1 - 1e-12, 2)])
def test_a_delay_is_what_moved_samples_would_have_given(drawn: float, frames: int) -> None:
    moved = augmented(fed(SOUNDS), {"delay": 0.032}, numbers(delay=drawn))
    samples = np.zeros_like(SOUNDS)
    by = frames * 128
    if by >= 0:
        samples[:, by:] = SOUNDS[:, : SOUNDS.shape[1] - by]
    else:
        samples[:, :by] = SOUNDS[:, -by:]
    inner = slice(2, None) if frames > 0 else slice(None)  # two frames would begin before the recording
    np.testing.assert_allclose(moved[..., inner], fed(samples)[..., inner], atol=1e-6)
    if frames > 0:
        assert (moved[..., :2] - fed(np.zeros((1, 4000), np.int16))[..., :2]).abs().max() < 1e-5


def test_every_delay_in_whole_frames_is_as_frequent() -> None:
    silent = fed(np.zeros((1, 4000), np.int16))
    click = silent.repeat(6000, 1, 1, 1)
    click[:, :, :, 10] = 5
    found = augmented(click, {"delay": 0.05}, numbers(6000))[:, 0, 0].argmax(dim=1) - 10
    counts = np.bincount(found.numpy() + 3)
    assert len(counts) == 7
    assert np.abs(counts / 6000 - 1 / 7).max() < 0.02


def test_noise_is_normal_with_the_given_standard_deviation_and_another_in_each_sound() -> None:
    added = augmented(fed(SOUNDS), {"noise": 0.25}, numbers()) - fed(SOUNDS)
    assert added.std() == pytest.approx(0.25, rel=0.02)
    assert abs(float(added.mean())) < 0.005
    assert abs(float(torch.corrcoef(added.reshape(40, -1))[0, 1])) < 0.1


@pytest.mark.parametrize(("option", "axis", "length"), [("hide_time", 2, 30), ("hide_pitch", 1, 16)])
def test_what_is_hidden_is_the_mean_in_one_span_of_up_to_that_share(option: str, axis: int, length: int) -> None:
    ones = torch.ones(4000, 1, 16, 30)
    found = augmented(ones, {option: 0.25}, numbers(4000))[:, 0]
    hidden = (found == 0).all(dim=3 - axis).numpy()
    assert hidden.shape == (4000, length)
    assert ((found == 0).any(dim=3 - axis).numpy() == hidden).all()
    counts = hidden.sum(axis=1)
    assert counts.max() == length // 4
    assert counts.min() == 0
    changes = np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1)
    assert ((changes == 1).sum(axis=1) <= 1).all()
    assert hidden.any(axis=0).all()


@given(st.integers(0, 39), st.integers(1, 40))
def test_a_view_of_a_sound_depends_on_its_own_numbers_alone(row: int, batch: int) -> None:
    bands, drawn = fed(SOUNDS), numbers()
    change = sound.augmentation(EVERYTHING, SPECS)
    assert change is not None
    together = change({"mel": bands}, drawn)["mel"][row]
    rows = [row, *range(batch)]
    assert torch.equal(change({"mel": bands[rows]}, drawn[rows])["mel"][0], together)


def test_the_numbers_of_what_is_not_asked_for_change_nothing() -> None:
    for option, own in (("gain", ["gain"]), ("delay", ["delay"]), ("noise", ["noise"])):
        others = {name: 0.123 for name in DRAWN if name not in own}
        value = {option: 0.1}
        once, again = augmented(fed(SOUNDS), value, numbers()), augmented(fed(SOUNDS), value, numbers(40, **others))
        assert torch.equal(once, again)
