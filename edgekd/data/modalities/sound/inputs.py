"""Sounds on a device, and in training too: reads WAV files and makes a model's input of samples.

This one file does it everywhere; a bundle has it as `inputs.py`. Beside numpy it needs nothing to be imported, and
Python 3.9 runs it. docs/sound.md tells the rules in words.
"""

from __future__ import annotations

import functools
import math
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgekd.data.modalities.base import Feeds, Spec

RULES: dict[str, Any] = {
    "channels": "one",
    "shorter": "silence behind",
    "longer": "cut behind",
    "resampling": {"crossings": 32, "cutoff": 0.92, "beta": 7.86},
    "taper": "hann",
    "pitch": "htk",
}
"""How a sound file becomes samples, and samples become bands, in every contract; docs/sound.md says what each means."""
FULL_SCALE = 32768
FEW = 32  # sounds that are transformed in one go
RATES = range(1000, 384_001)  # Hz, of files
CODED = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM", 85: "MP3"}
PCM, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE
EXTENDED = bytes.fromhex("000000001000800000aa00389b71")  # ends the id of a format in an extensible header
KINDS = {(PCM, 8): "u1", (PCM, 16): "<i2", (PCM, 24): "i3", (PCM, 32): "<i4", (FLOATS, 32): "<f4", (FLOATS, 64): "<f8"}


class Wav(NamedTuple):
    """Where the samples of a WAV file lie, and what they are: `length` of the type `kind`, from the byte `at` on."""

    rate: int
    length: int
    kind: str
    at: int


def feed(samples: NDArray[np.int16], specs: Sequence[Spec]) -> Feeds:
    """(log-mel - mean) / std by band: float32 (N, 1, M, T); samples: int16 (N, S)."""
    (spec,) = specs
    rules = spec["preprocessing"]
    mean, std = np.array(rules["mean"]), np.array(rules["std"])
    fed = np.empty((len(samples), *spec["shape"]), np.float32)
    for start in range(0, len(samples), FEW):
        bands = (log_mel(samples[start : start + FEW], rules) - mean) / std
        fed[start : start + FEW, 0] = bands.swapaxes(1, 2)
    return {spec["name"]: fed}


def log_mel(samples: NDArray[np.int16], rules: Mapping[str, Any]) -> NDArray[np.float64]:
    """The logarithm of energy + floor in each band of each frame: float64 (N, T, M); samples: int16 (N, S).

    A frame is `window` samples, tapered; frames begin every `hop` samples and lie wholly in the sound. Energy is the
    squared magnitude of the Fourier transform over the taper's energy, so that white noise has its variance in every
    bin; a band weighs the bins around its middle.
    """
    taper = _taper(rules["window"])
    frames = np.lib.stride_tricks.sliding_window_view(samples, rules["window"], axis=1)[:, :: rules["hop"]]
    spectrum = np.fft.rfft(frames * taper, rules["fft"])
    power = spectrum.real**2 + spectrum.imag**2
    # a matrix product for each sound: one of all would round otherwise in another batch
    energy = np.matmul(power, bank_of(rules) / (float(taper @ taper) * FULL_SCALE**2))
    logarithms: NDArray[np.float64] = np.log(energy + rules["floor"])
    return logarithms


@functools.lru_cache(maxsize=8)
def _taper(window: int) -> NDArray[np.float64]:
    """Hann's window, periodic: float64 (window,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def bank_of(rules: Mapping[str, Any]) -> NDArray[np.float64]:
    """What each bin of the transform counts in each band: float64 (fft / 2 + 1, mels)."""
    return _bank(rules["rate"], rules["fft"], rules["mels"], rules["low_hz"], rules["high_hz"])


@functools.lru_cache(maxsize=8)
def _bank(rate: int, fft: int, mels: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Triangles of height 1 between the middles of the neighbouring bands, which are evenly spaced in pitch.

    Source: Young et al. 2006, The HTK Book (version 3.4), equation 5.13: mel = 2595 log10(1 + f / 700).
    """
    lowest, highest = (2595 * math.log10(1 + each / 700) for each in (low_hz, high_hz))
    edges_hz = 700 * (10 ** (np.linspace(lowest, highest, mels + 2) / 2595) - 1)
    bins_hz = np.arange(fft // 2 + 1)[:, np.newaxis] * (rate / fft)
    lower, middle, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (bins_hz - lower) / (middle - lower), (upper - bins_hz) / (upper - middle)
    weights: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return weights


def read(path: Path, specs: Sequence[Spec]) -> NDArray[np.int16]:
    """int16 (N, S) in the rate and length of the input: a WAV file, by the rules of its preprocessing, or all of an
    .npy file, (S,) or (N, S), which must have both already.

    Raises:
        OSError, ValueError: it cannot be read, has several channels, or is of another length.
    """
    rules = specs[0]["preprocessing"]
    _check(rules)
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        if path.suffix != ".npy":
            return fitted(path.read_bytes(), rules["rate"], rules["samples"], rules["resampling"])[np.newaxis]
        sounds = _read_npy(path)
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if sounds.dtype != np.int16 or sounds.ndim != 2 or sounds.shape[1] != rules["samples"] or len(sounds) == 0:
        raise ValueError(
            f"{path}: the array is {sounds.dtype} {sounds.shape}, the model takes int16 ({rules['samples']},) or "
            f"(N, {rules['samples']}), at {rules['rate']} Hz"
        )
    return sounds


def fitted(content: bytes, rate: int, samples: int, resampling: Mapping[str, Any]) -> NDArray[np.int16]:
    """int16 (samples,) at `rate` of a WAV file: brought to the rate, cut behind, filled up with silence behind.

    Raises:
        ValueError: it is none, or cannot be read exactly; the message is one line.
    """
    wav = opened(content)
    needed = wav.length
    if wav.rate != rate:  # no more is computed than is kept
        reach = resampling["crossings"] * (1 + wav.rate // rate)
        needed = min(needed, math.ceil(samples * wav.rate / rate) + reach)
    values = resampled(_values(content, wav, needed), wav.rate, rate, resampling)[:samples]
    sound = np.zeros(samples, np.int16)
    sound[: len(values)] = np.clip(np.rint(values), -FULL_SCALE, FULL_SCALE - 1)
    return sound


def opened(content: bytes) -> Wav:
    """What the header of a WAV file says, checked against its length.

    Raises:
        ValueError: it is none, is cut off or empty, or holds what is not read here; the message is one line.
    """
    if not content:
        raise ValueError("the file is empty")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError("not a WAV file")
    at, form = 12, None
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        at += 8
        there = len(content) - at
        if name == b"data":
            if form is None:
                raise ValueError("damaged: its samples come before their format")
            rate, kind, width = form
            if size == 0:
                raise ValueError("it is of zero length: no samples")
            if size > there:
                raise ValueError(f"it is cut off: {size} bytes of samples by its header, {there} are there")
            if size % width:
                raise ValueError(f"it is cut off inside a sample: {size} bytes of samples of {width}")
            return Wav(rate, size // width, kind, at)
        if size > there:
            break
        if name == b"fmt ":
            form = _format(content[at : at + size])
        at += size + size % 2
    raise ValueError("it is cut off before its samples")


def _format(header: bytes) -> tuple[int, str, int]:
    """Rate in Hz, type and bytes of a sample.

    Raises:
        ValueError: not one channel of a kind that is read here.
    """
    if len(header) < 16:
        raise ValueError("damaged: the header of its format is too short")
    tag, channels, rate, _, width, bits = struct.unpack_from("<HHIIHH", header)
    if tag == EXTENSIBLE and len(header) >= 40 and header[26:40] == EXTENDED:
        (tag,) = struct.unpack_from("<H", header, 24)
    if tag not in (PCM, FLOATS):
        raise ValueError(f"its samples are coded as {CODED.get(tag, f'format {tag}')}: save it as plain PCM")
    if channels != 1:
        raise ValueError(f"it has {channels} channels: save one of them, or their mean, as a mono file")
    if (tag, bits) not in KINDS or width != bits // 8:
        raise ValueError(
            f"its samples are {'floats' if tag == FLOATS else 'numbers'} of {bits} bits in {width} bytes: save it as "
            "PCM of 8, 16, 24 or 32 bits, or as floats of 32 or 64"
        )
    if rate not in RATES:
        raise ValueError(f"its rate is {rate} Hz; from {RATES[0]} to {RATES[-1]} are read")
    return rate, KINDS[tag, bits], width


def _values(content: bytes, wav: Wav, count: int) -> NDArray[np.float64]:
    """The first samples, float64 (count,), in units of 16-bit ones.

    Raises:
        ValueError: one is no finite number.
    """
    if wav.kind == "i3":
        widened = np.zeros((count, 4), np.uint8)
        widened[:, 1:] = np.frombuffer(content, np.uint8, 3 * count, wav.at).reshape(count, 3)
        return widened.view("<i4")[:, 0] / 65536
    stored = np.frombuffer(content, wav.kind, count, wav.at)
    if wav.kind == "u1":
        return (stored.astype(np.float64) - 128) * 256
    if stored.dtype.kind == "f":
        for bad in np.flatnonzero(~np.isfinite(stored))[:1]:
            raise ValueError(f"sample {bad} (counted from 0) is {stored[bad]}")
        return np.clip(stored.astype(np.float64), -2, 2) * FULL_SCALE
    return stored.astype(np.float64) / (65536 if wav.kind == "<i4" else 1)


def resampled(values: NDArray[np.float64], found: int, wanted: int, rules: Mapping[str, Any]) -> NDArray[np.float64]:
    """The same sound at another rate, both in Hz: float64 (ceil(S · wanted / found),) of (S,).

    A low-pass of sinc form under Kaiser's window (`beta`), `crossings` zero crossings to each side, which begins to
    cut at `cutoff` of half the lower rate, taken where the new samples lie.

    Source: Smith 2002, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample/.
    """
    if found == wanted:
        return values
    shared = math.gcd(found, wanted)
    up, down = wanted // shared, found // shared
    half = rules["crossings"] * max(up, down)
    phases = _low_pass(up, max(up, down), half, rules["cutoff"], rules["beta"])
    taps = phases.shape[1]
    count = -(-len(values) * up // down)
    last = ((count - 1) * down + half) // up
    padded = np.zeros(last + taps)
    padded[taps - 1 : taps - 1 + len(values)] = values[: last + 1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    made = np.empty(count)
    for first in range(min(up, count)):  # each of these and every up-th after it have the same weights
        begin, phase = divmod(first * down + half, up)
        made[first::up] = windows[begin::down][: len(made[first::up])] @ phases[phase]
    return made


@functools.lru_cache(maxsize=4)
def _low_pass(up: int, larger: int, half: int, cutoff: float, beta: float) -> NDArray[np.float64]:
    """The weights that each of `up` places of a new sample between two old ones has, the oldest first."""
    places = np.arange(-half, half + 1)
    weights = np.sinc(places * (cutoff / larger)) * np.kaiser(2 * half + 1, beta)
    padded = np.zeros(-(-len(weights) // up) * up)
    padded[: len(weights)] = weights * (up / weights.sum())
    return np.ascontiguousarray(padded.reshape(-1, up).T[:, ::-1])


def _check(rules: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: the contract names a rule that this program does not know.
    """
    for rule, way in RULES.items():
        if rule != "resampling" and rules.get(rule) != way:
            raise ValueError(f"the contract says {rule}: {rules.get(rule)!r}, which this program does not know")


def _read_npy(path: Path) -> NDArray[Any]:
    """(N, S), of (S,) too; mapped, so that a shape that the file does not hold asks for no memory.

    Raises:
        ValueError: it is none.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # a damaged header makes numpy's reader raise anything
        raise ValueError(" ".join(str(error).split()) or "not an .npy file") from error
    if not isinstance(array, np.ndarray):
        raise ValueError("not an .npy file")
    return np.array(array[np.newaxis] if array.ndim == 1 else array)
