"""Debian's packages, for any architecture and suite, fetched without any rights.

apt resolves and verifies them in folders of its own: nothing is installed on this machine, and its own lists stay as
they are. They come from the mirror that this system's own sources name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import TargetError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Mirror:
    """The addresses of Debian's archive and of its security updates, empty where the system names none for these."""

    archive: str
    security: str

    @property
    def shown(self) -> str:
        """The archive's address for the user to read, without the name and password that it may hold."""
        return re.sub(r"//[^/@]*@", "//", self.archive)

    def sources(self, suite: str, machine: str) -> str:
        """What apt's sources.list says for a suite and an architecture."""
        options = f"[arch={machine} signed-by={KEYRING}]"
        security = f"deb {options} {self.security} {suite}-security main\n" if self.security else ""
        return f"deb {options} {self.archive} {suite} main\n{security}"


def mirror() -> Mirror:
    """The mirror of Debian among the sources that apt is configured with on this system.

    Raises:
        TargetError: there is no apt, or no Debian among its sources.
    """
    require_tools()
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Origin: Debian", "Component: main"]
    said = call(argv, "read apt's sources", hint="see what `apt-get indextargets` says")
    lines = [line.partition(" ") for line in said.splitlines()]
    found = {label: uri.rstrip("/") for uri, _, label in reversed(lines) if not uri.startswith("cdrom:")}
    if "Debian" not in found:
        raise TargetError(
            "apt has no Debian archive among its sources, or has not read it yet",
            hint="on Debian: sudo apt-get update. Elsewhere name a mirror once, which changes no package here: echo "
            f"'deb-src [signed-by={KEYRING}] http://MIRROR/debian stable main' | sudo tee "
            "/etc/apt/sources.list.d/debian.list && sudo apt-get update",
        )
    return Mirror(found["Debian"], found.get("Debian-Security", ""))


def require_tools() -> None:
    """Checks that packages can be fetched, verified and unpacked here.

    Raises:
        TargetError: what for is missing.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise TargetError(
            f"setting up needs {' and '.join(missing)}, which this machine lacks", hint="do it on Debian or Ubuntu"
        )
    if not KEYRING.is_file():
        raise TargetError(f"Debian's keys are missing: {KEYRING}", hint="sudo apt install debian-archive-keyring")


def fetch(packages: Sequence[str], suite: str, machine: str, folder: Path) -> list[Path]:
    """The archives (.deb) of packages and of all that they need.

    machine: Debian's name of the architecture. folder: apt's own; what it has fetched stays there for the next call.

    Raises:
        TargetError: there is no mirror, it has no such package, or a signature is wrong.
    """
    sources = mirror().sources(suite, machine)
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").touch(mode=0o600)  # an address may hold a password
    (folder / "sources.list").write_text(sources)
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": machine,
        "APT::Architectures": machine,
        "APT::Sandbox::User": "",  # its own user could not read the folders
        "APT::Install-Recommends": "false",
        "APT::Update::Error-Mode": "any",  # or else a list that is not to be had is only warned of
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",  # of the system's own lists, which are not touched
        # what a machine hooks in after downloads is about its own packages
        "APT::Keep-Downloaded-Packages": "true",
        "Binary::apt-get::APT::Keep-Downloaded-Packages": "true",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    call(["apt-get", *options, "-q", "update"], "fetch the lists of Debian's packages")
    call(["apt-get", *options, "-q", "-y", "--download-only", "install", *packages], "fetch Debian's packages")
    return sorted((folder / "cache/archives").glob("*.deb"))


def unpack(archives: Sequence[Path], tree: Path) -> None:
    """Adds the packages' files to a folder; none of their programs is run."""
    for archive in archives:
        call(["dpkg-deb", "--extract", str(archive), str(tree)], f"unpack {archive.name}")


def call(argv: Sequence[str], purpose: str, *, hint: str = "the same command goes on from here") -> str:
    """What a program prints.

    Raises:
        TargetError: it failed; in one line, with what it was for.
    """
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if line.lower().startswith(("e:", "error"))), (lines or ["no reason"])[-1])
        raise TargetError(f"cannot {purpose}: {said}", hint=hint)
    return done.stdout
