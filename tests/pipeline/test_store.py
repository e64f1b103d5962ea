from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.errors import StoreError
from edgekd.pipeline.collect import collect
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.plan import forecast
from edgekd.pipeline.stage import Context
from edgekd.pipeline.store import Store, write_atomically
from edgekd.progress import Silent
from tests.conftest import Told
from tests.pipeline.stages import Number, Parity, Shout, chain


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB; the test is skipped where it cannot be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_equal_content_is_kept_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    artifacts = []
    for name in ("a.txt", "b.txt"):
        path = tmp_path / name
        path.write_text("the same")
        artifacts.append(store.ingest(path))
    assert artifacts[0] == artifacts[1]
    assert len(list(store.blobs.glob("*/*"))) == 1
    assert store.path(artifacts[0]).read_text() == "the same"


def test_a_full_disk_is_said_clearly_and_leaves_nothing_half_written(small_disk: Path) -> None:
    store = Store(small_disk / "store")

    def fill(context: Context) -> None:
        (context.work / "big").write_bytes(bytes(1_000_000))

    with pytest.raises(StoreError, match="no space left on device") as caught:
        Engine(store, Told()).run(chain(Number(3), Parity(before=fill), Shout()), Selection())
    assert "EDGEKD_STORE" in (caught.value.hint or "")
    for leftover in store.work_folder.glob("*/big"):
        leftover.unlink()
    finished = Engine(store, Told()).run(chain(Number(3), Parity(), Shout()), Selection())
    assert [each.node.id for each in finished if each.why] == ["parity", "shout"]


def test_a_read_only_store_is_said_clearly(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="read-only file system") as caught:
        Store(small_disk / "store")
    assert "EDGEKD_STORE" in (caught.value.hint or "")


def test_a_store_in_the_place_of_a_file_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a directory"):
        Store(tmp_path / "file" / "store")


def test_an_atomic_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_what_is_written_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "record.json", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


def _run_slowly(root: Path, log: Path) -> None:
    def note(context: Context) -> None:
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        time.sleep(0.5)

    Engine(Store(root), Silent()).run(chain(Number(3), Parity(before=note), Shout()), Selection())


def test_of_two_runs_at_once_one_works_and_the_other_takes_its_result(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spawn = multiprocessing.get_context("spawn")
    runs = [spawn.Process(target=_run_slowly, args=(tmp_path / "store", log)) for _ in range(3)]
    for each in runs:
        each.start()
    for each in runs:
        each.join(60)
    assert [each.exitcode for each in runs] == [0, 0, 0]
    assert len(log.read_text().splitlines()) == 1
    told = Told()
    Engine(Store(tmp_path / "store"), told).run(chain(Number(3), Parity(), Shout()), Selection())
    assert [line.split(" · ")[0] for line in told.lines] == [
        "number: cached",
        "parity: cached",
        "shout: cached",
    ]


def test_a_killed_run_leaves_its_locks_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from edgekd.pipeline.engine import *; from edgekd.progress import Silent\n"
        "from tests.pipeline.stages import *\n"
        "def die(context): os.kill(os.getpid(), signal.SIGKILL)\n"
        "plan = chain(Number(3), Parity(before=die), Shout())\n"
        "Engine(Store(Path(sys.argv[1])), Silent()).run(plan, Selection())\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "store")], check=False)
    assert killed.returncode == -9
    store = Store(tmp_path / "store")
    finished = Engine(store, Told()).run(chain(Number(3), Parity(), Shout()), Selection())
    assert [each.node.id for each in finished if each.why] == ["parity", "shout"]
    assert collect(store, older_than_days=30, dry_run=False).blobs == 0


def test_gc_removes_what_no_recent_run_used_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    Engine(store, Told()).run(chain(Number(3), Parity(), Shout()), Selection())
    Engine(store, Told()).run(chain(Number(8), Parity(), Shout()), Selection())
    long_ago = time.time() - 40 * 86400
    for path in store.records_folder.glob("*/*.json"):
        os.utime(path, (long_ago, long_ago))
    orphan = store.blobs / "ab"
    orphan.mkdir(exist_ok=True)
    (orphan / ("ab" * 32)).write_bytes(b"orphan")
    Engine(store, Told()).run(chain(Number(8), Parity(), Shout()), Selection())
    seen = collect(store, older_than_days=30, dry_run=True)
    assert (seen.records, seen.blobs) == (3, 4), "the records of 3, its three blobs and the orphan"
    assert collect(store, older_than_days=30, dry_run=False) == seen
    assert len(list(store.last_folder.glob("*/*"))) == 3, "what the last run had is still known"
    told = Told()
    again = Engine(store, told).run(chain(Number(8), Parity(), Shout()), Selection())
    assert not [each for each in again if each.why]


def test_gc_removes_what_no_run_took_out_of_the_cache_for_long(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name, age_days in (("old", 40), ("new", 20)):
        path = store.cache / "answers" / name / "0-0.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - age_days * 86400,) * 2)
    assert collect(store, older_than_days=30, dry_run=True).freed_bytes == 100
    assert collect(store, older_than_days=30, dry_run=False).freed_bytes == 100
    assert [path.name for path in (store.cache / "answers").glob("*/*.safetensors")] == ["0-0.safetensors"]
    assert (store.cache / "answers" / "new" / "0-0.safetensors").exists()


def test_gc_forgets_the_last_run_of_a_pipeline_that_is_not_run_any_more(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name in ("old", "new"):
        Engine(store, Told()).run(chain(Number(3), Parity(), Shout(), name=name), Selection())
    long_ago = time.time() - 40 * 86400
    for path in store.last_folder.glob("*/*"):
        os.utime(path, (long_ago, long_ago))
    Engine(store, Told()).run(chain(Number(3), Parity(), Shout(), name="new"), Selection())
    collect(store, older_than_days=30, dry_run=True)
    assert len(list(store.last_folder.glob("*/*"))) == 6
    collect(store, older_than_days=30, dry_run=False)
    assert len(list(store.last_folder.glob("*/*"))) == 3
    whys = {
        name: forecast(chain(Number(4), Parity(), Shout(), name=name), store, Told())[0].why for name in ("old", "new")
    }
    assert whys == {"old": "never run", "new": "options.value 3 -> 4"}


def test_gc_refuses_while_a_run_is_in_progress(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.in_use(), pytest.raises(StoreError, match="a run is using the store"):
        collect(store, older_than_days=0, dry_run=False)
    collect(store, older_than_days=0, dry_run=False)


@pytest.mark.parametrize("name", ["blobs", "records", "last", "work", "cache", "locks"])
@pytest.mark.parametrize("deeper", [False, True])
def test_gc_removes_nothing_that_a_link_leads_to(name: str, deeper: bool, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    outside = tmp_path / "outside"
    (outside / "folder" / "deeper").mkdir(parents=True)
    for path in (outside / "x.lock", outside / "folder" / "x.json", outside / "folder" / "deeper" / "x"):
        path.write_text("somebody else's")
    for path in (*outside.rglob("*"), outside):
        os.utime(path, (1e9, 1e9))
    link = store.root / name / "linked" if deeper else store.root / name
    if not deeper and link.is_dir():
        link.rmdir()
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    collect(store, older_than_days=0.001, dry_run=False)
    assert [path for path in before if path.name != "gc.lock"] == [
        path for path in sorted(outside.rglob("*")) if path.name != "gc.lock"
    ]
