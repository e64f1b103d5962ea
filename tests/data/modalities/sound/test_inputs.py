"""WAV files: what their samples become, at any rate, and what is refused."""

from __future__ import annotations

import io
import math
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile

from edgekd.data.modalities.sound import inputs, specify
from tests.data.wav_files import chunk, form, riff, tone, wav

RULES = inputs.RULES["resampling"]
NOISE = np.random.default_rng(0).integers(-32768, 32768, 500).astype(np.int16)


def fitted(content: bytes, *, rate: int = 8000, samples: int = 500) -> Any:
    return inputs.fitted(content, rate, samples, RULES)


def specs(samples: int = 8000) -> list[dict[str, Any]]:
    return specify(np.ones((1, samples), np.int16), {"rate": 8000})


def test_sixteen_bits_at_the_contracts_rate_come_as_they_are() -> None:
    np.testing.assert_array_equal(fitted(wav(NOISE)), NOISE)


def test_a_file_of_the_standard_library_is_read_as_it_was_written() -> None:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(NOISE.astype("<i2").tobytes())
    np.testing.assert_array_equal(fitted(stream.getvalue()), NOISE)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_every_kind_that_scipy_writes_becomes_the_nearest_sixteen_bits(kind: Any) -> None:
    coarse = NOISE // 256 * 256  # what 8 bits can hold
    stored: dict[Any, NDArray[Any]] = {
        np.uint8: coarse // 256 + 128,
        np.int16: coarse,
        np.int32: coarse.astype(np.int64) * 65536,
        np.float32: coarse / 32768,
        np.float64: coarse / 32768,
    }
    stream = io.BytesIO()
    wavfile.write(stream, 8000, stored[kind].astype(kind))
    np.testing.assert_array_equal(fitted(stream.getvalue()), coarse)


def test_twenty_four_bits_are_rounded() -> None:
    values = [0, 1, 255, 256, 383, 385, -1, -256, -385, 2**23 - 1, -(2**23)]
    content = b"".join(struct.pack("<i", value)[:3] for value in values)
    found = fitted(riff(form(bits=24), chunk(b"data", content)), samples=len(values))
    assert found.tolist() == [0, 0, 1, 1, 1, 2, 0, -1, -2, 32767, -32768]


def test_floats_beyond_full_scale_are_clipped() -> None:
    content = np.array([0.5, 1.0, 1.5, -1.0, -9e30], "<f4").tobytes()
    found = fitted(riff(form(bits=32, tag=3), chunk(b"data", content)), samples=5)
    assert found.tolist() == [16384, 32767, 32767, -32768, -32768]


@pytest.mark.parametrize("tag", [1, 3])
def test_an_extensible_header_says_the_same(tag: int) -> None:
    plain = form(tag=0xFFFE, bits=32)[8:]
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    content = np.array([1 << 16, -(1 << 20)], "<i4") if tag == 1 else np.array([1 / 32768, -1 / 2048], "<f4")
    header = chunk(b"fmt ", plain + struct.pack("<HHI", 22, 32, 4) + guid)
    assert fitted(riff(header, chunk(b"data", content.tobytes())), samples=2).tolist() == [1, -16]


def test_other_chunks_before_and_behind_are_passed_over() -> None:
    content = riff(chunk(b"LIST", b"abc"), form(), chunk(b"fact", b"1234"), chunk(b"data", NOISE.tobytes()), b"tail")
    np.testing.assert_array_equal(fitted(content), NOISE)


def test_short_ones_end_in_silence_and_long_ones_are_cut_behind() -> None:
    assert fitted(wav(NOISE[:3]), samples=5).tolist() == [*NOISE[:3], 0, 0]
    assert fitted(wav(NOISE), samples=2).tolist() == NOISE[:2].tolist()


FLOATS = np.array([0, np.nan], "<f4").tobytes()
REFUSED = [
    (b"", "the file is empty"),
    (b"RIFF", "not a WAV file"),
    (b"no sound at all, just text", "not a WAV file"),
    (wav(NOISE).replace(b"RIFF", b"RIFX"), "not a WAV file"),
    (wav(NOISE)[:-1], "it is cut off: 1000 bytes of samples by its header, 999 are there"),
    (wav(NOISE)[:44], "it is cut off: 1000 bytes of samples by its header, 0 are there"),
    (wav(NOISE)[:40], "it is cut off before its samples"),
    (wav(NOISE)[:20], "it is cut off before its samples"),
    (riff(form()), "it is cut off before its samples"),
    (riff(form(), chunk(b"data", b"")), "it is of zero length: no samples"),
    (riff(chunk(b"data", b"1234")), "damaged: its samples come before their format"),
    (riff(form(), chunk(b"data", b"123")), "it is cut off inside a sample: 3 bytes of samples of 2"),
    (riff(chunk(b"fmt ", b"1234"), chunk(b"data", b"12")), "damaged: the header of its format is too short"),
    (wav(NOISE, channels=2), "it has 2 channels: save one of them, or their mean, as a mono file"),
    (wav(NOISE, channels=0), "it has 0 channels: save one of them, or their mean, as a mono file"),
    (riff(form(tag=6, bits=8), chunk(b"data", b"12")), "its samples are coded as A-law: save it as plain PCM"),
    (riff(form(tag=77), chunk(b"data", b"12")), "its samples are coded as format 77: save it as plain PCM"),
    (riff(form(bits=12), chunk(b"data", b"12")), "its samples are numbers of 12 bits in 1 bytes: save it as PCM"),
    (riff(form(tag=3, bits=16), chunk(b"data", b"12")), "its samples are floats of 16 bits in 2 bytes: save it"),
    (riff(form(tag=3, bits=32), chunk(b"data", FLOATS)), r"sample 1 \(counted from 0\) is nan"),
    (wav(NOISE, rate=10), "its rate is 10 Hz; from 1000 to 384000 are read"),
    (wav(NOISE, rate=10**9), "its rate is 1000000000 Hz"),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=[reason[:40] for _, reason in REFUSED])
def test_what_cannot_be_read_exactly_is_refused_in_one_line_with_its_path(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^cannot read .*a\.wav: {reason}") as error:
        inputs.read(tmp_path / "a.wav", specs())
    assert "\n" not in str(error.value)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_damage_is_told_and_never_a_traceback(damage: bytes, at: int) -> None:
    content = bytearray(wav(NOISE))
    content[at : at + len(damage)] = damage
    told, found = "", np.zeros(500, np.int16)
    try:
        found = fitted(bytes(content))
    except ValueError as error:
        told = str(error)
    assert "\n" not in told
    assert found.dtype == np.int16
    assert found.shape == (500,)


@pytest.mark.parametrize(
    ("found", "wanted"), [(44100, 16000), (16000, 8000), (8000, 16000), (11025, 8000), (48000, 44100)]
)
def test_resampling_is_what_scipys_polyphase_filter_gives(found: int, wanted: int) -> None:
    values = np.random.default_rng(1).normal(0, 1000, 3001)
    shared = math.gcd(found, wanted)
    up, down = wanted // shared, found // shared
    larger = max(up, down)
    half = RULES["crossings"] * larger
    low_pass = signal.firwin(2 * half + 1, RULES["cutoff"] / larger, window=("kaiser", RULES["beta"]))
    expected = signal.resample_poly(values, up, down, window=low_pass)  # type: ignore[call-overload]  # coefficients too
    made = inputs.resampled(values, found, wanted, RULES)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-8)


@given(st.integers(1000, 20000), st.integers(1000, 20000), st.integers(1, 40))
def test_any_two_rates_fit_together(found: int, wanted: int, length: int) -> None:
    made = inputs.resampled(np.full(length, 100.0), found, wanted, {**RULES, "crossings": 2})
    assert made.shape == (-(-length * wanted // found),)
    assert np.isfinite(made).all()


@pytest.mark.parametrize(("found", "wanted"), [(44100, 16000), (16000, 8000), (48000, 16000)])
def test_a_tone_above_half_the_new_rate_is_gone_and_one_well_below_stays(found: int, wanted: int) -> None:
    middle = slice(wanted // 4, -wanted // 4)  # the ends ring
    times = np.arange(found) / found
    for hz in np.linspace(wanted / 2 * 1.001, found / 2 * 0.99, 7):
        left = inputs.resampled(np.sin(2 * np.pi * hz * times), found, wanted, RULES)[middle]
        assert 20 * np.log10(np.sqrt((left**2).mean() * 2)) < -60, hz
    for hz in np.linspace(100, wanted / 2 * 0.84, 7):
        kept = inputs.resampled(np.sin(2 * np.pi * hz * times), found, wanted, RULES)[middle]
        expected = np.sin(2 * np.pi * hz * np.arange(wanted) / wanted)[middle]
        np.testing.assert_allclose(kept, expected, atol=1e-3)


def test_no_more_of_a_long_recording_is_resampled_than_is_kept_and_it_is_the_same() -> None:
    long = tone(440, rate=44100, seconds=3)
    whole = inputs.resampled(long.astype(np.float64), 44100, 8000, RULES)[:8000]
    found = fitted(wav(long, rate=44100), samples=8000)
    np.testing.assert_array_equal(found, np.rint(whole).astype(np.int16))


def test_a_file_is_read_as_one_sample_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(tone(440, rate=16000, seconds=0.5), rate=16000))
    found = inputs.read(tmp_path / "a.wav", specs())
    assert found.shape == (1, 8000)
    assert np.abs(found[0, 100:3900] - tone(440, seconds=0.5)[100:3900].astype(int)).max() <= 2  # its ends ring
    assert (found[0, 4000:] == 0).all()


def test_an_array_must_have_the_models_length_and_type(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", NOISE)
    assert inputs.read(tmp_path / "one.npy", specs(500)).shape == (1, 500)
    for wrong in (NOISE[:400], NOISE.astype(np.float32), np.zeros((0, 500), np.int16), NOISE.reshape(1, 1, -1)):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(
            ValueError, match=r"wrong\.npy: the array is .*, the model takes int16 \(500,\) or \(N, 500\)"
        ):
            inputs.read(tmp_path / "wrong.npy", specs(500))
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"cannot read .*text\.npy: "):
        inputs.read(tmp_path / "text.npy", specs(500))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*: not a regular file"):
        inputs.read(tmp_path, specs())


@pytest.mark.parametrize("rule", ["channels", "shorter", "longer", "taper", "pitch"])
def test_a_rule_that_this_program_does_not_know_is_refused(rule: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(NOISE))
    (spec,) = specs()
    other = {**spec, "preprocessing": {**spec["preprocessing"], rule: "new"}}
    with pytest.raises(ValueError, match=rf"the contract says {rule}: 'new', which this program does not know"):
        inputs.read(tmp_path / "a.wav", [other])
