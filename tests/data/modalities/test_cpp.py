"""The C++ headers: compiled with all warnings as errors, and their numbers compared with what Python feeds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.data.modalities.base import cpp_header, modality

MAIN = """
#include <cstdio>
#include <exception>
#include <iterator>

int main(int, char** arguments) {
    try {
        const std::vector<Element> sample = read_input(arguments[1]);
        std::int64_t size = 1;
        for (const std::int64_t each : SHAPE) {
            std::printf("%lld ", static_cast<long long>(each));
            size *= each;
        }
        std::printf("\\n");
        if (sample.size() != SAMPLE || size != static_cast<std::int64_t>(SAMPLE)) {
            return 3;
        }
        for (const Element each : sample) {
            std::printf("%a\\n", static_cast<double>(each));
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\\n", error.what());
        return 2;
    }
    return 0;
}
"""

Build = Callable[[str, list[dict[str, Any]]], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A program that prints shape and numbers of the sample in a file."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("no C++ compiler (g++, or the one that CXX names)")

    def built(name: str, specs: list[dict[str, Any]]) -> Path:
        folder = tmp_path_factory.mktemp(name)
        header = cpp_header(name)
        assert header is not None
        constants = "\n".join(modality(name).cpp_constants(specs))
        # `model.h` of a bundle includes no more than this of what the header needs
        (folder / "main.cpp").write_text(f'#include <cstddef>\n{constants}\n#include "{header}"\n{MAIN}')
        command = [compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
        command += ["main.cpp", "-o", "main"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return folder / "main"

    return built


def answer(program: Path, path: Path) -> tuple[list[int], list[float]]:
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shape, *numbers = done.stdout.splitlines()
    return [int(each) for each in shape.split()], [float.fromhex(each) for each in numbers]


def refusal(program: Path, path: Path) -> str:
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    return done.stderr


@pytest.mark.parametrize("raw", [False, True])
def test_images_come_as_python_feeds_them_to_the_bit(build: Build, tmp_path: Path, raw: bool) -> None:
    for channels, kind, ending in ((1, "P5", "pgm"), (3, "P6", "ppm")):
        pixels = np.random.default_rng(channels).integers(0, 256, (30, 7, 5, channels), dtype=np.uint8)
        specs = modality("image").specify(pixels)
        if raw:
            specs = modality("image").raw(specs)
        path = tmp_path / f"image.{ending}"
        path.write_bytes(f"{kind}\n# made here\n5 7\n255\n".encode() + pixels[0].tobytes())
        shape, numbers = answer(build("image", specs), path)
        fed = modality("image").feed(modality("image").read(path, specs), specs)["image"]
        assert shape == specs[0]["shape"] == ([7, 5, 3] if raw and channels == 3 else [channels, 7, 5])
        assert numbers == fed.ravel().tolist()


def test_levels_channels_and_sizes_become_what_python_makes_of_them_to_the_bit(build: Build, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for channels in (1, 3):
        (spec,) = modality("image").specify(generator.integers(0, 256, (30, 17, 23, channels), dtype=np.uint8))
        specs = [{**spec, "preprocessing": {**spec["preprocessing"], "resize": "bilinear"}}]
        program = build("image", specs)
        for number in range(40):
            height, width = (int(each) for each in np.exp(generator.uniform(0, 6, 2)))
            height, width = {0: (17, width), 1: (height, 23), 2: (17, 23)}.get(number, (height, width))
            kind, levels = [("P5", 1), ("P6", 3)][number % 2], [255, 65535, 1, 100, 256, 1023][number % 6]
            samples = generator.integers(0, levels + 1, height * width * kind[1])
            path = tmp_path / f"{number}.pnm"
            header = f"{kind[0]} {width} {height} {levels}\n".encode()
            path.write_bytes(header + samples.astype(">u2" if levels > 255 else "u1").tobytes())
            _, numbers = answer(program, path)
            fed = modality("image").feed(modality("image").read(path, specs), specs)["image"]
            assert numbers == fed.ravel().tolist(), (height, width, kind, levels)


def test_a_row_comes_as_python_feeds_it_to_the_bit(build: Build, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal([1, -1e6, 1e-7, 0], [3, 1e4, 1e-8, 0], (50, 4))
    specs = modality("vector").specify(rows)
    program = build("vector", specs)
    values = [repr(float(each)) for each in rows[7]]
    texts = {
        "plain.csv": ",".join(values),
        "header.csv": "a,b,c,d\r\n" + ",".join(values) + "\r\n1,2,3,4\r\n",
        "marked.csv": "\ufeffa;b;c;d\n" + " ; ".join(values) + "\n",
        "blanks.txt": "# a b c d\n\n  " + " \t ".join(values) + "  \n",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        shape, numbers = answer(program, path)
        fed = modality("vector").feed(modality("vector").read(path, specs), specs)["features"]
        assert shape == [4]
        assert numbers == fed[0].tolist(), name


def test_what_python_refuses_of_a_row_the_header_refuses_too(build: Build, tmp_path: Path) -> None:
    specs = modality("vector").specify(np.random.default_rng(0).normal(size=(9, 3)))
    program = build("vector", specs)
    for text, words in {
        "a,b,c\n1,2\n": "line 2 holds 2 numbers, the model takes 3",
        "1,,3\n": "line 1, column 1 (counted from 0)",
        ",2,3\n": "line 1, column 0 (counted from 0)",
        "1,2,3,\n": "line 1, column 3 (counted from 0)",
        "1 2 x\n": "line 1, column 2 (counted from 0)",
        "a,b,c\nd,e,f\n": "line 2, column 0 (counted from 0)",
        "1,nan,3\n": "column 1",
        "1,2,1e39\n": "column 2",
        "a,b,c\n": "no row of numbers in it",
        "": "no row of numbers in it",
    }.items():
        path = tmp_path / "a.csv"
        path.write_text(text)
        assert words in refusal(program, path), text
        with pytest.raises(ValueError) as error:
            modality("vector").read(path, specs)
        assert words in str(error.value), text
    assert "No such file or directory" in refusal(program, tmp_path / "gone.csv")
    assert "Is a directory" in refusal(program, tmp_path)


def test_what_python_refuses_of_an_image_the_header_refuses_too(build: Build, tmp_path: Path) -> None:
    specs = modality("image").specify(np.random.default_rng(0).integers(0, 256, (9, 4, 3, 1), dtype=np.uint8))
    program = build("image", specs)
    for content, words in {
        b"P5 # no end": "not a binary PGM or PPM",
        b"P5 -3 -4 255\n" + bytes(12): "not a binary PGM or PPM",
        b"P5 3 4 0000000255\n" + bytes(12): "not a binary PGM or PPM",
        b"P5 3 4 65536\n" + bytes(24): "3 x 4 pixels of 65536 levels",
        b"P5 0 4 255\n": "0 x 4 pixels of 255 levels",
        b"P5 3 4 255\n" + bytes(11): "the file is cut short",
        b"P5 3 4 256\n" + bytes(23): "the file is cut short",
        b"P6 999999999 999999999 65535\n" + bytes(23): "the file is cut short",
        b"P5 3 4 100\n" + bytes([101] * 12): "a sample of 101, and the file says 100 levels",
        b"P5 3 4 1000\n" + b"\xff" * 24: "a sample of 65535, and the file says 1000 levels",
        b"P5 5 4 255\n" + bytes(20): "the image is 5x4, the model takes 3x4; resize it as the training images were",
    }.items():
        path = tmp_path / "a.pgm"
        path.write_bytes(content)
        assert words in refusal(program, path)
        with pytest.raises(ValueError) as error:
            modality("image").read(path, specs)
        assert words in str(error.value)
    for content in (b"", b"P2\n3 4\n255\n", b"\x89PNG"):
        path.write_bytes(content)
        assert "not a binary PGM or PPM" in refusal(program, path)
    assert "Is a directory" in refusal(program, tmp_path)
