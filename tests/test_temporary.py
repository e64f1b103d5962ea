from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd import temporary
from edgekd.temporary import YOUNG_S, sweep, temporary_folder
from tests.command import REPOSITORY

OWNER = """
import sys, time
from edgekd.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").touch()
    (folder / "link").symlink_to(sys.argv[1])
    print(folder, flush=True)
    time.sleep(300)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What temporary folders are made in."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    temporary._sweep_once.cache_clear()
    yield folder
    temporary._sweep_once.cache_clear()


def owner(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a folder, and the folder, which has a link to a file beside `place`."""
    kept = place.parent / "kept"
    kept.mkdir(exist_ok=True)
    (kept / "file").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, kept],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def aged(folder: Path) -> None:
    os.utime(folder, (0, time.time() - 2 * YOUNG_S), follow_symlinks=False)


def test_it_is_empty_private_and_gone_afterwards(place: Path) -> None:
    with temporary_folder() as folder:
        assert folder.parent == place
        assert not list(folder.iterdir())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        aged(folder)
        sweep(str(place))
        assert folder.exists()
    assert not list(place.iterdir())


def test_the_folder_of_a_killed_process_goes_with_the_next_one(place: Path) -> None:
    process, left = owner(place)
    aged(left)
    with temporary_folder():
        assert left.exists()  # somebody is at it
    temporary._sweep_once.cache_clear()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.exists()
    with temporary_folder():
        assert not left.exists()
    assert (place.parent / "kept" / "file").exists()


def test_one_that_ends_by_itself_leaves_nothing(place: Path) -> None:
    process, left = owner(place)
    process.send_signal(signal.SIGINT)
    process.wait()
    assert not left.exists()


def test_nothing_else_is_touched(place: Path) -> None:
    with temporary_folder() as folder:
        name = folder.name
    others = [place / "edgekd-abcdefgh", place / "edgekd-killed-abcdefgh", place / f"{name}x", place / f"x{name}"]
    others.append(place / f"{temporary._prefix()[:-2]}?-{name[-8:]}")  # of another machine
    for each in others:
        each.mkdir()
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    others += [place / f"{name[:-1]}1", place / f"{name[:-1]}2"]
    others[-2].symlink_to(elsewhere)
    others[-1].touch()
    for each in (*others, elsewhere):
        aged(each)
    young = place / f"{name[:-1]}3"
    young.mkdir()
    sweep(str(place))
    assert sorted(place.iterdir()) == sorted([*others, young])
    assert elsewhere.is_dir()


def test_the_folder_of_another_user_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_folder() as folder:
        name = folder.name
    (place / name).mkdir()
    aged(place / name)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    sweep(str(place))
    assert (place / name).exists()


def test_two_at_once_remove_all_of_them(place: Path) -> None:
    with temporary_folder() as folder:
        name = folder.name
    for number in range(200):
        left = place / f"{name[:-3]}{number:03}"
        left.mkdir()
        (left / "file").touch()
        aged(left)
    threads = [threading.Thread(target=sweep, args=(str(place),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not list(place.iterdir())
