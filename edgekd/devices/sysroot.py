"""The small ARM system that emulation runs in: a folder of Debian's packages and, where there are any, wheels.

It is made once for each set of versions, in the user's cache, without any rights. What has been fetched stays until
the folder is whole, so that an interrupted set-up goes on.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from edgekd.devices import debian
from edgekd.errors import TargetError
from edgekd.progress import Progress
from edgekd.records.base import digest

WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
READY = "edgekd-ready.json"
SITE = "usr/lib/python3/dist-packages"
MERGED = ("lib", "bin")
"""Links to the folders of the same name in usr/, which a package of its own makes in an installed system."""
ALTERNATIVES = ("blas/libblas.so.3", "lapack/liblapack.so.3")
"""Libraries that Debian links into the folder above when it installs them."""


@dataclass(frozen=True)
class Recipe:
    """What the folder is made of; the packages' own versions are those that Debian has on the day.

    machine: Debian's name of the architecture. wheels: as `pip download` takes them, for `python`, the interpreter's
    path in the folder.
    """

    machine: str
    suite: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    python: str

    @property
    def folder(self) -> Path:
        parent = Path(platformdirs.user_cache_dir("edgekd")) / "sysroots"
        return parent / f"{self.machine}-{digest(asdict(self))[:12]}"

    @property
    def ready(self) -> bool:
        """Whether the folder is whole; it appears under its name only then."""
        return (self.folder / READY).is_file()

    @property
    def fetches(self) -> tuple[str, ...]:
        """What setting it up fetches, in lines for the user.

        Raises:
            TargetError: this system's apt knows no mirror to fetch it from.
        """
        packages = (
            f"Debian {self.suite} ({self.machine}): {', '.join(self.packages)} and what they need, from "
            f"{debian.mirror().shown}, signatures checked by apt"
        )
        wheels = (f"wheels (aarch64): {', '.join(self.wheels)}, with pip",) if self.wheels else ()
        place = f"into {self.folder}: some 40 to 50 MB, unpacked 190 MB; nothing is installed on this machine"
        return (packages, *wheels, place)


def build(recipe: Recipe, check: Callable[[Path], dict[str, str]], progress: Progress) -> Path:
    """The folder, made if it is not there.

    check: runs its Python with onnxruntime, and returns the versions that it finds.

    Raises:
        TargetError: a tool is missing, a download fails, or what was made does not run.
    """
    if recipe.ready:
        return recipe.folder
    debian.require_tools()
    building = recipe.folder.with_name(f"{recipe.folder.name}.building")
    try:
        building.mkdir(parents=True, exist_ok=True)
        with FileLock(building.with_suffix(".lock")), progress.task("set up", 4) as advance:
            if recipe.ready:  # another process was first
                return recipe.folder
            packages = debian.fetch(recipe.packages, recipe.suite, recipe.machine, building / "apt")
            advance(note=f"{len(packages)} packages")
            wheels = _fetch_wheels(recipe, building / "wheels")
            advance(note="wheels")
            tree = building / "tree"
            _unpack(packages, wheels, tree)
            advance(note="unpacked")
            versions = check(tree)
            facts = {**asdict(recipe), "versions": versions, "packages": [path.name for path in packages]}
            (tree / READY).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            tree.rename(recipe.folder)
            advance(note="runs")
        shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise TargetError(
            f"cannot make {recipe.folder}: {error.strerror}", hint="some 300 MB are needed while it is made"
        ) from error
    return recipe.folder


def _fetch_wheels(recipe: Recipe, folder: Path) -> list[Path]:
    there = {tuple(path.name.split("-")[:2]) for path in folder.glob("*.whl")}
    missing = [each for each in recipe.wheels if tuple(each.split("==")) not in there]
    if missing:
        platforms = [part for name in WHEELS for part in ("--platform", name)]
        version = "".join(re.findall(r"\d+", recipe.python)[:2])
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        argv += [*platforms, "--python-version", version, "--only-binary=:all:", "--dest", str(folder), *missing]
        debian.call(argv, "fetch the wheels")
    return sorted(folder.glob("*.whl"))


def _unpack(packages: Sequence[Path], wheels: Sequence[Path], tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    debian.unpack(packages, tree)
    (tree / SITE).mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tree / SITE)
    for name in MERGED:
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    for name in ALTERNATIVES:
        for library in tree.glob(f"usr/lib/*/{name}"):
            link = library.parent.parent / library.name
            if not link.exists():
                link.symlink_to(name)
