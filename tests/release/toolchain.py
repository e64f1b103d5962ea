"""What it takes to build predict.cpp here; a test that asks for what is not there is skipped and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import pytest

COMMAND = "c++ -std=c++17 -O2 predict.cpp -I INCLUDE -L LIB -lonnxruntime -o predict"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
HEADER = "onnxruntime_c_api.h"


@dataclass(frozen=True)
class Toolchain:
    """A C++ compiler with the C API's header, and a folder to link with: the runtime of this Python."""

    compiler: str
    include: Path
    library: Path

    def build(self, source: Path, folder: Path, include: Path | None = None) -> Path:
        """The program, built by the command in the source's head, with all warnings as errors."""
        folder.mkdir(exist_ok=True)
        named = {"c++": self.compiler, "predict.cpp": str(source), "INCLUDE": str(include or self.include)}
        command = [{**named, "LIB": str(self.library)}.get(word, word) for word in COMMAND.split()]
        compiled([*command, *WARNINGS, f"-Wl,-rpath,{self.library}"], folder)
        return folder / "predict"


def compiled(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="session")
def compiler() -> str:
    found = shutil.which(os.environ.get("CXX", "c++"))
    if found is None:
        pytest.skip("no C++ compiler (c++, or the one that CXX names)")
    return found


@pytest.fixture(scope="session")
def toolchain(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    places = [
        Path(place) for place in (os.environ.get("ORT_INCLUDE"), "/usr/include/onnxruntime", "/usr/include") if place
    ]
    include = next((place for place in places if (place / HEADER).is_file()), None)
    if include is None:
        pytest.skip(f"no {HEADER} in {', '.join(map(str, places))}; ORT_INCLUDE can name its folder")
    shipped = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"), None)
    if shipped is None:
        pytest.skip("this onnxruntime ships no libonnxruntime.so to link with")
    # the wheel has the library under its full version only: not the name that -l looks for, nor the one it is loaded by
    library = tmp_path_factory.mktemp("lib")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (library / name).symlink_to(shipped)
    return Toolchain(compiler, include, library)


def run(program: Path, *arguments: object, folder: Path | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors; `folder`: where it runs."""
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
