"""qemu's plugin that counts executed instructions: built once, with the machine's own C compiler."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from edgekd.records.base import file_digest

SOURCE = Path(__file__).with_name("count_instructions.c")
COMPILERS = ("cc", "gcc", "clang")
INTERFACE_OF_QEMU_9 = 2


@dataclass(frozen=True)
class Counter:
    """An emulator that counts with a plugin built for its version."""

    program: str
    version: str
    plugin: Path

    def arguments(self, marks: Path, mark: int) -> tuple[str, str]:
        """The options that write the count into the file `marks` at each system call of the number `mark`."""
        plugin, out = (str(path.resolve()).replace(",", ",,") for path in (self.plugin, marks))
        return "-plugin", f"{plugin},out={out},mark={mark}"


@functools.cache
def counter(name: str) -> Counter | None:
    """The emulator of that name, if it takes plugins (a static one does not) and one can be built for it."""
    program, compiler = shutil.which(name), next(filter(None, map(shutil.which, COMPILERS)), None)
    if program is None or compiler is None or "-plugin" not in _said(program, "--help"):
        return None
    version = version_of(program)
    plugin = _build(compiler, INTERFACE_OF_QEMU_9 if int(version.split(".")[0]) >= 9 else 1)
    return None if plugin is None else Counter(program, version, plugin)


def version_of(program: str) -> str:
    """An emulator's version, "0" where it does not say."""
    version = re.search(r"version (\d+(?:\.\d+)+)", _said(program, "--version"))
    return version[1] if version else "0"


def _build(compiler: str, interface: int) -> Path | None:
    """The plugin, built for this version of the interface if it is not there; None if it does not compile."""
    name = file_digest(SOURCE)[:12]
    folder = Path(platformdirs.user_cache_dir("edgekd")) / "qemu-plugins"
    library = folder / f"count-{name}-{interface}.so"
    if library.is_file():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(handle)
    argv = [compiler, "-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={interface}", "-o", part, str(SOURCE)]
    if subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        Path(part).unlink(missing_ok=True)
        return None
    return Path(part).replace(library)


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
