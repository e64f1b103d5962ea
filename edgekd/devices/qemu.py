"""An ARM processor without a board: onnxruntime's real aarch64 kernels, under qemu's user emulation."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.local import LocalWorkspace
from edgekd.devices.sysroot import PYTHON, Recipe, build
from edgekd.errors import TargetError
from edgekd.progress import Progress

PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
NEEDS_QEMU_8 = (1, 28)
"""The first onnxruntime that an older qemu crashes on (seen with 7.2.22)."""

Cpu = Literal["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "a64fx", "max"]

IDENTITY: dict[Cpu, tuple[str, str]] = {
    "cortex-a53": ("0x41", "0xd03"),
    "cortex-a57": ("0x41", "0xd07"),
    "cortex-a72": ("0x41", "0xd08"),
    "cortex-a76": ("0x41", "0xd0b"),
    "neoverse-n1": ("0x41", "0xd0c"),
    "a64fx": ("0x46", "0x001"),
    "max": ("0x00", "0x051"),
}
"""Implementer and part, as the kernel prints them."""

HWCAP = {0: "fp", 1: "asimd", 3: "aes", 7: "crc32", 8: "atomics", 9: "fphp", 10: "asimdhp", 20: "asimddp", 22: "sve"}
HWCAP2 = {1: "sve2", 13: "i8mm", 14: "bf16"}
"""Bits of the auxiliary vector. Source: Linux, arch/arm64/include/uapi/asm/hwcap.h."""

FORGOTTEN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_LIBRARY_PATH")
"""Variables that lead to this machine's own libraries."""


class Qemu(Device):
    """An emulated ARM processor: accuracy, golden answers and operators are checked, times mean nothing."""

    cpu: Cpu = Field("max", description="which processor: cortex-a72 is a Raspberry Pi 4, cortex-a76 a Raspberry Pi 5")
    onnxruntime: str = Field(
        "1.27.0", pattern=r"^\d+\.\d+\.\d+$", description="version to run there; with qemu before 8 at most 1.27"
    )
    numpy: str = Field("2.4.6", pattern=r"^\d+\.\d+\.\d+$", description="version of numpy there")

    emulated: ClassVar[bool] = True

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.onnxruntime, self.numpy)

    @property
    def place(self) -> str:
        return f"{self.cpu}, emulated"

    @property
    def fetches(self) -> tuple[str, ...]:
        return () if self.recipe.ready else self.recipe.fetches

    def setup(self, progress: Progress) -> None:
        program, _ = qemu()
        self._require_versions()

        def check(tree: Path) -> dict[str, str]:
            with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
                workspace = QemuWorkspace(Path(name), self._sysroot(tree, Path(name)), program, self.cpu)
                lines: list[str] = []
                versions = "numpy.__version__, onnxruntime.__version__"
                argv = [workspace.python, "-c", f"import numpy, onnxruntime; print({versions})"]
                ended = workspace.run(argv, lines.append, 120)
            if ended.code != 0 or len(lines) != 1:
                raise TargetError(f"what was set up does not run: {(ended.errors or 'no reason').splitlines()[-1]}")
            return dict(zip(("numpy", "onnxruntime"), lines[0].split(), strict=True))

        build(self.recipe, check, progress)

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        program, _ = qemu()
        self._require_versions()
        if not self.recipe.ready:
            raise TargetError(
                f"the ARM system for emulation is not set up ({self.recipe.folder})",
                hint="run `edgekd target setup FILE` with this target's file",
            )
        with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
            folder = Path(name)
            (folder / "work").mkdir()
            sysroot = self._sysroot(self.recipe.folder, folder)
            yield QemuWorkspace(folder / "work", sysroot, program, self.cpu)

    def _sysroot(self, tree: Path, folder: Path) -> Path:
        """The root with a description of the emulated processor in it; qemu shows this machine's own otherwise."""
        program, version = qemu()
        sysroot = folder / "sysroot"
        (sysroot / "proc").mkdir(parents=True)
        for entry in tree.iterdir():
            (sysroot / entry.name).symlink_to(entry)
        implementer, part = IDENTITY[self.cpu]
        (sysroot / "proc" / "cpuinfo").write_text(
            f"processor\t: 0\nmodel name\t: {self.cpu}, emulated by qemu {version}\n"
            f"Features\t: {' '.join(features(program, self.cpu, tree))}\nCPU implementer\t: {implementer}\n"
            f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 0\n"
            f"emulator\t: qemu {version}\n"  # the agent reports it, so that no time passes for a real one
        )
        return sysroot

    def _require_versions(self) -> None:
        _, version = qemu()
        wanted = tuple(int(part) for part in self.onnxruntime.split(".")[:2])
        if wanted >= NEEDS_QEMU_8 and int(version.split(".")[0]) < 8:
            raise TargetError(
                f"onnxruntime {self.onnxruntime} crashes under qemu {version}",
                hint="device.onnxruntime: 1.27.0, or qemu 8 or newer",
            )


class QemuWorkspace(LocalWorkspace):
    """A folder of this machine, in which programs run emulated."""

    def __init__(self, folder: Path, sysroot: Path, program: str, cpu: Cpu) -> None:
        super().__init__(folder)
        self._sysroot = sysroot
        self._command = [program, "-cpu", cpu, "-L", str(sysroot), "-E", "PYTHONNOUSERSITE=1"]
        for name in FORGOTTEN:
            self._command += ["-U", name]

    @property
    def python(self) -> str:
        return str(self._sysroot / PYTHON)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        return super().run([*self._command, *argv], on_line, patience_s)


@functools.cache
def qemu() -> tuple[str, str]:
    """The emulator's program and version.

    Raises:
        TargetError: there is none.
    """
    for name in PROGRAMS:
        program = shutil.which(name)
        if program is not None:
            said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"version (\d+(?:\.\d+)+)", said)
            return program, version[1] if version else "0"
    raise TargetError("there is no qemu-aarch64-static on this machine", hint="sudo apt install qemu-user-static")


def features(program: str, cpu: Cpu, tree: Path) -> list[str]:
    """What an emulated processor can do, by the kernel's names; its dynamic loader prints it."""
    argv = [program, "-cpu", cpu, "-L", str(tree), "-E", "LD_SHOW_AUXV=1", str(tree / "lib/ld-linux-aarch64.so.1")]
    said = subprocess.run([*argv, "--version"], capture_output=True, text=True, check=False).stdout
    found = {name: int(value, 16) for name, value in re.findall(r"AT_(HWCAP2?):\s+(?:0x)?([0-9a-f]+)", said)}
    words = ((found.get("HWCAP", 0), HWCAP), (found.get("HWCAP2", 0), HWCAP2))
    return [name for word, names in words for bit, name in names.items() if word >> bit & 1]
