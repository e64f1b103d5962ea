from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities import sound
from edgekd.data.modalities.sound import inputs
from tests.data.wav_files import tone

SOUNDS = np.stack([tone(hz, height=200 * (n + 1)) for n, hz in enumerate(np.linspace(100, 3900, 40))])
SPECS = sound.specify(SOUNDS, {"rate": 8000})
RULES = SPECS[0]["preprocessing"]


def by_hand(samples: NDArray[np.int16], rules: dict[str, Any]) -> NDArray[np.float64]:
    """Log-mel (T, M) of one sound, in loops and with a Fourier transform written out."""
    taper = signal.get_window("hann", rules["window"])
    bins = rules["fft"] // 2 + 1
    places = np.arange(rules["window"])
    transform = np.exp(-2j * np.pi * np.outer(np.arange(bins), places) / rules["fft"])

    def pitch(hz: float) -> float:
        return float(1127.01048 * np.log(1 + hz / 700))  # 2595 log10, in natural logarithms

    lowest, highest = pitch(rules["low_hz"]), pitch(rules["high_hz"])
    corners = [lowest + (highest - lowest) * n / (rules["mels"] + 1) for n in range(rules["mels"] + 2)]
    middles = [700 * (np.exp(each / 1127.01048) - 1) for each in corners]
    found = []
    for start in range(0, len(samples) - rules["window"] + 1, rules["hop"]):
        power = np.abs(transform @ (samples[start : start + rules["window"]] / 32768 * taper)) ** 2 / (taper**2).sum()
        row = []
        for band in range(rules["mels"]):
            left, middle, right = middles[band : band + 3]
            energy = 0.0
            for number in range(bins):
                hz = number * rules["rate"] / rules["fft"]
                if left < hz <= middle:
                    energy += power[number] * (hz - left) / (middle - left)
                elif middle < hz < right:
                    energy += power[number] * (right - hz) / (right - middle)
            row.append(np.log(energy + rules["floor"]))
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize(("rate", "extra"), [(8000, {}), (16000, {}), (16000, {"window": 400, "hop": 160, "mels": 23})])
def test_the_bands_are_what_the_formula_gives_in_plain_loops(rate: int, extra: dict[str, int]) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, (1, 3000)).astype(np.int16)
    (spec,) = sound.specify(noise, {"rate": rate, **extra})
    found = inputs.log_mel(noise, spec["preprocessing"])[0]
    np.testing.assert_allclose(found, by_hand(noise[0], spec["preprocessing"]), rtol=0, atol=1e-5)
    assert found.shape == (spec["shape"][2], spec["shape"][1])


@pytest.mark.parametrize("hz", [150, 440, 1000, 2500, 3700])
def test_a_tone_lights_the_band_whose_middle_is_nearest_in_pitch(hz: float) -> None:
    lowest, highest = 2595 * np.log10(1 + np.array([60.0, 4000.0]) / 700)
    edges = np.linspace(lowest, highest, 18)
    middles = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    bands = inputs.log_mel(tone(hz)[np.newaxis], RULES)[0]
    assert (bands.argmax(axis=1) == np.abs(middles - hz).argmin()).all()


def test_white_noise_has_its_variance_in_every_bin() -> None:
    noise = np.random.default_rng(0).normal(0, 3276.8, (50, 8000)).astype(np.int16)
    energy = np.exp(inputs.log_mel(noise, RULES)).mean(axis=(0, 1))
    weights = inputs.bank_of(RULES).sum(axis=0)
    np.testing.assert_allclose(energy / weights, 0.01, rtol=0.05)


def test_silence_is_the_floor() -> None:
    assert (inputs.log_mel(np.zeros((1, 8000), np.int16), RULES) == np.log(1e-6)).all()


def test_each_band_of_the_training_sounds_has_mean_0_and_variance_1() -> None:
    fed = sound.feed(SOUNDS, SPECS)["mel"]
    assert fed.shape == (40, 1, 16, 61)
    np.testing.assert_allclose(fed.mean(axis=(0, 1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(fed.std(axis=(0, 1, 3)), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(8000, (256, 128, 256, 16, 4000.0)), (16000, (512, 256, 512, 40, 8000.0)), (44100, (1411, 706, 2048, 40, 8000.0))],
)
def test_the_rate_decides_what_is_not_said(rate: int, expected: tuple[float, ...]) -> None:
    (spec,) = sound.specify(np.ones((2, rate), np.int16), {"rate": rate})
    rules = spec["preprocessing"]
    assert tuple(rules[key] for key in ("window", "hop", "fft", "mels", "high_hz")) == expected
    assert rules["samples"] == rate


def test_without_a_word_sounds_are_of_16_khz() -> None:
    assert sound.specify(SOUNDS)[0]["preprocessing"]["rate"] == 16000


def test_a_silent_band_keeps_the_standard_deviation_1() -> None:
    (spec,) = sound.specify(np.zeros((3, 8000), np.int16), {"rate": 8000})
    assert spec["preprocessing"]["std"] == [1.0] * 16
    assert np.abs(sound.feed(np.zeros((3, 8000), np.int16), [spec])["mel"]).max() < 1e-5


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="sounds of 100 samples are shorter than one frame of 256\nmake `seconds`"):
        sound.specify(SOUNDS[:, :100], {"rate": 8000})
    with pytest.raises(
        ValueError, match="200 bands of pitch are narrower than 256 samples at 8000 Hz can tell apart\ntake"
    ):
        sound.specify(SOUNDS, {"rate": 8000, "mels": 200})


@pytest.mark.parametrize("wrong", [SOUNDS.astype(np.float32), SOUNDS[0], SOUNDS[:, :, None], SOUNDS[:0], SOUNDS[:, :0]])
def test_what_is_no_array_of_sounds_is_refused(wrong: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"is not an array of sounds\nexpected int16 \(N, S\)"):
        sound.accepted(wrong)


def test_shifted_noise_is_so_much_weaker_than_each_sound() -> None:
    changed = sound.shifted(SOUNDS, SPECS, "noise", 0.1, 3)
    added = changed.astype(float) - SOUNDS
    strength = np.sqrt((SOUNDS.astype(float) ** 2).mean(axis=1))
    np.testing.assert_allclose(np.sqrt((added**2).mean(axis=1)) / strength, 0.1, rtol=0.05)
    np.testing.assert_array_equal(changed, sound.shifted(SOUNDS, SPECS, "noise", 0.1, 3))
    assert (changed != sound.shifted(SOUNDS, SPECS, "noise", 0.1, 4)).any()


def test_loud_sounds_are_clipped_by_noise_and_never_turned_over() -> None:
    loud = np.full((1, 8000), 32000, np.int16)
    assert sound.shifted(loud, SPECS, "noise", 0.2, 0).min() > 0


def test_sounds_know_no_other_shift() -> None:
    with pytest.raises(ValueError, match="blur is for images\nsounds take noise"):
        sound.shifted(SOUNDS, SPECS, "blur", 1, 0)


def test_a_delay_as_long_as_the_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="delay: of a sound of 1 s nothing would be left\ntake less"):
        sound.augmentation(AugmentOptions(delay=1), SPECS)
