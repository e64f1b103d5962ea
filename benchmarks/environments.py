"""Environments of their own for the tools that edgekd is compared with."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def new_environment(folder: Path, *requirements: str, shares_ours: bool = False) -> str:
    """The interpreter of a new environment with these packages; it may take all else of the one that this runs in."""
    print(f"making an environment with {', '.join(requirements)}", flush=True)
    done([sys.executable, "-m", "venv", str(folder)], "no environment can be made here")
    places = {"base": str(folder), "platbase": str(folder)}
    if shares_ours:
        shared, own = sysconfig.get_path("purelib"), Path(sysconfig.get_path("purelib", "venv", vars=places))
        (own / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
    python = str(Path(sysconfig.get_path("scripts", "venv", vars=places), Path(sys.executable).name))
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    done([python, *install], f"{requirements[0]} cannot be installed here")
    return python


def done(command: list[str], complaint: str) -> None:
    """Runs it to its end, or gives up with the last line of what it says."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{complaint}: {(ended.stdout.strip().splitlines() or ['it says nothing'])[-1]}")
