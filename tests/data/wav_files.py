"""WAV files for tests, written by hand so that they can be wrong."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def form(*, rate: int = 8000, bits: int = 16, channels: int = 1, tag: int = 1) -> bytes:
    width = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits))


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def wav(samples: NDArray[np.int16], *, rate: int = 8000, channels: int = 1) -> bytes:
    """Of 16 bits."""
    return riff(form(rate=rate, channels=channels), chunk(b"data", samples.astype("<i2").tobytes()))


def tone(hz: float, *, rate: int = 8000, seconds: float = 1.0, height: float = 10000) -> NDArray[np.int16]:
    times = np.arange(round(rate * seconds)) / rate
    return np.rint(height * np.sin(2 * np.pi * hz * times)).astype(np.int16)
