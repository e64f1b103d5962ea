"""The ARM system's folder, made of packages and wheels of a test's own, with the real dpkg-deb and pip."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgekd.devices import debian
from edgekd.devices.sysroot import READY, SITE, Recipe, build
from edgekd.errors import TargetError
from tests.conftest import Told

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb")

RECIPE = Recipe("arm64", "bookworm", ("python3-pebble",), ("pebble==1.2.0",), "usr/bin/python3.11")
LIBRARY = "usr/lib/aarch64-linux-gnu/blas/libblas.so.3"


@dataclass
class Mirrors:
    """What there is to fetch, and what was fetched of Debian; `wheels` is where pip finds its own."""

    folder: Path
    asked: list[tuple[Sequence[str], str, str]] = field(default_factory=list)

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"

    def fetch(self, packages: Sequence[str], suite: str, machine: str, folder: Path) -> list[Path]:
        self.asked.append((packages, suite, machine))
        return sorted(self.folder.glob("*.deb"))


@pytest.fixture
def mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirrors:
    found = Mirrors(tmp_path / "mirrors")
    package = found.folder / "package"
    for name, content in (
        ("DEBIAN/control", "Package: a\nVersion: 1\nArchitecture: arm64\nMaintainer: me <a@b>\nDescription: a\n"),
        (LIBRARY, "blas"),
        ("usr/bin/python3.11", ""),
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    subprocess.run(["dpkg-deb", "--build", package, found.folder / "a.deb"], check=True)
    found.wheels.mkdir()
    with zipfile.ZipFile(found.wheels / "pebble-1.2.0-py3-none-manylinux_2_28_aarch64.whl", "w") as wheel:
        wheel.writestr("pebble/__init__.py", "")
        wheel.writestr("pebble-1.2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pebble\nVersion: 1.2.0\n")
        wheel.writestr("pebble-1.2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n")
        wheel.writestr("pebble-1.2.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(found.wheels))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "fetch", found.fetch)
    monkeypatch.setattr(debian, "require_tools", lambda: None)
    return found


def fails(tree: Path) -> dict[str, str]:
    raise TargetError("it does not run")


def works(tree: Path) -> dict[str, str]:
    return {"pebble": "1.2.0"}


def test_the_folder_holds_packages_and_wheels_and_the_links_that_an_installation_makes(mirrors: Mirrors) -> None:
    tree = build(RECIPE, works, Told())
    assert mirrors.asked == [(("python3-pebble",), "bookworm", "arm64")]
    assert (tree / SITE / "pebble" / "__init__.py").is_file()
    assert (tree / "bin" / "python3.11").is_file(), "bin leads to usr/bin"
    assert (tree / LIBRARY).parent.with_name("libblas.so.3").read_text() == "blas"
    facts = json.loads((tree / READY).read_text())
    assert (facts["machine"], facts["versions"], facts["packages"]) == ("arm64", {"pebble": "1.2.0"}, ["a.deb"])
    assert [path.name for path in tree.parent.iterdir() if path.is_dir()] == [tree.name], "nothing else is left"


def test_an_interrupted_set_up_goes_on_and_a_broken_one_is_never_taken(mirrors: Mirrors) -> None:
    with pytest.raises(TargetError, match="does not run"):
        build(RECIPE, fails, Told())
    assert not RECIPE.ready
    shutil.rmtree(mirrors.wheels)
    assert build(RECIPE, works, Told()) == RECIPE.folder, "the wheels were there already"
    assert RECIPE.ready
    mirrors.asked.clear()
    build(RECIPE, fails, Told())
    assert mirrors.asked == []


def test_a_wheel_that_is_not_to_be_had_is_told(mirrors: Mirrors) -> None:
    shutil.rmtree(mirrors.wheels)
    with pytest.raises(TargetError, match=r"cannot fetch the wheels: ERROR: .*pebble==1\.2\.0"):
        build(RECIPE, works, Told())
    assert not RECIPE.ready


def test_what_it_fetches_is_told_with_the_mirror_that_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "mirror", lambda: debian.Mirror("https://me:secret@mirror.example/debian", ""))
    packages, wheels, place = RECIPE.fetches
    assert packages.startswith("Debian bookworm (arm64): python3-pebble and what they need, from https://mirror.exam")
    assert "secret" not in packages
    assert "pebble==1.2.0" in wheels
    assert str(RECIPE.folder) in place
