from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from edgekd.data import content
from edgekd.data.content import content_digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two files that were last touched a while ago, by a clock that the test moves on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "images"
    (root / "cat").mkdir(parents=True)
    (root / "cat" / "1.png").write_bytes(b"one")
    (root / "cat" / "2.png").write_bytes(b"two")
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * content.SETTLED_NS)
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file whose bytes were read."""
    read: list[str] = []
    original = content._hash_file

    def counting(path: str) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(content, "_hash_file", counting)
    return read


def test_unchanged_files_are_read_once(folder: Path, reads: list[str]) -> None:
    first = content_digest(folder)
    assert len(reads) == 2
    assert content_digest(folder) == first
    assert len(reads) == 2


def test_a_changed_byte_changes_the_digest_even_when_size_and_mtime_stay(folder: Path) -> None:
    before = content_digest(folder)
    file = folder / "cat" / "1.png"
    times = file.stat()
    time.sleep(0.02)  # the kernel stamps with the clock tick before: give it a new one
    file.write_bytes(b"One")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content_digest(folder) != before


def test_a_renamed_an_added_and_a_removed_file_change_the_digest(folder: Path) -> None:
    seen = {content_digest(folder)}
    (folder / "cat" / "3.png").write_bytes(b"three")
    seen.add(content_digest(folder))
    (folder / "cat" / "3.png").rename(folder / "cat" / "4.png")
    seen.add(content_digest(folder))
    (folder / "cat" / "1.png").unlink()
    seen.add(content_digest(folder))
    assert len(seen) == 4


def test_the_digest_depends_on_no_time_and_no_place(folder: Path, tmp_path: Path) -> None:
    before = content_digest(folder)
    os.utime(folder / "cat" / "1.png", ns=(1, 1))
    assert content_digest(folder) == before
    folder.rename(tmp_path / "elsewhere")
    assert content_digest(tmp_path / "elsewhere") == before


def test_files_touched_just_now_are_not_trusted_to_stay(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest_ns = max(path.stat().st_ctime_ns for path in folder.rglob("*.png"))
    monkeypatch.setattr(time, "time_ns", lambda: newest_ns + 1)
    content_digest(folder)
    content_digest(folder)
    assert len(reads) == 4


def test_a_damaged_or_unwritable_memory_costs_only_time(folder: Path, tmp_path: Path) -> None:
    before = content_digest(folder)
    memory = tmp_path / "cache" / "edgekd" / "digests.json"
    for damage in ("{", "[]", json.dumps({str(folder): 5}), json.dumps({str(folder): ["x", 1]})):
        memory.write_text(damage)
        assert content_digest(folder) == before
    memory.unlink()
    memory.mkdir()
    assert content_digest(folder) == before


def test_a_link_to_a_folder_above_ends(folder: Path) -> None:
    (folder / "cat" / "loop").symlink_to(folder)
    assert content.all_files(folder) == ["cat/1.png", "cat/2.png"]


def test_every_link_to_one_folder_counts(folder: Path) -> None:
    for name in ("dog", "fox"):
        (folder / name).symlink_to(folder / "cat")
    assert content.all_files(folder) == [f"{each}/{n}.png" for each in ("cat", "dog", "fox") for n in (1, 2)]


def test_links_to_folders_of_links_do_not_go_on_for_ever(tmp_path: Path) -> None:
    for level in range(40):
        (tmp_path / f"{level}").mkdir()
        for side in "ab":
            (tmp_path / f"{level}" / side).symlink_to(tmp_path / f"{level + 1}")
    (tmp_path / "40").mkdir()
    with pytest.raises(OSError, match="more than 1000 ways"):
        content.all_files(tmp_path / "0")


@pytest.mark.timeout(20)
def test_a_pipe_and_a_device_are_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "cat" / "3.png")
    for root in (folder, folder / "cat" / "3.png", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            content_digest(root)


def test_hidden_files_count_where_they_are_asked_for_and_nowhere_else(folder: Path) -> None:
    plain, whole = content_digest(folder), content_digest(folder, hidden=True)
    assert plain == whole, "there are none"
    (folder / ".cache").mkdir()
    for place in (folder / ".index", folder / ".cache" / "table", folder / "cat" / ".labels"):
        place.write_text("a")
        assert content_digest(folder) == plain
        changed = content_digest(folder, hidden=True)
        assert changed != whole
        place.write_text("bb")
        whole = content_digest(folder, hidden=True)
        assert whole != changed
