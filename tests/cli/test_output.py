"""Standard output has edgekd's own lines alone, whatever other people's code writes to its descriptor."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import DIGITS, QUICK, REPOSITORY, Place, place_with, sets
from tests.sweep.small import PIPELINE

LOUD = """
import ctypes
import os
import subprocess
import sys

import numpy as np
from torch import nn


def say(where):
    os.write(1, f"written {where}\\n".encode())
    subprocess.run(["echo", "a child", where], check=True)
    libc = ctypes.CDLL(None)
    libc.printf(f"printf {where}\\n".encode())
    libc.fflush(None)
    print("print", where)
    print("__stdout__", where, file=sys.__stdout__, flush=True)


def load():
    say("of data")
    images = np.random.default_rng(0).integers(0, 256, (360, 8, 8), np.uint8)
    labels = np.arange(360) % 3
    train, test = slice(None, 300), slice(300, None)
    return {"classes": ["a", "b", "c"], "train_images": images[train], "train_labels": labels[train],
            "test_images": images[test], "test_labels": labels[test]}


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.linear = nn.Linear(64, classes)

    def forward(self, images):
        return self.linear(images.flatten(1))


def net(contract):
    say("of a model")
    return Net(len(contract.classes))
"""
WAYS = ("written", "a child", "printf", "print", "__stdout__")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "loud.py").write_text(LOUD)
    return Place(tmp_path)


def own_of(place: Place) -> list[str]:
    return sets(*QUICK, f"data={{use: '{place.folder}/loud.py:load'}}", "teacher.epochs=1", "distill.epochs=1",
                f"teacher.model={{use: '{place.folder}/loud.py:net'}}")  # fmt: skip


def test_what_own_code_writes_below_python_goes_to_standard_error(place: Place) -> None:
    done = place.edgekd("run", DIGITS, "--until", "train@student", *own_of(place))
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    for where in ("of data", "of a model"):
        assert all(f"{way} {where}" in told for way in WAYS), done.stderr
        assert where not in done.stdout
    assert "run: " in done.stdout


def test_json_of_a_sweep_is_json_also_where_its_processes_write(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    place = place_with(tmp_path, PIPELINE)
    arguments = [*own_of(place), "--set", "distill.temperature=2,4", "--workers", "2", "--until", "train"]
    done = place.edgekd("sweep", "p.yaml", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["rows"]) == 2
    assert "a child of a model" in done.stderr


@pytest.mark.parametrize(
    ("redirected", "output", "errors"),
    [
        ("", True, ""),
        (">&-", False, ""),
        ("2>&-", True, ""),
        ("<&- >&- 2>&-", False, ""),
        (">/dev/full", False, "the output is incomplete: No space left on device\n"),
    ],
)
def test_closed_and_full_outputs(tmp_path: Path, redirected: str, output: bool, errors: str) -> None:
    shell = f"{sys.executable} -m edgekd --version {redirected}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, bool(done.stdout), done.stderr) == (4 if errors else 0, output, errors)


def test_a_pipe_that_nobody_reads_is_no_failure(tmp_path: Path) -> None:
    shell = f"{sys.executable} -m edgekd --help | true; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_stays_one() -> None:
    ours, theirs = pty.openpty()
    program = (
        "import edgekd.cli, os, sys\n"
        "def command():\n"
        "    from rich.console import Console\n"
        "    os.write(1, b'not here')\n"
        "    print(sys.stdout.isatty(), Console().is_terminal, os.isatty(1), sys.stdout.encoding)\n"
        "    raise SystemExit(0)\n"
        "edgekd.cli.main = command\n"
        "from edgekd.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=theirs, stderr=subprocess.PIPE, check=False,
        env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"not here")
    assert os.read(ours, 1000).decode().split() == ["True", "True", "False", "iso8859-1"]
    os.close(ours)


def test_an_output_that_is_no_descriptor_is_left_as_it_is() -> None:
    program = (
        "import edgekd.cli, io, os, sys\n"
        "edgekd.cli.main = lambda: print('told') or os.write(1, b'written')\n"
        "from edgekd.__main__ import main\n"
        "sys.stdout = io.StringIO()\n"
        "main()\n"
        "assert sys.stdout.getvalue() == 'told\\n'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "written", "")
