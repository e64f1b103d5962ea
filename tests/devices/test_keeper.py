"""The keeper alone, as a program at the end of a pipe."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgekd.devices.channel import BOOTSTRAP, KEEPER, Channel, LostError, open_channel

HERE = [sys.executable, "-c", BOOTSTRAP]


def keeper(home: Path, lease_s: float = 60) -> subprocess.Popen[bytes]:
    program = KEEPER.read_text().replace("LEASE_S = 60", f"LEASE_S = {lease_s}") + f"\nmain({str(home)!r}, 0)\n"
    process = subprocess.Popen([*HERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(program.encode() + b"\0")
    process.stdin.flush()
    return process


def greeting(process: subprocess.Popen[bytes]) -> dict[str, object]:
    assert process.stdout is not None
    found: dict[str, object] = json.loads(process.stdout.readline())
    return found


def test_a_host_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    process = keeper(tmp_path / "home", lease_s=0.5)
    assert Path(str(greeting(process)["work"])).is_dir()
    assert process.wait(20) == 0
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("number", [1, 15])
def test_the_end_of_the_session_cleans_up(tmp_path: Path, number: int) -> None:
    process = keeper(tmp_path / "home")
    greeting(process)
    process.send_signal(number)
    process.wait(20)
    assert not (tmp_path / "home").exists()


def test_what_a_killed_keeper_left_goes_with_the_next_visit_and_a_living_one_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    living, killed = keeper(home), keeper(home)
    stays, goes = Path(str(greeting(living)["work"])), Path(str(greeting(killed)["work"]))
    killed.kill()
    killed.wait()
    assert goes.is_dir()
    with open_channel(HERE, str(home), 0, 30):
        assert not goes.exists()
        assert stays.is_dir()
    assert living.stdin is not None
    living.stdin.close()
    assert living.wait(20) == 0
    assert not home.exists()


def test_a_folder_that_is_open_to_others_is_not_used_and_not_changed(tmp_path: Path) -> None:
    home = tmp_path / "shared"
    home.mkdir()
    home.chmod(0o755)
    with open_channel(HERE, str(home), 0, 30) as (_, greeted):
        assert greeted["error"] == "the folder is there already and open to others"
    assert home.stat().st_mode & 0o777 == 0o755


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    home = tmp_path / "mine"
    (home / "work-on-thesis").mkdir(parents=True)
    (home / "files").mkdir()
    (home / "files" / "thesis.txt").touch()
    home.chmod(0o700)
    with open_channel(HERE, str(home), 0, 30) as (_, greeted):
        assert "work" in greeted
    assert sorted(path.name for path in home.rglob("*")) == ["files", "thesis.txt", "work-on-thesis"]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "/etc/passwd"])
def test_no_request_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with open_channel(HERE, str(tmp_path / "home"), 0, 30) as (channel, _):
        assert "error" in channel.ask({"op": "fetch", "name": name})
        assert "error" in channel.ask({"op": "send", "name": name, "sha256": "0", "size": 0, "keep": False})


@pytest.mark.parametrize("name", ["../x", "a/../x", "a/..", "..", ".", "./x", "", "a//x", "a/", "/etc/x", "a\0b"])
def test_no_file_of_a_gathered_folder_leaves_it(tmp_path: Path, name: str) -> None:
    with open_channel(HERE, str(tmp_path / "home"), 0, 30) as (channel, greeted):
        sha256 = hashlib.sha256(b"abc").hexdigest()
        assert channel.ask({"op": "send", "name": "f", "sha256": sha256, "size": 3, "keep": False}, b"abc") == {}
        for folder, place, file in (("d", name, "f"), (name, "x", "f"), ("d", "x", name), ("a/b", "x", "f")):
            answer = channel.ask({"op": "gather", "name": folder, "files": {"first": "f", place: file}})
            assert answer["error"] == "not a plain name"
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["f"]
        assert [path.name for path in Path(str(greeted["work"])).iterdir()] == ["f"], "refused before anything is made"


def test_bytes_that_were_changed_on_the_way_are_refused(tmp_path: Path) -> None:
    with open_channel(HERE, str(tmp_path / "home"), 0, 30) as (channel, greeted):
        answer = channel.ask({"op": "send", "name": "a", "sha256": "0" * 64, "size": 3, "keep": True}, b"abc")
        assert answer["error"] == "what arrived is not what was sent"
        assert list(Path(str(greeted["work"])).iterdir()) == []


def speak(answers: bytes) -> Channel:
    """A channel to a program that says only `answers`."""
    program = f"import sys; sys.stdout.buffer.write({answers!r}); sys.stdout.flush(); sys.stdin.read()"
    pipe = subprocess.PIPE
    return Channel(subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe))


@settings(max_examples=25)
@given(st.binary(max_size=60).filter(lambda data: b"\n" not in data))
def test_an_answer_that_is_none_breaks_the_line(noise: bytes) -> None:
    assume(not is_object(noise))
    channel = speak(noise + b"\n")
    with pytest.raises(LostError) as caught:
        channel.answer(20)
    channel.close()
    assert "the device answers with" in caught.value.errors


def is_object(noise: bytes) -> bool:
    try:
        return isinstance(json.loads(noise), dict)
    except ValueError:
        return False


def test_silence_is_given_up(tmp_path: Path) -> None:
    channel = speak(b"")
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        channel.answer(0.2)
    assert time.monotonic() - begin < 20
    channel.close()


def test_a_host_that_dies_before_the_keeper_is_there_leaves_nothing_spinning() -> None:
    done = subprocess.run(HERE, input=b"print(1)\n", capture_output=True, check=False, timeout=20)  # no zero byte
    assert (done.stdout, done.stderr) == (b"", b"")
