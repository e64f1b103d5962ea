"""An ARM processor without a board: onnxruntime's real ARM kernels, under qemu's user emulation."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.counter import counter, version_of
from edgekd.devices.local import LocalWorkspace
from edgekd.devices.sysroot import Recipe, build
from edgekd.errors import TargetError
from edgekd.progress import Progress
from edgekd.temporary import temporary_folder

NEEDS_QEMU_8 = (1, 28)
"""The first onnxruntime that an older qemu crashes on (seen with 7.2.22)."""

Bits = Literal[64, 32]
PROGRAM: dict[Bits, str] = {64: "qemu-aarch64", 32: "qemu-arm"}
GETPPID: dict[Bits, int] = {64: 173, 32: 64}
"""The system call's number. Source: Linux, include/uapi/asm-generic/unistd.h and arch/arm/tools/syscall.tbl."""
LOADER: dict[Bits, str] = {64: "lib/ld-linux-aarch64.so.1", 32: "lib/ld-linux-armhf.so.3"}
ONNXRUNTIME, NUMPY = "1.27.0", "2.4.6"
"""The wheels for 64 bits. There are none for 32: Debian's own packages take their place."""
DEBIAN_32 = Recipe("armhf", "trixie", ("python3-onnxruntime", "python3-numpy"), (), "usr/bin/python3.13")
PYTHON_64 = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")

Cpu = Literal[
    "cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "a64fx", "max",
    "cortex-a7", "cortex-a9", "cortex-a15",
]  # fmt: skip

IDENTITY: dict[Cpu, tuple[str, str]] = {
    "cortex-a53": ("0x41", "0xd03"),
    "cortex-a57": ("0x41", "0xd07"),
    "cortex-a72": ("0x41", "0xd08"),
    "cortex-a76": ("0x41", "0xd0b"),
    "neoverse-n1": ("0x41", "0xd0c"),
    "a64fx": ("0x46", "0x001"),
    "max": ("0x00", "0x051"),
    "cortex-a7": ("0x41", "0xc07"),
    "cortex-a9": ("0x41", "0xc09"),
    "cortex-a15": ("0x41", "0xc0f"),
}
"""Implementer and part, as the kernel prints them."""

BITS_32 = ("cortex-a7", "cortex-a9", "cortex-a15")

HWCAP = {0: "fp", 1: "asimd", 3: "aes", 7: "crc32", 8: "atomics", 9: "fphp", 10: "asimdhp", 20: "asimddp", 22: "sve"}
HWCAP2 = {1: "sve2", 13: "i8mm", 14: "bf16"}
"""Bits of the auxiliary vector; with 32 bits the loader names them itself.
Source: Linux, arch/arm64/include/uapi/asm/hwcap.h."""

FORGOTTEN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_LIBRARY_PATH")
"""Variables that lead to this machine's own libraries."""


class Qemu(Device):
    """An emulated ARM processor: accuracy, golden answers and operators are checked, times mean nothing."""

    cpu: Cpu = Field(
        "max",
        description="which processor: cortex-a72 is a Raspberry Pi 4, cortex-a76 a Raspberry Pi 5, "
        "cortex-a7 a Raspberry Pi 2 (32 bits)",
    )
    onnxruntime: str | None = Field(
        None,
        pattern=r"^\d+\.\d+\.\d+$",
        description=f"version to run there, by default {ONNXRUNTIME}; with qemu before 8 at most 1.27; with 32 bits "
        "Debian's version runs",
    )
    numpy: str | None = Field(
        None, pattern=r"^\d+\.\d+\.\d+$", description=f"version of numpy there, by default {NUMPY}"
    )

    emulated: ClassVar[bool] = True

    @model_validator(mode="after")
    def _no_wheels_for_32_bits(self) -> Qemu:
        if self.bits == 32 and (self.onnxruntime or self.numpy):
            raise ValueError(f"{self.cpu} has 32 bits: Debian's onnxruntime and numpy run there; leave versions out")
        return self

    @property
    def bits(self) -> Bits:
        return 32 if self.cpu in BITS_32 else 64

    @property
    def recipe(self) -> Recipe:
        if self.bits == 32:
            return DEBIAN_32
        wheels = (f"onnxruntime=={self.onnxruntime or ONNXRUNTIME}", f"numpy=={self.numpy or NUMPY}")
        return Recipe("arm64", "bookworm", PYTHON_64, wheels, "usr/bin/python3.11")

    @property
    def place(self) -> str:
        return f"{self.cpu}, emulated"

    @property
    def fetches(self) -> tuple[str, ...]:
        return () if self.recipe.ready else self.recipe.fetches

    def setup(self, progress: Progress) -> None:
        program, _ = qemu(self.bits)
        self._require_versions()

        def check(tree: Path) -> dict[str, str]:
            with self._opened((program,), tree) as workspace:
                lines: list[str] = []
                versions = "numpy.__version__, onnxruntime.__version__"
                argv = [workspace.python, "-c", f"import numpy, onnxruntime; print({versions})"]
                ended = workspace.run(argv, lines.append, 120)
            if ended.code != 0 or len(lines) != 1:
                raise TargetError(f"what was set up does not run: {(ended.errors or 'no reason').splitlines()[-1]}")
            return dict(zip(("numpy", "onnxruntime"), lines[0].split(), strict=True))

        build(self.recipe, check, progress)

    @property
    def counts(self) -> str:
        found = counter(PROGRAM[self.bits])
        return "" if found is None else f"qemu {found.version}"

    @property
    def uncounted(self) -> TargetError:
        return TargetError(
            f"{PROGRAM[self.bits]} with plugins, and a C compiler, are needed to count instructions",
            hint="sudo apt install --no-install-recommends qemu-user gcc libc6-dev",
        )

    @contextmanager
    def count_into(self, marks: Path) -> Iterator[Workspace]:
        found = counter(PROGRAM[self.bits])
        if found is None:
            raise self.uncounted
        command = (found.program, *found.arguments(marks, GETPPID[self.bits]))
        with self._opened(command, self._tree()) as workspace:
            yield workspace

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        with self._opened((qemu(self.bits)[0],), self._tree()) as workspace:
            yield workspace

    def _tree(self) -> Path:
        """The system that emulation runs in.

        Raises:
            TargetError: it is not set up, or would crash.
        """
        self._require_versions()
        if not self.recipe.ready:
            raise TargetError(
                f"the ARM system for emulation is not set up ({self.recipe.folder})",
                hint="run `edgekd target setup FILE` with this target's file",
            )
        return self.recipe.folder

    @contextmanager
    def _opened(self, program: Sequence[str], tree: Path) -> Iterator[Workspace]:
        with temporary_folder() as folder:
            (folder / "work").mkdir()
            yield QemuWorkspace(folder / "work", self._sysroot(tree, folder), self.recipe.python, program, self.cpu)

    def _sysroot(self, tree: Path, folder: Path) -> Path:
        """The root with a description of the emulated processor in it; qemu shows this machine's own otherwise."""
        program, version = qemu(self.bits)
        sysroot = folder / "sysroot"
        (sysroot / "proc").mkdir(parents=True)
        for entry in tree.iterdir():
            (sysroot / entry.name).symlink_to(entry)
        implementer, part = IDENTITY[self.cpu]
        facts = {
            "processor": "0",
            "model name": f"{self.cpu}, emulated by qemu {version}",
            "Features": " ".join(features(program, self.cpu, tree / LOADER[self.bits], tree)),
            "CPU implementer": implementer,
            "CPU architecture": "8" if self.bits == 64 else "7",
            "CPU variant": "0x0",
            "CPU part": part,
            "CPU revision": "0",
            "emulator": f"qemu {version}",  # the agent reports it, so that no time passes for a real one
        }
        (sysroot / "proc" / "cpuinfo").write_text("".join(f"{name}\t: {value}\n" for name, value in facts.items()))
        return sysroot

    def _require_versions(self) -> None:
        _, version = qemu(self.bits)
        wanted = self.onnxruntime or ONNXRUNTIME
        too_new = tuple(int(part) for part in wanted.split(".")[:2]) >= NEEDS_QEMU_8
        if self.bits == 64 and too_new and int(version.split(".")[0]) < 8:
            raise TargetError(
                f"onnxruntime {wanted} crashes under qemu {version}",
                hint="device.onnxruntime: 1.27.0, or qemu 8 or newer",
            )


class QemuWorkspace(LocalWorkspace):
    """A folder of this machine, in which programs run emulated."""

    def __init__(self, folder: Path, sysroot: Path, python: str, program: Sequence[str], cpu: Cpu) -> None:
        super().__init__(folder)
        self._python = str(sysroot / python)
        self._command = [*program, "-cpu", cpu, "-L", str(sysroot), "-E", "PYTHONNOUSERSITE=1"]
        for name in FORGOTTEN:
            self._command += ["-U", name]

    @property
    def python(self) -> str:
        return self._python

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        return super().run([*self._command, *argv], on_line, patience_s)


@functools.cache
def qemu(bits: Bits) -> tuple[str, str]:
    """The emulator's program and version.

    Raises:
        TargetError: there is none.
    """
    for name in (f"{PROGRAM[bits]}-static", PROGRAM[bits]):
        program = shutil.which(name)
        if program is not None:
            return program, version_of(program)
    raise TargetError(f"there is no {PROGRAM[bits]}-static on this machine", hint="sudo apt install qemu-user-static")


def features(program: str, cpu: Cpu, loader: Path, tree: Path) -> list[str]:
    """What an emulated processor can do, by the kernel's names; its dynamic loader prints it."""
    argv = [program, "-cpu", cpu, "-L", str(tree), "-E", "LD_SHOW_AUXV=1", str(loader), "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    found = dict(re.findall(r"AT_(HWCAP2?):[ \t]*(.*)", said))
    names: list[str] = []
    for word, known in (("HWCAP", HWCAP), ("HWCAP2", HWCAP2)):
        value = found.get(word, "")
        if re.fullmatch(r"(0x)?[0-9a-f]+", value):
            names += [name for bit, name in known.items() if int(value, 16) >> bit & 1]
        else:
            names += value.split()
    return names
