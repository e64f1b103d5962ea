from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from edgekd.devices.base import Ended
from edgekd.devices.local import Local
from edgekd.errors import TargetError


def run(program: str, *, patience_s: float = 20.0) -> tuple[Ended, list[str]]:
    lines: list[str] = []
    with Local(use="local").connect() as workspace:
        script = workspace.write("program.py", program.encode())
        ended = workspace.run([workspace.python, script], lines.append, patience_s)
    return ended, lines


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_the_end_of(process: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(process)


def test_lines_arrive_in_order_and_the_exit_code_is_told() -> None:
    ended, lines = run("import sys\nfor n in range(3): print('line', n)\nsys.stderr.write('oh')\nsys.exit(7)")
    assert lines == ["line 0", "line 1", "line 2"]
    assert (ended.code, ended.errors, ended.silent) == (7, "oh", False)


def test_a_signal_is_a_negative_code() -> None:
    ended, _ = run("import os\nos.kill(os.getpid(), 11)")
    assert ended.code == -11


def test_a_program_that_says_nothing_is_stopped_with_its_children() -> None:
    program = """
import subprocess, time
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""
    begin = time.monotonic()
    ended, lines = run(program, patience_s=0.5)
    assert ended.silent
    assert time.monotonic() - begin < 60
    assert wait_for_the_end_of(int(lines[0]))


def test_a_program_that_goes_on_without_output_is_ended() -> None:
    program = "import os, time\nprint(os.getpid(), flush=True)\nos.close(1)\nos.close(2)\ntime.sleep(600)"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgekd.devices.local.GRACE_S", 0.3)
        ended, lines = run(program)
    assert ended.code == -9
    assert not alive(int(lines[0]))


def test_an_interruption_ends_the_program() -> None:
    seen: list[int] = []

    def interrupt(line: str) -> None:
        seen.append(int(line))
        raise KeyboardInterrupt

    with Local(use="local").connect() as workspace:
        script = workspace.write("p.py", b"import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
        with pytest.raises(KeyboardInterrupt):
            workspace.run([workspace.python, script], interrupt, 20)
    assert not alive(seen[0])


def test_much_output_and_a_long_error_are_no_trouble() -> None:
    ended, lines = run("import sys\nsys.stderr.write('e' * 300000)\nprint('x' * 300000)\nprint('end', end='')")
    assert [len(line) for line in lines] == [300000, 3]
    assert 0 < len(ended.errors) <= 4000


def test_a_program_that_is_not_there_is_a_target_error() -> None:
    with Local(use="local").connect() as workspace, pytest.raises(TargetError, match="cannot run /nowhere/x"):
        workspace.run(["/nowhere/x"], lambda line: None, 1)


def test_files_go_there_and_back_and_the_folder_vanishes(tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(b"12")
    with Local(use="local").connect() as workspace:
        there = workspace.put(tmp_path / "big.bin")
        result = workspace.path("result")
        folder = Path(result).parent
        program = f"open({result!r}, 'wb').write(open({there!r}, 'rb').read() + b'3')"
        assert workspace.run([sys.executable, "-c", program], lambda line: None, 20).code == 0
        workspace.fetch("result", tmp_path / "result")
    assert (tmp_path / "result").read_bytes() == b"123"
    assert (tmp_path / "big.bin").exists()
    assert not folder.exists()


def test_a_temporary_folder_that_cannot_be_made_is_a_target_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", os.devnull)
    with pytest.raises(TargetError, match="temporary folder"), Local(use="local").connect():
        pass
