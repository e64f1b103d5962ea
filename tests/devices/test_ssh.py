"""A board over SSH, with a real server: what comes back, what breaks, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from edgekd.devices.base import Workspace
from edgekd.devices.channel import Channel
from edgekd.devices.local import Local
from edgekd.devices.ssh import Ssh
from edgekd.errors import TargetError
from edgekd.harness.answers import predict
from edgekd.harness.doctor import examine
from edgekd.harness.environment import identity_of, machine_identity
from edgekd.progress import Silent
from edgekd.records.runtime import RuntimeSettings
from tests.command import REPOSITORY
from tests.devices.conftest import Server, make_key
from tests.harness.conftest import convolutions


def run(workspace: Workspace, program: str, patience_s: float = 30) -> tuple[int, list[str], str]:
    lines: list[str] = []
    ended = workspace.run([workspace.python, "-c", program], lines.append, patience_s)
    return ended.code, lines, ended.errors


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def soon(condition: object, seconds: float = 15) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        server: Server = request.getfixturevalue("server")
        assert soon(lambda: server.left() == []), server.left()


def test_programs_run_there_and_files_go_both_ways(server: Server, tmp_path: Path) -> None:
    (tmp_path / "in.bin").write_bytes(os.urandom(300_000))
    with server.device().connect() as workspace:
        there = workspace.put(tmp_path / "in.bin")
        assert Path(there).parent.stat().st_mode & 0o777 == 0o700
        assert Path(there).parent.parent == server.home
        code, lines, errors = run(
            workspace,
            f"import sys;print('one');print('zwei é');sys.stderr.write('oh')\n"
            f"open({workspace.path('out')!r},'wb').write(open({there!r},'rb').read()[::-1]);sys.exit(7)",
        )
        assert (code, lines, errors) == (7, ["one", "zwei é"], "oh")
        workspace.fetch("out", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == (tmp_path / "in.bin").read_bytes()[::-1]


def test_nothing_is_sent_twice_not_even_on_the_next_visit(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    original = Channel.send

    def counting(self: Channel, data: bytes) -> None:
        sent.append(len(data))
        original(self, data)

    monkeypatch.setattr(Channel, "send", counting)
    (tmp_path / "model.onnx").write_bytes(os.urandom(200_000))
    with server.device().connect() as workspace:
        workspace.put(tmp_path / "model.onnx")
        first = sum(sent)
        workspace.put(tmp_path / "model.onnx")
        assert sum(sent) == first > 200_000
    sent.clear()
    with server.device().connect() as workspace:
        there = workspace.put(tmp_path / "model.onnx")
        assert Path(there).read_bytes() == (tmp_path / "model.onnx").read_bytes()
    assert sum(sent) < 50_000


def test_a_kept_file_that_was_changed_is_sent_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content := os.urandom(1000))
    with server.device().connect() as workspace:
        workspace.put(tmp_path / "model.onnx")
    for kept in (server.home / "edgekd-files").iterdir():
        kept.write_bytes(b"x" + kept.read_bytes()[1:])
    with server.device().connect() as workspace:
        assert Path(workspace.put(tmp_path / "model.onnx")).read_bytes() == content


def test_with_nothing_to_keep_the_folder_itself_goes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"12")
    home = tmp_path / "there"
    with server.device(folder=str(home), keep_mb=0).connect() as workspace:
        workspace.put(tmp_path / "m")
        assert home.exists()
    assert not home.exists()


def test_only_so_much_is_kept_the_newest_first(server: Server, tmp_path: Path) -> None:
    home = tmp_path / "there"
    for number in range(3):
        (tmp_path / "m").write_bytes(bytes([number]) * 1000)
        with server.device(folder=str(home), keep_mb=0.0021).connect() as workspace:
            workspace.put(tmp_path / "m")
        time.sleep(0.02)  # file times tell them apart
    assert sorted(path.read_bytes()[0] for path in (home / "edgekd-files").iterdir()) == [1, 2]


def test_answers_are_those_of_this_machine(server: Server, tmp_path: Path) -> None:
    """Same processor, same runtime: over the wire nothing may change a bit."""
    model = convolutions(tmp_path / "m.onnx", 8, 3, 14)
    inputs = np.random.default_rng(0).standard_normal((20, 1, 14, 14)).astype(np.float32)
    here = predict(Local(use="local"), RuntimeSettings(), {"m": model}, {"x": inputs}, Silent())
    there = predict(server.device(), RuntimeSettings(), {"m": model}, {"x": inputs}, Silent())
    np.testing.assert_array_equal(here["m"], there["m"])


def test_a_dropped_connection_is_told_and_leaves_nothing(server: Server) -> None:
    seen: list[int] = []

    def drop(line: str) -> None:
        seen.append(int(line))
        server.drop_connections()

    program = "import os,time\nprint(os.getpid(),flush=True)\ntime.sleep(600)"
    with pytest.raises(TargetError, match="board: the connection broke"), server.device().connect() as workspace:
        workspace.run([workspace.python, "-c", program], drop, 60)
    assert soon(lambda: not alive(seen[0]))
    assert soon(lambda: server.left() == [])


def test_a_line_that_falls_silent_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.devices.ssh.ALIVE_S", 1)
    frozen: list[int] = []

    def freeze(line: str) -> None:
        frozen.extend(server.sessions())
        for session in frozen:
            os.kill(session, signal.SIGSTOP)

    program = "import time\nprint('on',flush=True)\ntime.sleep(600)"
    try:
        begin = time.monotonic()
        with pytest.raises(TargetError, match="the connection broke"), server.device().connect() as workspace:
            workspace.run([workspace.python, "-c", program], freeze, 600)
        assert time.monotonic() - begin < 60
    finally:
        for session in frozen:
            os.kill(session, signal.SIGCONT)
    assert soon(lambda: server.left() == [])


def test_an_interruption_ends_the_program_there(server: Server) -> None:
    seen: list[int] = []

    def interrupt(line: str) -> None:
        seen.append(int(line))
        raise KeyboardInterrupt

    program = "import os,time\nprint(os.getpid(),flush=True)\ntime.sleep(600)"
    with pytest.raises(KeyboardInterrupt), server.device().connect() as workspace:
        workspace.run([workspace.python, "-c", program], interrupt, 60)
    assert not alive(seen[0])
    assert server.left() == []


def test_a_program_that_says_nothing_is_stopped_with_its_children(server: Server) -> None:
    seen: list[str] = []
    program = "import subprocess,time\nprint(subprocess.Popen(['sleep','600']).pid,flush=True)\ntime.sleep(600)"
    with server.device().connect() as workspace:
        ended = workspace.run([workspace.python, "-c", program], seen.append, 1.0)
        assert ended.silent
        assert soon(lambda: not alive(int(seen[0])))
        assert run(workspace, "print('still there')")[1] == ["still there"]


def test_a_signal_is_a_negative_code(server: Server) -> None:
    with server.device().connect() as workspace:
        assert run(workspace, "import os;os.kill(os.getpid(),11)")[0] == -11


def test_a_host_key_that_ssh_does_not_know_is_refused(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = server.client.read_text()
    config.write_text(text.replace(str(server.folder / "known_hosts"), str(tmp_path / "none")))
    with pytest.raises(TargetError, match="does not know its host key") as caught:
        server.device(config=config).connect().__enter__()
    assert "ssh board" in str(caught.value.hint)
    assert not (tmp_path / "none").exists()


def test_a_host_key_that_changed_is_refused(server: Server, tmp_path: Path) -> None:
    config, known = tmp_path / "config", tmp_path / "known_hosts"
    make_key(tmp_path / "other")
    known.write_text(f"[127.0.0.1]:{server.port} {(tmp_path / 'other.pub').read_text()}")
    config.write_text(server.client.read_text().replace(str(server.folder / "known_hosts"), str(known)))
    with pytest.raises(TargetError, match="host key is not the one that ssh knows"):
        server.device(config=config).connect().__enter__()


def test_a_key_that_the_board_does_not_accept_is_told(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(server.client.read_text().replace("user_key", "stranger_key"))
    with pytest.raises(TargetError, match="accepts none of your keys") as caught:
        server.device(config=config).connect().__enter__()
    assert "ssh-copy-id board" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"host": "127.0.0.1", "port": 1, "config": None}, "refuses the connection"),
        ({"host": "nowhere.invalid", "config": None}, "the name is not known"),
    ],
)
def test_a_board_that_is_not_there_is_told(server: Server, options: dict[str, object], what: str) -> None:
    with pytest.raises(TargetError, match=what) as caught:
        server.device(**options).connect().__enter__()
    assert caught.value.exit_code == 5


def test_no_python_is_told_with_the_command_that_installs_it(server: Server) -> None:
    with pytest.raises(TargetError, match="there is no /nowhere/python3 on it") as caught:
        server.device(python="/nowhere/python3").connect().__enter__()
    assert "apt install python3" in str(caught.value.hint)


def test_what_python_lacks_is_told_with_the_command_that_installs_it(server: Server, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(TargetError, match="lacks numpy and onnxruntime") as caught:
        server.device(python=str(python)).connect().__enter__()
    assert caught.value.hint == f"on the device: {python} -m pip install numpy onnxruntime"


def test_a_full_disk_is_told_and_what_fits_goes_on(server: Server, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "edgekd-test", small], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    try:
        (tmp_path / "big").write_bytes(bytes(4_000_000))
        (tmp_path / "little").write_bytes(b"12")
        with server.device(folder=str(small / "edgekd")).connect() as workspace:
            with pytest.raises(TargetError, match="board: No space left on device") as caught:
                workspace.put(tmp_path / "big")
            assert "device.folder" in str(caught.value.hint)
            assert Path(workspace.put(tmp_path / "little")).read_bytes() == b"12"
        assert [path.name for path in (small / "edgekd").iterdir()] == ["edgekd-files"]
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_folder_that_cannot_be_made_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="board: Not a directory"):
        server.device(folder=str(tmp_path / "file" / "below")).connect().__enter__()


def test_a_talkative_login_shell_does_no_harm(server: Server) -> None:
    device = server.device()
    command = [*device.command[:-1], f"echo welcome; echo; {device.command[-1]}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ssh, "command", property(lambda self: command))
        with device.connect() as workspace:
            assert run(workspace, "print(1)")[1] == ["1"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "-oProxyCommand=touch x"),
        ("host", "a b"),
        ("host", "a;touch x"),
        ("host", "user@host"),
        ("host", ""),
        ("host", "board\n"),
        ("user", "-l"),
        ("user", "$(id)"),
        ("user", "root\n"),
        ("python", "python3; touch x"),
        ("python", "-c"),
        ("python", "`id`"),
        ("python", "python3 -v"),
        ("folder", "relative"),
        ("folder", "/tmp/a\nb"),
        ("port", 0),
        ("port", 70000),
    ],
)
def test_a_field_that_could_be_read_as_something_else_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Ssh.model_validate({"use": "ssh", "host": "board", field: value})


def test_no_shell_sees_the_folder(server: Server, tmp_path: Path) -> None:
    odd = tmp_path / 'a b\'; touch pwned; $(touch pwned) "`touch pwned`" é'
    with server.device(folder=str(odd), keep_mb=0).connect() as workspace:
        assert Path(workspace.path("x")).parent.parent == odd
        (tmp_path / "m'$(touch pwned);.onnx").write_bytes(b"1")
        there = workspace.put(tmp_path / "m'$(touch pwned);.onnx")
        assert run(workspace, f"print(open({there!r}).read())")[1] == ["1"]
    for place in (Path.cwd(), Path.home(), tmp_path):
        assert not (place / "pwned").exists()


def test_a_board_is_examined_as_this_machine_is(server: Server) -> None:
    machine = examine(server.device(), RuntimeSettings(), seconds=0.05).environment.machine
    assert machine.cpu == machine_identity()["cpu"]
    assert "CPUExecutionProvider" in machine.providers
    assert identity_of(server.device()) == machine_identity()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_a_measurement_the_board_is_left_clean(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    model = convolutions(tmp_path / "m.onnx", 8, 3, 14)
    target = tmp_path / "board.yaml"
    target.write_text(
        f"name: board\ndevice: {{use: ssh, host: board, config: {server.client}, python: {sys.executable}, "
        f"folder: {server.home}}}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekd", "bench", str(model), "--target", str(target), "--seconds", "60"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert soon(lambda: any((server.home / name / "job.json").exists() for name in server.left()), 60)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], errors
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert server.left() == [], "it waits until the board is clean"
    assert soon(lambda: server.left() == [])
