from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.devices.local import Local, LocalWorkspace
from edgekd.errors import TargetError
from edgekd.harness.conversation import agent_zip
from edgekd.harness.disturbances import happened, seen_in, standing
from edgekd.harness.doctor import examine, unfit
from edgekd.harness.environment import identity_of, machine_identity, observed
from edgekd.harness.protocol import IdentifyJob
from edgekd.harness.samples import Load
from edgekd.records.environment import Environment, KernelState, Machine
from edgekd.records.runtime import RuntimeSettings

MACHINE = Machine(
    cpu="a processor", machine="x86_64", isa=("avx2", "avx512_vnni"), cores=4, memory_bytes=8_000_000_000,
    system="Linux", python="3.11", numpy="2", onnxruntime="1.31", providers=("CPUExecutionProvider",),
    governor="performance", turbo="off", smt=False, virtual="", cpu_quota="max 100000", affinity=(0, 1, 2, 3),
)  # fmt: skip
STATE = KernelState(
    time_s=0, busy_s=0, steal_s=0, own_s=0, involuntary_switches=0, frequency_hz=(2_000_000_000,),
    temperature_c=(40.0,), throttled=0, load_average=0,
)  # fmt: skip


def names(found: object) -> list[str]:
    return [each.name for each in found]  # type: ignore[attr-defined]


def span(**after: object) -> Environment:
    later = STATE.model_copy(update={"time_s": 10.0, "busy_s": 10.0, "own_s": 10.0, **after})
    return observed(MACHINE, None, [(STATE, later)])


def test_the_identity_of_this_machine_is_stable_and_imports_no_runtime() -> None:
    program = (
        "import json, sys; from edgekd.harness.environment import machine_identity; "
        "print(json.dumps(machine_identity())); assert 'onnxruntime' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == machine_identity()
    assert set(machine_identity()) == {"cpu", "machine", "isa", "cores", "onnxruntime"}


def test_a_device_says_what_machine_it_is() -> None:
    assert identity_of(Local(use="local")) == machine_identity()


def test_the_question_what_machine_it_is_imports_no_runtime_there(tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(agent_zip())
    (tmp_path / "job.json").write_text(IdentifyJob(runtime=RuntimeSettings()).model_dump_json())
    argv = [sys.executable, "-X", "importtime", "agent.pyz", "job.json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event.pop("event") for event in events] == ["identity", "done"]
    assert events[0] == machine_identity()
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "agent" in imported
    assert not {"numpy", "onnxruntime"} & imported


def test_a_device_without_the_runtime_is_no_machine_to_measure_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(LocalWorkspace, "python", str(bare))
    with pytest.raises(TargetError, match="this device's Python lacks onnxruntime") as caught:
        identity_of(Local(use="local"))
    assert "pip install" in str(caught.value.hint)


def test_a_quiet_machine_has_nothing_to_report() -> None:
    assert names(standing(MACHINE)) == []
    assert names(happened(span())) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"governor": "powersave"}, "governor"),
        ({"smt": True}, "smt"),
        ({"virtual": "QEMU"}, "virtual machine"),
        ({"cpu_quota": "50000 100000"}, "cpu quota"),
    ],
)
def test_what_stands_in_the_way(change: dict[str, object], name: str) -> None:
    assert names(standing(MACHINE.model_copy(update=change))) == [name]


@pytest.mark.parametrize(
    ("after", "name"),
    [
        ({"busy_s": 20.0}, "other load"),
        ({"steal_s": 1.0}, "steal"),
        ({"involuntary_switches": 500}, "context switches"),
        ({"frequency_hz": (1_500_000_000,)}, "frequency"),
        ({"temperature_c": (71.0,)}, "temperature"),
        ({"throttled": 3}, "thermal limit"),
    ],
)
def test_what_happened_meanwhile(after: dict[str, object], name: str) -> None:
    assert names(happened(span(**after))) == [name]


def test_time_taken_by_others_is_a_share_of_all_cores() -> None:
    found = span(busy_s=20.0, steal_s=2.0)
    assert found.busy_elsewhere == pytest.approx((20 - 10 - 2) / 40)
    assert found.steal == pytest.approx(2 / 40)


def loads(samples: np.ndarray) -> list[Load]:
    """float64 (loads, samples) in seconds as loads of one model."""
    return [
        Load(0, n, 0, 0.1, 0.1, np.arange(4), np.full(4, row.mean()), row, 0, 0, False) for n, row in enumerate(samples)
    ]


def test_what_the_samples_show() -> None:
    rng = np.random.default_rng(0)
    calm = 1e-3 * np.exp(0.005 * rng.standard_normal((20, 400)))
    assert names(seen_in("m", loads(calm))) == []
    assert names(seen_in("m", loads(calm * np.linspace(1, 1.05, 20)[:, np.newaxis]))) == ["drift"]
    two = calm * np.where(rng.random((20, 400)) < 0.3, 1.5, 1)
    assert names(seen_in("m", loads(two))) == ["two speeds"]
    waves = calm * (1 + 0.02 * np.sin(np.arange(400) / 60))
    assert names(seen_in("m", loads(waves))) == ["autocorrelation"]


@pytest.mark.parametrize(
    ("machine", "runtime", "name"),
    [
        ({"isa": ("avx2",)}, {}, "no VNNI"),
        ({"machine": "aarch64", "isa": ("asimd",)}, {}, "no dot product"),
        ({}, {"threads": 8}, "threads"),
        ({}, {"threads": 2, "affinity": [1]}, "threads"),
        ({}, {"provider": "CUDAExecutionProvider"}, "provider"),
    ],
)
def test_what_the_processor_lacks(machine: dict[str, object], runtime: dict[str, object], name: str) -> None:
    found = unfit(MACHINE.model_copy(update=machine), RuntimeSettings.model_validate(runtime))
    assert names(found) == [name]


def test_a_fit_processor_lacks_nothing() -> None:
    assert names(unfit(MACHINE, RuntimeSettings())) == []
    arm = MACHINE.model_copy(update={"machine": "aarch64", "isa": ("asimd", "asimddp")})
    assert names(unfit(arm, RuntimeSettings())) == []


def test_this_machine_can_be_examined() -> None:
    health = examine(Local(use="local"), RuntimeSettings(), seconds=0.3)
    assert health.environment.machine.cores >= 1
    assert 0 <= health.gaps.lost <= 1
    assert health.gaps.longest_s <= 10
    assert all(finding.remedy for finding in health.findings)
