"""Sounds: 16-bit samples of one channel in, the logarithm of the energy in bands of pitch out, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.data.modalities.sound.inputs import FEW, FULL_SCALE, RULES, bank_of, log_mel
from edgekd.data.modalities.sound.inputs import feed as feed
from edgekd.data.modalities.sound.inputs import read as read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgekd.config.training import AugmentOptions
    from edgekd.data.modalities.base import Augment, Spec

KEY = "sounds"
NOUN = "sounds"
RAW = False
LABELS_HOLD = True
LIMITS = (
    "The accuracy holds for sounds like the test sounds; nothing in the model notices a sound of another kind, or "
    "silence, and each is given one of the classes.",
    "A sound begins where its recording begins: one that is longer than the input is cut behind, and nothing looks for "
    "where in it something is said.",
)
RATE = 16000  # Hz, where nothing is said
WINDOW_S, HOP_S = 0.032, 0.016
LOW_HZ = 60.0  # below are hum and wind
FLOOR = 1e-6  # of a band's energy; a full-scale square wave has 1

DRAWN = ("gain", "delay", "noise", "time", "time_length", "pitch", "pitch_length")
"""What the uniform numbers of a view decide, in their order."""


def accepted(samples: Any) -> NDArray[np.int16]:
    """int16 (N, S), of one channel.

    Raises:
        ValueError: they are none.
    """
    sounds = np.asarray(samples)
    if sounds.dtype != np.int16 or sounds.ndim != 2 or sounds.size == 0:
        raise ValueError(
            f"{sounds.dtype} {sounds.shape} is not an array of sounds\n"
            "expected int16 (N, S): a row of S samples of one channel for each sound"
        )
    return sounds


def specify(samples: Any, reading: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
    """The one input `mel`: float32 (1, M, T), M bands of pitch in T frames, with all that `feed` needs.

    reading: the samples' `rate` (16 kHz if nothing is said), and what is to be other than usual of `window`, `hop`
    and `fft` (in samples), `mels`, `low_hz`, `high_hz` and `floor`. Mean and standard deviation of each band are taken
    from the training samples; a band that is the same in all of them keeps the standard deviation 1.

    Raises:
        ValueError: no sounds, too short ones, or bands narrower than the transform can tell apart.
    """
    length = accepted(samples[:1]).shape[1]
    rate = int(reading.get("rate", RATE))
    window = int(reading.get("window", round(WINDOW_S * rate)))
    rules: dict[str, Any] = {
        "rate": rate,
        "samples": length,
        "window": window,
        "hop": round(HOP_S * rate),
        "fft": 1 << (window - 1).bit_length(),
        "mels": 40 if rate >= RATE else 16,
        "low_hz": LOW_HZ,
        "high_hz": min(rate / 2, 8000.0),
        "floor": FLOOR,
        **RULES,
        **reading,
    }
    if length < window:
        raise ValueError(f"sounds of {length} samples are shorter than one frame of {window}\nmake `seconds` larger")
    if not bank_of(rules).any(axis=0).all():
        raise ValueError(
            f"{rules['mels']} bands of pitch are narrower than {rules['fft']} samples at {rate} Hz can tell apart\n"
            "take fewer `mels`, or longer windows"
        )
    total = squares = np.zeros(rules["mels"])
    frames = 0
    for start in range(0, len(samples), FEW):
        bands = log_mel(accepted(samples[start : start + FEW]), rules)
        total = total + bands.sum(axis=(0, 1))
        squares = squares + (bands**2).sum(axis=(0, 1))
        frames += bands.shape[0] * bands.shape[1]
    mean = total / frames
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    std[std < 1e-6] = 1.0
    # nine digits: as many as tell float32 numbers apart
    rules["mean"], rules["std"] = ([float(f"{value:.9g}") for value in each] for each in (mean, std))
    shape = [1, rules["mels"], 1 + (length - window) // rules["hop"]]
    return [{"name": "mel", "dtype": "float32", "shape": shape, "preprocessing": rules}]


def shifted(
    samples: NDArray[np.int16], specs: Sequence[Spec], kind: str, amount: float, seed: int
) -> NDArray[np.int16]:
    """Copies with white noise, `amount` times as strong (root mean square) as each sound; 0.1 is 20 dB below it.

    Raises:
        ValueError: another kind of change, of which sounds know none.
    """
    del specs
    if kind != "noise":
        raise ValueError(f"{kind} is for images\nsounds take noise")
    strength = np.sqrt((samples.astype(np.float64) ** 2).mean(axis=1, keepdims=True))
    noise = np.random.default_rng(seed).standard_normal(samples.shape) * (amount * strength)
    changed: NDArray[np.int16] = np.clip(np.rint(samples + noise), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return changed


def augmentation(options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
    """Changes of loudness and time, noise, and hidden times and pitches, as `SoundAugment` makes them.

    Raises:
        ValueError: an option that sounds have no use for, or a delay that is as long as they are.
    """
    from edgekd.data.modalities.base import asked_for

    if not asked_for(options, {"gain", "delay", "noise", "hide_time", "hide_pitch"}, NOUN):
        return None
    (spec,) = specs
    rules = spec["preprocessing"]
    seconds = rules["samples"] / rules["rate"]
    if options.delay * rules["rate"] >= (spec["shape"][-1] - 1) * rules["hop"]:
        raise ValueError(f"delay: of a sound of {seconds:g} s nothing would be left\ntake less than its length")
    from edgekd.data.modalities.sound.augment import SoundAugment

    return SoundAugment(spec, options)


def numbers(specs: Sequence[Spec]) -> int:  # noqa: ARG001 - the same for sounds of every length
    """One for each of DRAWN."""
    return len(DRAWN)


def alternating(options: AugmentOptions) -> Sequence[int]:  # noqa: ARG001 - the signature of every kind of input
    """None of them."""
    return ()


def facts(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Of input and preprocessing."""
    (spec,) = specs
    rules, (_, mels, frames) = spec["preprocessing"], spec["shape"]
    window_ms, hop_ms = (1000 * rules[key] / rules["rate"] for key in ("window", "hop"))
    return [
        ("input", f"`{spec['name']}`: {spec['dtype']} (N, 1, {mels}, {frames}): {mels} bands in {frames} frames"),
        (
            "preprocessing",
            f"log(energy + {rules['floor']:g}) in {mels} mel bands from {rules['low_hz']:g} to {rules['high_hz']:g} "
            f"Hz, frames of {window_ms:g} ms every {hop_ms:g} ms; then (value − mean) / std, manifest.json has both "
            "for each band",
        ),
        (
            "sound files",
            f"WAV of one channel, brought to {rules['rate']} Hz, the first {rules['samples'] / rules['rate']:g} s; "
            "shorter ones end in silence",
        ),
    ]


def cpp_constants(specs: Sequence[Spec]) -> list[str]:  # noqa: ARG001 - the signature of every kind of input
    """None: there is no header for sounds."""
    return []
