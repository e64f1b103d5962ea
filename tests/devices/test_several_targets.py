# ruff: noqa: F401, F811 - a fixture of another file
"""One run on several targets through the real command: this machine, a board over SSH, and one that is off."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from edgekd.devices.qemu import Qemu
from edgekd.records.check import Outcome
from edgekd.records.evaluation import Evaluation
from edgekd.records.instructions import InstructionRecord
from edgekd.records.latency import LatencyRecord
from edgekd.records.run import RunRecord
from tests.command import DIGITS, QUICK, Place, sets
from tests.devices.conftest import Server
from tests.devices.test_qemu import arm


@pytest.fixture(scope="module")
def place(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder whose store the tests share: trained once."""
    tmp_path = tmp_path_factory.mktemp("several")
    (tmp_path / "ssh_config").write_text(server.client.read_text())
    board = {"use": "ssh", "host": "board", "config": str(tmp_path / "ssh_config"), "python": sys.executable}
    devices = {
        "local": {"use": "local"},
        "board": {**board, "folder": str(tmp_path / "device")},
        "gone": {"use": "ssh", "host": "127.0.0.1", "port": 1},
        "arm": {"use": "qemu", "cpu": "cortex-a72"},
    }
    for name, device in devices.items():
        niceness = os.getpriority(os.PRIO_PROCESS, 0)  # a target's process has the niceness that the target says
        content = {
            "name": name,
            "device": device,
            "runtime": {"nice": niceness},
            "limits": {"p90_latency_ms": 10000},
            "measure": {"seconds": 6},
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(content))
    return Place(tmp_path)


ANSWERED = ("layout", "screen", "choose", "validate", "optimise")
"""The stages on a target before times are taken for the record."""
ONE_CANDIDATE = "quantize={candidates: [{use: int8_qdq, reduce_range: true}], max_accuracy_drop: 1.0}"
"""So that the same file ships everywhere, and no processor's sums saturate."""


def run(place: Place, *targets: str) -> tuple[int, RunRecord, str]:
    paths = ", ".join(str(place.folder / f"{name}.yaml") for name in targets)
    done = place.edgekd("run", DIGITS, *sets(*QUICK, ONE_CANDIDATE, f"targets=[{paths}]"))
    newest = max((place.folder / "runs" / "digits").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return done.returncode, RunRecord.model_validate_json((newest / "run.json").read_bytes()), done.stdout + done.stderr


def test_a_run_goes_on_without_the_target_that_is_off(place: Place, server: Server) -> None:
    code, record, said = run(place, "local", "board", "gone")
    assert code == 3, said
    assert record.release is not None
    assert record.release.targets == {"local": Outcome.PASS, "board": Outcome.PASS, "gone": Outcome.UNDECIDED}, said
    assert list(record.unreachable) == ["gone"]
    assert "not reached: gone: 127.0.0.1: it refuses the connection" in said
    assert set(record.all(Evaluation)) == set(record.all(LatencyRecord)) == {"local", "board"}
    # the same processor and runtime at the other end of the wire: not one answer differs
    agreement = record.release.agreements["board"]
    assert (agreement.reference, agreement.flipped, agreement.largest_difference) == ("local", 0, 0.0)
    assert [path.name for path in (place.folder / "device").iterdir()] == ["edgekd-files"]

    code, record, said = run(place, "local", "board")
    assert code == 0, said
    assert {each.id: each.state for each in record.stages if each.id.endswith(("@local", "@board"))} == {
        f"{stage}@{target}": "cached" for stage in (*ANSWERED, "measure") for target in ("local", "board")
    }

    # switched off, what was found on it still holds; what is new has to reach it
    config = place.folder / "ssh_config"
    config.write_text(config.read_text().replace(f"Port {server.port}", "Port 1"))
    code, record, said = run(place, "local", "board")
    assert code == 0, said
    target = place.folder / "board.yaml"
    target.write_text(target.read_text().replace('"seconds": 6', '"seconds": 7'))
    code, record, said = run(place, "local", "board")
    assert code == 3, said
    assert {each.id for each in record.stages if "@board" in each.id} == {f"{stage}@board" for stage in ANSWERED}
    assert list(record.unreachable) == ["board"]

    code, record, said = run(place, "gone")
    assert code == 5, said
    assert record.release is None
    assert "hint: is an ssh server running there, on this port?" in said


def test_ctrl_c_ends_the_work_on_every_machine(place: Place, server: Server) -> None:
    config = server.client.read_text()
    (place.folder / "ssh_config").write_text(f"{config}\n{config.replace('Host board', 'Host shelf')}")
    for host in ("board", "shelf"):  # nothing is settled in no time, and so it is measured for long
        target = json.loads((place.folder / "board.yaml").read_text())
        target |= {"name": host, "measure": {"seconds": 120, "margin": 1e-5, "confidence": 0.9999}}
        target["device"] |= {"host": host, "folder": str(place.folder / f"device-{host}")}
        (place.folder / f"{host}-long.yaml").write_text(json.dumps(target))
    paths = ", ".join(str(place.folder / f"{host}-long.yaml") for host in ("board", "shelf"))
    process = place.start("run", DIGITS, *sets(*QUICK, ONE_CANDIDATE, f"targets=[{paths}]"))
    assert process.stderr is not None
    running: set[str] = set()
    for line in process.stderr:
        running |= {word for word in ("measure@board", "measure@shelf") if f"{word}: running" in line}
        if len(running) == 2:
            break
    assert len(running) == 2, "both are measured at the same time"
    time.sleep(3)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopping on every target" in said
    assert "the same command goes on from here" in said
    assert time.monotonic() - begun < 30
    for host in ("board", "shelf"):
        assert [path.name for path in (place.folder / f"device-{host}").iterdir()] == ["edgekd-files"]


def test_an_emulated_target_is_validated_and_its_times_are_not_checked(place: Place, arm: Qemu) -> None:
    code, record, said = run(place, "local", "arm")
    assert code == 0, said
    assert record.release is not None
    counted = ["count@arm"] if arm.counts else []
    assert [each.id for each in record.stages if "@arm" in each.id] == [
        *(f"{stage}@arm" for stage in ANSWERED),
        *counted,
    ]
    assert list(record.all(InstructionRecord)) == (["arm"] if counted else [])
    assert [each.name for each in record.release.checks["arm"]] == ["accuracy_drop"]
    (release,) = (each for each in record.stages if each.id == "release")
    assert release.warnings == ("arm: not checked, for its times are emulated: p90_latency_ms",)
    assert record.release.agreements["arm"].samples == record.all(Evaluation)["local"].samples
