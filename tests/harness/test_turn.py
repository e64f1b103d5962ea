"""One measurement at a time on a machine, with real agents and the machine's real lock."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgekd.agent import turn
from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.errors import TargetError
from edgekd.harness.answers import predict
from edgekd.harness.driver import measure
from edgekd.harness.environment import identity_of
from edgekd.progress import Silent
from edgekd.records.latency import LatencyRecord
from edgekd.records.runtime import RuntimeSettings
from tests.command import Place
from tests.conftest import Told

HELD_S = 4.0


@contextmanager
def held(seconds: float) -> Iterator[None]:
    """Somebody else's measurement for so long."""
    handle = turn.lock_file(turn.LOCK)
    assert handle is not None
    fcntl.flock(handle, fcntl.LOCK_EX)
    timer = threading.Timer(seconds, os.close, [handle])
    timer.start()
    try:
        yield
    finally:
        timer.join()


def timed(model: Path, told: Told) -> LatencyRecord:
    return measure(Local(use="local"), RuntimeSettings(), Measuring(seconds=1), {"m": model}, (), 0, told)


def test_a_measurement_waits_for_its_turn_and_its_time_begins_then(models: dict[str, Path], told: Told) -> None:
    begun = time.monotonic()
    with held(HELD_S):
        record = timed(models["small"], told)
    assert record.environment.waited_s > HELD_S / 2
    assert record.seconds < time.monotonic() - begun - HELD_S / 2, "the wait is no measuring time"
    (turns,) = (each for each in record.disturbances if each.name == "in turns")
    assert "it waited" in turns.what
    assert told.lines.count("another measurement runs on this machine: waiting for it, in turns") == 1


def test_two_measurements_take_turns(models: dict[str, Path], tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "t.yaml").write_text("name: t\ndevice: local\nmeasure: {seconds: 4, margin: 1.0e-6}\n")
    argv = ("bench", models["big"], models["big"], "--target", "t.yaml", "--json")
    running = [place.start(*argv) for _ in range(2)]
    told = [json.loads(each.communicate(timeout=120)[0]) for each in running]
    waited = [each["environment"]["waited_s"] for each in told]
    # each had its seconds of measuring while the other one stood still
    assert min(waited) > 1
    assert all(each["seconds"] < 4 + 4 for each in told)


def test_neither_predicting_nor_asking_for_the_machine_takes_a_turn(models: dict[str, Path]) -> None:
    images = np.zeros((1, 1, 14, 14), np.float32)
    with held(2 * HELD_S):
        begun = time.monotonic()
        predict(Local(use="local"), RuntimeSettings(), {"m": models["small"]}, {"x": images}, Silent())
        identity_of(Local(use="local"))
        assert time.monotonic() - begun < 2 * HELD_S


def test_a_turn_that_never_ends_is_told(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.harness import conversation

    source = Path(turn.__file__).read_bytes().replace(b"LONGEST_S = 900.0", b"LONGEST_S = 0.2")
    real = conversation.agent_zip()
    monkeypatch.setattr(conversation, "agent_zip", lambda: _with(real, "agent/turn.py", source))
    with held(HELD_S), pytest.raises(TargetError, match="has held this machine for 0 minutes") as caught:
        timed(models["small"], Told())
    assert caught.value.hint == "wait for it, or end it if it hangs"


def test_a_lock_of_anybody_can_be_taken_and_what_is_no_file_cannot(tmp_path: Path) -> None:
    mine = tmp_path / "lock"
    before = os.umask(0o077)
    try:
        handle = turn.lock_file(str(mine))
    finally:
        os.umask(before)
    assert handle is not None
    os.close(handle)
    assert mine.stat().st_mode & 0o777 == 0o644, "other users can open it"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert turn.lock_file(str(tmp_path / "link")) is None
    assert not (tmp_path / "elsewhere").exists()
    assert turn.lock_file(str(tmp_path / "no-such-folder" / "lock")) is None


def _with(archive: bytes, name: str, content: bytes) -> bytes:
    """The zip with another content of one file."""
    import io
    import zipfile

    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(result, "w") as new:
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
    return result.getvalue()
