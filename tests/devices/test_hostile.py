"""A board that lies, floods, hangs or dies costs one line and some seconds, here and over a real ssh server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgekd.agent import turn
from edgekd.config.target import Measuring
from edgekd.devices import channel
from edgekd.devices.base import Device, Workspace
from edgekd.devices.hostile import CASES, Case, Hostile, HostileWorkspace
from edgekd.devices.local import Local
from edgekd.errors import EdgekdError
from edgekd.harness.answers import predict
from edgekd.harness.driver import measure
from edgekd.harness.environment import identity_of
from edgekd.progress import Silent
from edgekd.records.runtime import RuntimeSettings
from tests.command import place_with
from tests.devices.conftest import Server
from tests.devices.test_local import wait_for_the_end_of
from tests.harness.conftest import save_model

PATIENCE_S = 1.5
LONGEST_S = 60.0


class Distant(Device):
    """The same board behind a real ssh server."""

    server: object
    does: Case

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        assert isinstance(self.server, Server)
        with self.server.device().connect() as workspace:
            yield HostileWorkspace(workspace, self.does, 0, PATIENCE_S)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from onnx import helper

    return save_model(tmp_path_factory.mktemp("m") / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])])


def jobs(model: Path) -> dict[str, Callable[[Device], object]]:
    rows = np.zeros((3, 4), np.float32)
    return {
        "predict": lambda device: predict(device, RuntimeSettings(), {"m": model}, {"x": rows}, Silent()),
        "measure": lambda device: measure(
            device, RuntimeSettings(), Measuring(seconds=1), {"m": model}, (), 0, Silent()
        ),
        "identify": identity_of,
    }


def one_line(device: Device, job: Callable[[Device], object]) -> str:
    begun = time.monotonic()
    with pytest.raises(EdgekdError) as told:
        job(device)
    assert time.monotonic() - begun < LONGEST_S
    assert len(str(told.value).splitlines()) == 1
    assert len(str(told.value)) < 1000
    return str(told.value)


@pytest.mark.parametrize("job", ["predict", "measure", "identify"])
@pytest.mark.parametrize("case", CASES)
def test_whatever_a_board_does_costs_one_line(case: Case, job: str, model: Path) -> None:
    one_line(Hostile(use="hostile", does=case, patience_s=PATIENCE_S), jobs(model)[job])


@pytest.mark.parametrize("case", CASES)
def test_whatever_a_board_behind_ssh_does_costs_one_line(case: Case, server: Server, model: Path) -> None:
    one_line(Distant(use="distant", server=server, does=case), jobs(model)["predict"])


def left_child(workspace: Workspace) -> int:
    """The number of the process that a program leaves behind."""
    lines: list[str] = []
    ticket = workspace.write("job.json", b"{}")
    HostileWorkspace(workspace, "leaves a child", 0, 3).run(["", "", ticket], lines.append, 30)
    return int(lines[0].partition('"model": "m')[2].partition('"')[0])


def test_what_a_program_leaves_running_is_ended_with_it() -> None:
    with Local(use="local").connect() as workspace:
        assert wait_for_the_end_of(left_child(workspace))


def test_what_a_program_leaves_running_on_a_board_is_ended_with_it(server: Server) -> None:
    with server.device().connect() as workspace:
        assert wait_for_the_end_of(left_child(workspace))


def agents_of(folder: Path) -> list[int]:
    """The processes that were told to work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes() and b"agent.pyz" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def lock_is_free() -> bool:
    import fcntl

    handle = turn.lock_file(turn.LOCK)
    assert handle is not None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_an_agent_whose_host_is_gone_ends_and_frees_the_machine(
    number: signal.Signals, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    place = place_with(tmp_path, "")
    place.environment["TMPDIR"] = str(temporary)
    process = place.start("bench", model, "--shape", "x=1,4", "--seconds", "60")
    deadline = time.monotonic() + 60
    while not agents_of(temporary) and time.monotonic() < deadline:
        time.sleep(0.02)
    (agent,) = agents_of(temporary)
    time.sleep(1.0)
    process.send_signal(number)
    process.wait(30)
    assert wait_for_the_end_of(agent)
    assert agents_of(temporary) == []
    deadline = time.monotonic() + 30
    while not lock_is_free():  # somebody else may measure on this machine
        assert time.monotonic() < deadline
        time.sleep(0.1)
    if number != signal.SIGKILL:
        assert list(temporary.iterdir()) == []


def test_an_agent_whose_keeper_is_gone_ends(server: Server, tmp_path: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); from agent.leash import follow_host; follow_host()\n"
    program += "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(600)"
    seen: list[int] = []

    def kill_the_keeper(line: str) -> None:
        seen.extend(int(part) for part in line.split())
        os.kill(seen[1], signal.SIGKILL)

    from edgekd.harness.conversation import agent_zip

    with contextlib.suppress(EdgekdError), server.device().connect() as workspace:
        archive = workspace.write("agent.pyz", agent_zip())
        workspace.run([workspace.python, "-c", program, archive], kill_the_keeper, 30)
    assert wait_for_the_end_of(seen[0])


LIAR = """#!{python}
import json, os, re, sys, time
text = b""
while not text.endswith(b"\\0"):
    text += os.read(0, 1)
nonce = re.search(rb"print\\('\\\\n([0-9a-f]+)'", text)[1].decode()
say = lambda content: print(content if isinstance(content, str) else json.dumps(content), flush=True)
case = {case!r}
if case == "greets without end":
    while True:
        say("welcome")
        time.sleep(0.001)
print()
say(nonce)
if case == "nested":
    say("[" * 200000 + "]" * 200000)
    time.sleep(600)
work = {folder!r}
say(dict(python=sys.executable, version=[3, 11, 0], missing=[], managed=False, work=work))
if case == "takes nothing":
    time.sleep(600)
while True:
    request = json.loads(sys.stdin.buffer.readline())
    if request["op"] == "send":
        sys.stdin.buffer.read(request["size"])
        say({{}})
    elif request["op"] == "use":
        say(dict(known=False))
    elif request["op"] == "run":
        say(dict(line=json.dumps(dict(event="predicted", model="m", rows=3))))
        if case == "talks on":
            while True:
                say(dict(line="x" * 1000))
        say(dict(line=json.dumps(dict(event="done"))))
        say(dict(ended=0, errors=""))
    elif request["op"] == "fetch":
        size = dict(negative=-1, enormous=10**15, drips=1000, cut=1000).get(case, "many")
        say(dict(size=size, sha256="0" * 64))
        while case in ("drips", "enormous"):
            os.write(1, b"x" if case == "drips" else b"x" * 65536)
            time.sleep(0.2 if case == "drips" else 0)
        sys.exit()
"""


@pytest.mark.parametrize(
    "case",
    ["negative", "enormous", "drips", "cut", "no number", "nested", "takes nothing", "talks on", "greets without end"],
)
def test_a_board_whose_keeper_lies_costs_one_line(
    case: str, server: Server, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "ANSWER_S", 2.0)
    monkeypatch.setattr(channel, "CLOSING_S", 1.0)
    monkeypatch.setattr(channel, "SLOWEST", 1e6)
    monkeypatch.setattr("edgekd.devices.ssh.STOP_S", 1.0)
    program = tmp_path / "python"
    program.write_text(LIAR.replace("\\\\", "\\").format(python=sys.executable, case=case, folder=str(tmp_path)))
    program.chmod(0o755)
    rows = np.zeros((200_000 if case == "takes nothing" else 3, 4), np.float32)
    one_line(
        server.device(python=str(program)),
        lambda device: predict(device, RuntimeSettings(), {"m": model}, {"x": rows}, Silent()),
    )
    assert not list(tmp_path.glob("**/*.part"))
