"""Every mode and depth that Pillow opens: the pixels that NumPy alone makes of the same bytes, or a refusal."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from edgekd.data.modalities.image.inputs import decoded

HEIGHT, WIDTH = 5, 11  # no multiple of 8: rows of packed bits end in the middle of a byte
RANDOM = np.random.default_rng(0)
PALETTE = RANDOM.integers(0, 256, (256, 3), dtype=np.uint8)
SECOND = [Image.new("RGB", (4, 4), 255)]


def decoded_or_refused(content: bytes) -> NDArray[np.uint8] | None:
    try:
        return decoded(content)
    except ValueError as refused:
        if "\n" in str(refused):
            raise
        return None


def over_white(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.uint8]:
    laid: NDArray[np.uint8] = np.rint(255 + (pixels.astype(float) - 255) * alpha[..., None] / 255).astype(np.uint8)
    return laid


def packed(samples: NDArray[Any], bits: int, *, big: bool = True) -> bytes:
    """Rows of samples, each row in whole bytes."""
    if bits in (8, 16, 32):
        return samples.astype(f"{'>' if big else '<'}u{bits // 8}").tobytes()
    rows = samples.reshape(len(samples), -1)
    spread = (rows[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(len(rows), -1).astype(bool), axis=1).tobytes()


def as_8_bits(samples: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    return (samples >> (bits - 8) if bits > 8 else samples * (255 // (2**bits - 1))).astype(np.uint8)


def tiff(
    *strips: bytes, big: bool, photometric: int, bits: Sequence[int], form: int = 1, order: int = 1,
    extra: Sequence[int] = (), colours: NDArray[np.uint8] | None = None, orientation: int = 1, compressed: bool = False,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> bytes:  # fmt: skip
    """Of one strip, or of one for each channel. photometric, form, order: of tags 262, 339 and 266."""
    mark = ">" if big else "<"
    stored = [zlib.compress(each) if compressed else each for each in strips]
    if order == 2:  # the lowest bit of a byte comes first
        stored = [
            np.packbits(np.unpackbits(np.frombuffer(each, np.uint8)), bitorder="little").tobytes() for each in stored
        ]

    def numbers(kind: str, *values: int) -> tuple[int, bytes, int]:
        return {"H": 3, "I": 4}[kind], struct.pack(f"{mark}{len(values)}{kind}", *values), len(values)

    starts = np.cumsum([8, *(len(each) + len(each) % 2 for each in stored)]).tolist()
    entries = {
        256: numbers("H", size[1]), 257: numbers("H", size[0]), 258: numbers("H", *bits),
        259: numbers("H", 8 if compressed else 1), 262: numbers("H", photometric), 266: numbers("H", order),
        273: numbers("I", *starts[:-1]), 274: numbers("H", orientation), 277: numbers("H", len(bits)),
        278: numbers("H", size[0]), 279: numbers("I", *map(len, stored)),
        284: numbers("H", 1 if len(strips) == 1 else 2), 339: numbers("H", *[form] * len(bits)),
        **({338: numbers("H", *extra)} if extra else {}),
        **({530: numbers("H", 1, 1)} if photometric == 6 else {}),
        **({320: numbers("H", *(colours.T.astype(int) * 257).ravel().tolist())} if colours is not None else {}),
    }  # fmt: skip
    values_at = starts[-1] + 2 + 12 * len(entries) + 4
    directory, rest = struct.pack(f"{mark}H", len(entries)), b""
    for tag, (kind, value, count) in sorted(entries.items()):
        where = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{mark}I", values_at + len(rest))
        directory += struct.pack(f"{mark}HHI", tag, kind, count) + where
        rest += value + bytes(len(value) % 2) if len(value) > 4 else b""
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{mark}I", starts[-1])
    return head + b"".join(each + bytes(len(each) % 2) for each in stored) + directory + bytes(4) + rest


def expected_of_tiff(samples: NDArray[Any], photometric: int, bits: int, extra: Sequence[int]) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3); samples: (H, W, C)."""
    if photometric == 3:
        colours = PALETTE[samples[..., 0]]
        return over_white(colours, samples[..., 1]) if tuple(extra) == (2,) else colours
    values = as_8_bits(samples, bits)
    if photometric == 0:
        inverted: NDArray[np.uint8] = 255 - values
        return inverted
    if photometric == 6 and values.shape[2] == 3:
        luma, blue, red = (each.astype(float) for each in np.moveaxis(values, 2, 0))
        parts = [
            luma + 1.402 * (red - 128),
            luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
            luma + 1.772 * (blue - 128),
        ]
        converted: NDArray[np.uint8] = np.clip(np.rint(np.stack(parts, axis=2)), 0, 255).astype(np.uint8)
        return converted
    channels = 3 if photometric == 2 else 1
    colours, others = values[..., :channels], values[..., channels:]
    if not others.shape[2] or extra[:1] == (0,):  # a channel of which nothing is said is left out
        return colours
    if extra[:1] == (1,):  # colours that are multiplied by alpha already
        laid: NDArray[np.uint8] = np.minimum(colours.astype(int) + 255 - others[..., :1], 255).astype(np.uint8)
        return laid
    return over_white(colours, others[..., 0])


TIFFS = sorted(TiffImagePlugin.OPEN_INFO.items(), key=str)
CONVERTED = 84  # of 124 entries: less means that some are lost, which should not be refused


@pytest.mark.parametrize("compressed", [False, True])
def test_every_kind_of_tiff_is_converted_exactly_or_refused(compressed: bool) -> None:
    converted = 0
    for (mark, photometric, forms, order, bits, extra), (mode, _) in TIFFS:
        big = mark == b"MM"
        depth = bits[0]
        extras = extra or ((2,) if photometric == 2 and len(bits) == 4 else ())  # a fourth one without a name is alpha
        samples = RANDOM.integers(0, 2**depth, (HEIGHT, WIDTH, len(bits)))
        if extras[:1] == (1,):
            samples[..., : len(bits) - len(extras)] = samples[..., -len(extras), None] * RANDOM.random(
                (HEIGHT, WIDTH, 1)
            )
        rows = packed(samples, depth, big=big)
        content = tiff(
            rows, big=big, photometric=photometric, form=forms[0], order=order,
            bits=bits, extra=extra, colours=PALETTE[: 2**depth] if photometric == 3 else None, compressed=compressed,
        )  # fmt: skip
        pixels = decoded_or_refused(content)
        if pixels is None:
            continue
        assert mode not in ("CMYK", "F", "I", "LAB", "La")
        assert mode != "YCbCr" or compressed  # which libtiff makes RGB
        expected = expected_of_tiff(samples, photometric, depth, tuple(extras))
        # of colours that are multiplied by alpha Pillow gives the rounded quotient; libtiff's YCbCr is in integers
        allowed = 1 if extras[:1] == (1,) or mode == "YCbCr" else 0
        difference = np.abs(pixels.astype(int) - expected.astype(int)).max()
        assert difference <= allowed, (photometric, forms, order, bits, extra, big, mode)
        converted += 1
    assert converted >= CONVERTED


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compressed", [False, True])
def test_channels_that_lie_apart_in_a_tiff_are_right_or_refused(bits: int, compressed: bool) -> None:
    samples = RANDOM.integers(0, 2**bits, (HEIGHT, WIDTH, 3))
    content = tiff(
        *(packed(each, bits) for each in samples.transpose(2, 0, 1)), big=True, photometric=2, bits=[bits] * 3,
        compressed=compressed,
    )  # fmt: skip
    pixels = decoded_or_refused(content)
    if pixels is None:
        assert bits == 16
    else:
        np.testing.assert_array_equal(pixels, as_8_bits(samples, bits))


def png(samples: NDArray[Any], colour: int, bits: int, **chunks: bytes) -> bytes:
    """samples: (H, W, C)."""
    rows = packed(samples, bits)
    stride = len(rows) // HEIGHT
    lines = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, 0)
    parts = [
        (b"IHDR", head),
        *((name.encode(), each) for name, each in chunks.items()),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


PNG_TYPES = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@pytest.mark.parametrize(("colour", "bits"), [(colour, bits) for colour, every in PNG_TYPES.items() for bits in every])
def test_every_colour_type_and_depth_of_png_is_converted_exactly(colour: int, bits: int) -> None:
    samples = RANDOM.integers(0, 2**bits, (HEIGHT, WIDTH, {0: 1, 3: 1, 2: 3, 4: 2, 6: 4}[colour]))
    if colour == 3:
        opacity = RANDOM.integers(0, 256, 2**bits, dtype=np.uint8)
        colours = PALETTE[: 2**bits]
        plain = decoded(png(samples, 3, bits, PLTE=colours.tobytes()))
        np.testing.assert_array_equal(plain, colours[samples[..., 0]])
        clear = decoded(png(samples, 3, bits, PLTE=colours.tobytes(), tRNS=opacity.tobytes()))
        np.testing.assert_array_equal(clear, over_white(colours[samples[..., 0]], opacity[samples[..., 0]]))
        return
    values = as_8_bits(samples, bits)
    expected = over_white(values[..., :-1], values[..., -1]) if colour in (4, 6) else values
    found = decoded(png(samples, colour, bits))
    np.testing.assert_array_equal(
        found, np.broadcast_to(expected, found.shape)
    )  # grey may come as three equal channels


@pytest.mark.parametrize(("colour", "bits"), [(0, 1), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)])
def test_a_colour_that_stands_for_transparent_is_refused(colour: int, bits: int) -> None:
    samples = RANDOM.integers(0, 2**bits, (HEIGHT, WIDTH, 3 if colour else 1))
    key = struct.pack(">3H", *samples[0, 0]) if colour else struct.pack(">H", samples[0, 0, 0])
    with pytest.raises(ValueError, match="stands for transparent"):
        decoded(png(samples, colour, bits, tRNS=key))


@pytest.mark.parametrize("levels", [1, 2, 100, 254, 255, 256, 1023, 4095, 65534, 65535])
@pytest.mark.parametrize("kind", ["P5", "P6"])
def test_a_netpbm_file_of_any_number_of_levels_is_converted_exactly(kind: str, levels: int) -> None:
    samples = RANDOM.integers(0, levels + 1, (HEIGHT, WIDTH, 1 if kind == "P5" else 3))
    content = f"{kind} {WIDTH} {HEIGHT} {levels}\n".encode() + samples.astype(">u2" if levels > 255 else "u1").tobytes()
    expected = samples >> 8 if levels == 65535 else np.floor(samples / levels * 255 + 0.5)
    np.testing.assert_array_equal(decoded(content), expected.astype(np.uint8))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P1 2 2\n0 1\n1 0\n", [[255, 0], [0, 255]]),
        (b"P4 2 2\n\x40\x80", [[255, 0], [0, 255]]),
        (b"P2 2 2 255\n0 7\n255 1\n", [[0, 7], [255, 1]]),
        (b"P2 2 2 65535\n0 7000\n65535 1\n", None),
        (b"P3 1 2 65535\n0 7000 65535 0 0 1\n", None),
        (b"Pf\n2 2\n-1.0\n" + np.arange(4, dtype=np.float32).tobytes(), None),
    ],
)
def test_other_netpbm_files_are_right_or_refused(content: bytes, expected: list[list[int]] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError):
            decoded(content)
    else:
        assert decoded(content)[..., 0].tolist() == expected


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PNG", "PPM", "TIFF", "WEBP"])
def test_pixels_of_every_lossless_kind_of_file_come_as_they_are(kind: str) -> None:
    grey = RANDOM.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    colour = PALETTE[:7][RANDOM.integers(0, 7, (HEIGHT, WIDTH))]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decoded(saved(Image.fromarray(grey), kind, **options))
    np.testing.assert_array_equal(found, np.broadcast_to(grey[..., None], found.shape))
    np.testing.assert_array_equal(decoded(saved(Image.fromarray(colour), kind, **options)), colour)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_is_laid_over_white(kind: str) -> None:
    pixels = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    pixels[0, :4, 3] = 0, 1, 254, 255
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = decoded(saved(Image.fromarray(pixels, "RGBA"), kind, **options))
    np.testing.assert_array_equal(found, over_white(pixels[..., :3], pixels[..., 3]))


@pytest.mark.parametrize("grey", [False, True])
def test_a_gif_with_a_transparent_colour_is_laid_over_white(grey: bool) -> None:
    places = RANDOM.integers(0, 6, (HEIGHT, WIDTH), dtype=np.uint8)
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1) if grey else PALETTE
    image = Image.fromarray(places, "P")
    image.putpalette(palette.tobytes())
    pixels = decoded(saved(image, "GIF", transparency=2))
    expected = np.where(places[..., None] == 2, 255, palette[places])
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected[..., : pixels.shape[2]], pixels.shape))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: saved(Image.new("CMYK", (4, 4), (1, 2, 3, 4)), "JPEG"), "no certain colours.*CMYK"),
        (lambda: saved(Image.new("CMYK", (4, 4), (1, 2, 3, 4)), "TIFF"), "no certain colours.*CMYK"),
        (lambda: saved(Image.new("LAB", (4, 4)), "TIFF"), "CIELAB"),
        (lambda: saved(Image.new("I", (4, 4), 70000), "TIFF"), "32-bit or signed"),
        (lambda: saved(Image.new("F", (4, 4), 0.5), "TIFF"), "floats"),
        (lambda: saved(Image.new("RGB", (4, 4)), "GIF", save_all=True, append_images=SECOND), "2 pictures"),
        (lambda: saved(Image.new("RGB", (4, 4)), "PNG", save_all=True, append_images=SECOND), "2 pictures"),
        (lambda: saved(Image.new("RGB", (4, 4)), "WEBP", save_all=True, append_images=SECOND), "2 pictures"),
        (lambda: saved(Image.new("RGB", (4, 4)), "TIFF", save_all=True, append_images=SECOND), "2 pictures"),
        (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "not an image of the kinds"),
        (lambda: b"", "not an image of the kinds"),
    ],
    ids=["cmyk jpeg", "cmyk tiff", "lab", "32 bits", "float", "gif", "png", "webp", "tiff", "postscript", "empty"],
)  # fmt: skip
def test_what_cannot_be_told_exactly_is_refused_with_a_reason(content: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        decoded(content())
    assert "\n" not in str(refused.value)


def test_the_preview_behind_a_phones_picture_is_no_second_picture() -> None:
    first = Image.new("RGB", (16, 16), (200, 10, 10))
    content = saved(first, "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    np.testing.assert_array_equal(decoded(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "packed TIFF"])
def test_pictures_are_turned_as_their_orientation_says(kind: str, orientation: int) -> None:
    quarters = np.repeat(np.repeat(np.array([[0, 80, 160], [240, 40, 120]], np.uint8), 8, axis=0), 8, axis=1)
    turns: dict[int, Any] = {
        2: lambda a: a[:, ::-1], 3: lambda a: np.rot90(a, 2), 4: lambda a: a[::-1], 5: lambda a: a.T,
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    }  # fmt: skip
    if kind == "TIFF":
        content = tiff(
            quarters.tobytes(), big=False, photometric=1, bits=[8], orientation=orientation, size=(16, 24)
        )  # fmt: skip
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        of_kinds: dict[str, dict[str, Any]] = {
            "JPEG": {"quality": 100},
            "WEBP": {"lossless": True},
            "packed TIFF": {"compression": "tiff_lzw"},
        }
        content = saved(Image.fromarray(quarters), kind.removeprefix("packed "), exif=exif, **of_kinds.get(kind, {}))
    found = decoded(content)[..., 0]
    expected = turns.get(orientation, lambda a: a)(quarters)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= (2 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_a_damaged_file_gives_pixels_or_one_line_whatever_is_damaged(kind: str) -> None:
    whole = saved(Image.fromarray(RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)), kind)
    for number in range(150):
        content = bytearray(whole)
        for at in RANDOM.integers(0, len(content), number % 4 + 1):
            content[at] = RANDOM.integers(0, 256)
        if number % 3 == 0:
            content = content[: int(RANDOM.integers(0, len(content)))]
        pixels = decoded_or_refused(bytes(content))
        assert pixels is None or (pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (1, 3))
