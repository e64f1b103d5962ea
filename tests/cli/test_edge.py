"""Signals, outputs that take nothing, letters that an encoding lacks, and errors that nobody foresaw."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import DIGITS, QUICK, REPOSITORY, Place

BUG = """
import sys
from edgekd.cli.edge import run_command
def command():
    {}
run_command(command)
"""


def ended(body: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BUG.format(body)],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_bug_is_one_line_and_its_traceback_a_file(tmp_path: Path) -> None:
    done = ended("{}['missing']", tmp_path)
    (report,) = tmp_path.glob("edgekd-bug-*.txt")
    assert done.returncode == 70
    assert done.stderr.splitlines() == [
        "a bug in edgekd: KeyError: 'missing'",
        f"hint: please report it with {report}, which says where",
    ]
    assert "Traceback" in report.read_text()


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("raise OSError(28, 'No space left on device', 'x')", 4, "no space left on device: x"),
        ("raise MemoryError", 4, "out of memory"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise RecursionError('a\\nb')", 70, "a bug in edgekd: RecursionError: a"),
    ],
)
def test_every_end_has_its_code(tmp_path: Path, body: str, code: int, line: str) -> None:
    done = ended(body, tmp_path)
    assert (done.returncode, (done.stderr.splitlines() or [""])[0]) == (code, line)
    assert "Traceback" not in done.stderr


def test_a_bug_is_told_where_no_file_can_be_written(tmp_path: Path) -> None:
    done = ended("import tempfile; tempfile.mkstemp = lambda **_: open('/nowhere/x'); 1 / 0", tmp_path)
    assert done.returncode == 70
    assert "ZeroDivisionError: division by zero" in done.stderr


@pytest.mark.parametrize(("output", "code"), [("| true", 3), ("> /dev/full", 4), (">&-", 3)])
def test_an_output_that_takes_nothing_changes_no_verdict_but_is_told(tmp_path: Path, output: str, code: int) -> None:
    program = tmp_path / "program.py"
    program.write_text(BUG.format("print('x' * 200_000); sys.exit(3)"))
    shell = f"{sys.executable} {program} {output}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == code
    assert done.stderr == ("the output is incomplete: No space left on device\n" if code == 4 else "")


def test_letters_that_an_encoding_lacks_degrade(tmp_path: Path) -> None:
    done = ended("print('12 µs ± 3 – 2×, 日本')", tmp_path, PYTHONIOENCODING="ascii")
    assert done.stdout == "12 us +- 3 - 2x, ??\n"
    assert done.returncode == 0


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_a_run_as_ctrl_c_does(tmp_path: Path, name: str, code: int) -> None:
    place = Place(tmp_path / "work", {"EDGEKD_STORE": str(tmp_path / "store"), "TMPDIR": str(tmp_path)})
    place.folder.mkdir()
    process = place.start("run", DIGITS, *(f"--set={each}" for each in (*QUICK, "teacher.epochs=10000")))
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch" in line:
            break
    running = place.edgekd("show")
    assert "it is still running" in running.stdout
    process.send_signal(getattr(signal, name))
    process.stderr.read()
    assert process.wait(timeout=60) == code
    assert place.last_run()["error"] == "interrupted"
    assert not list(tmp_path.glob("edgekd-*"))


def test_a_run_that_vanished_is_told_by_show_plan_and_the_next_run(tmp_path: Path) -> None:
    place = Place(tmp_path / "work", {"EDGEKD_STORE": str(tmp_path / "store")})
    place.folder.mkdir()
    (place.folder / "mine.py").write_text("import os\n\n\ndef load():\n    os.kill(os.getpid(), 9)\n")
    settings = [f"--set={each}" for each in (*QUICK, f"data={{use: '{place.folder}/mine.py:load'}}")]
    done = place.edgekd("run", DIGITS, *settings)
    assert done.returncode == -9
    (folder,) = place.folder.glob("runs/*/*")
    assert place.last_run()["state"] == "running"
    assert "ended without a word" in place.edgekd("show").stdout
    assert f"the run runs/digits/{folder.name} ended without a word" in place.edgekd("plan", DIGITS).stderr
    time.sleep(1)  # names of folders have seconds
    (place.folder / "mine.py").write_text("import os\ndef load():\n    os._exit(0)\n")
    done = place.edgekd("run", DIGITS, *settings)
    assert f"the run runs/digits/{folder.name} ended without a word" in done.stderr
    assert done.returncode == 2
    assert f"{place.folder}/mine.py:3: {place.folder}/mine.py:load failed: SystemExit: 0" in done.stderr
    assert "ended without a word" not in place.edgekd("plan", DIGITS).stderr


LATE = """
import sys

from torch import nn

import packaged


class Late(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.linear, self.calls = nn.Linear(64, classes), 0

    def forward(self, images):
        self.calls += self.training
        if self.calls > 3:
            {}
        return self.linear(images.flatten(1))


def build(contract):
    return {}(len(contract.classes))
"""


@pytest.mark.parametrize(
    ("body", "built", "line"),
    [
        ("raise LookupError('too late')", "Late", "net.py:17: own code failed: LookupError: too late"),
        ("sys.exit(0)", "Late", "net.py:17: own code failed: SystemExit: 0"),
        ("raise KeyboardInterrupt", "Late", "net.py:17: own code failed: KeyboardInterrupt"),
        ("pass", "packaged.Late", "packaged.py:5: own code failed: SystemExit: 0"),
        ("pass", "packaged.Late", "packaged.py:5: own code failed: SystemExit"),
    ],
)
def test_own_code_that_fails_or_ends_in_the_middle_of_a_training_is_named(
    tmp_path: Path, body: str, built: str, line: str
) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "packaged.py").write_text(
        "import sys\nfrom torch import nn\nclass Late(nn.Linear):\n    def __init__(self, n): super().__init__(64, n)\n"
        f"    def forward(self, x): return sys.exit({'0' if line.endswith('0') else ''}) if self.training and "
        "torch.is_grad_enabled() else super().forward(x.flatten(1))\nimport torch\n"
    )
    place = Place(tmp_path / "work", {"EDGEKD_STORE": str(tmp_path / "store"), "PYTHONPATH": str(installed)})
    place.folder.mkdir()
    (place.folder / "net.py").write_text(LATE.format(body, built))
    model = f"teacher.model={{use: '{place.folder}/net.py:build'}}"
    done = place.edgekd("run", DIGITS, *(f"--set={each}" for each in (*QUICK, model)))
    assert done.returncode in (2, 4), done.stderr
    assert line in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_thread_that_own_code_leaves_does_not_keep_the_process(tmp_path: Path) -> None:
    place = Place(tmp_path / "work", {"EDGEKD_STORE": str(tmp_path / "store")})
    place.folder.mkdir()
    (place.folder / "mine.py").write_text(
        "import threading, time\ndef load():\n    threading.Thread(target=time.sleep, args=(300,)).start()\n    1 / 0\n"
    )
    begun = time.monotonic()
    done = place.edgekd("run", DIGITS, f"--set=data={{use: '{place.folder}/mine.py:load'}}")
    assert (done.returncode, time.monotonic() - begun < 60) == (2, True)
    assert "mine.py:4: " in done.stderr


def test_what_own_code_does_at_the_end_of_the_process_has_no_say_in_its_code(tmp_path: Path) -> None:
    place = Place(tmp_path / "work", {"EDGEKD_STORE": str(tmp_path / "store")})
    place.folder.mkdir()
    (place.folder / "mine.py").write_text(
        "import atexit, os\n"
        "def load():\n"
        "    atexit.register(os._exit, 0)\n"
        "    atexit.register(os.write, 2, b'its last words')\n"
        "    atexit.register(lambda: os._exit(0))\n"
        "    1 / 0\n"
    )
    done = place.edgekd("run", DIGITS, f"--set=data={{use: '{place.folder}/mine.py:load'}}")
    assert done.returncode == 2
    assert "mine.py:6: " in done.stderr
    assert done.stderr.endswith("its last words")


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    body = f"import os; os.mkdir('{tmp_path}/x'); os.chdir('{tmp_path}/x'); os.rmdir('{tmp_path}/x'); os.getcwd()"
    done = ended(body, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("the working directory is gone\n")
