"""The small ARM system that emulation runs in: a folder of Debian's packages and, where there are any, wheels.

It is made once for each set of versions, in the user's cache, without any rights: apt resolves and verifies the
packages in folders of its own, nothing is installed on this machine. What has been fetched stays until the folder
is whole, so that an interrupted set-up goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from edgekd.errors import TargetError
from edgekd.progress import Progress
from edgekd.records.base import digest

MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
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
        """What setting it up fetches, in lines for the user."""
        packages = (
            f"Debian {self.suite} ({self.machine}): {', '.join(self.packages)} and what they need, from {MIRROR}, "
            "signatures checked by apt"
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
    _require_tools()
    building = recipe.folder.with_name(f"{recipe.folder.name}.building")
    try:
        building.mkdir(parents=True, exist_ok=True)
        with FileLock(building.with_suffix(".lock")), progress.task("set up", 4) as advance:
            if recipe.ready:  # another process was first
                return recipe.folder
            packages = _fetch_packages(recipe, building / "apt")
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


def _require_tools() -> None:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise TargetError(
            f"setting up needs {' and '.join(missing)}, which this machine lacks", hint="do it on Debian or Ubuntu"
        )
    if not KEYRING.is_file():
        raise TargetError(f"Debian's keys are missing: {KEYRING}", hint="sudo apt install debian-archive-keyring")


def _fetch_packages(recipe: Recipe, folder: Path) -> list[Path]:
    """The archives of the packages and all that they need, fetched by apt in folders of its own."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    lists = ((MIRROR, recipe.suite), (f"{MIRROR}-security", f"{recipe.suite}-security"))
    signed = f"[arch={recipe.machine} signed-by={KEYRING}]"
    sources = "".join(f"deb {signed} {address} {suite} main\n" for address, suite in lists)
    (folder / "sources.list").write_text(sources)
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": recipe.machine,
        "APT::Architectures": recipe.machine,
        "APT::Sandbox::User": "",  # its own user could not read the folders
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",  # of the system's own lists, which are not touched
        # what a machine hooks in after downloads is about its own packages
        "APT::Keep-Downloaded-Packages": "true",
        "Binary::apt-get::APT::Keep-Downloaded-Packages": "true",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    _run(["apt-get", *options, "-q", "update"], "the lists of Debian's packages")
    _run(["apt-get", *options, "-q", "-y", "--download-only", "install", *recipe.packages], "Debian's packages")
    return sorted((folder / "cache/archives").glob("*.deb"))


def _fetch_wheels(recipe: Recipe, folder: Path) -> list[Path]:
    there = {tuple(path.name.split("-")[:2]) for path in folder.glob("*.whl")}
    missing = [each for each in recipe.wheels if tuple(each.split("==")) not in there]
    if missing:
        platforms = [part for name in WHEELS for part in ("--platform", name)]
        version = "".join(re.findall(r"\d+", recipe.python)[:2])
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        argv += [*platforms, "--python-version", version, "--only-binary=:all:", "--dest", str(folder), *missing]
        _run(argv, "the wheels")
    return sorted(folder.glob("*.whl"))


def _unpack(packages: Sequence[Path], wheels: Sequence[Path], tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(tree)], package.name)
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


def _run(argv: Sequence[str], what: str) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if line.lower().startswith(("e:", "error"))), (lines or ["no reason"])[-1])
        raise TargetError(f"cannot fetch {what}: {said}", hint="the same command goes on from here")
