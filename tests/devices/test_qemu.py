"""Real aarch64 kernels under user emulation, against this machine's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekd.data.modalities.base import feeds_for
from edgekd.devices import sysroot
from edgekd.devices.local import Local
from edgekd.devices.qemu import DEBIAN_32, ONNXRUNTIME, Qemu, qemu
from edgekd.errors import TargetError
from edgekd.harness.answers import predict
from edgekd.pipeline.store import Store
from edgekd.progress import Progress, Silent
from edgekd.records.contract import ModelContract
from edgekd.records.run import RunRecord
from edgekd.records.runtime import RuntimeSettings
from edgekd.release.agreement import agreement
from edgekd.stages.files import load_split
from edgekd.stages.targets import machine_of
from tests.command import DIGITS, Place, sets

SAMPLES = 1000


def emulated(cpu: str) -> Qemu:
    """The device, if this machine can emulate it; the test is skipped where it cannot."""
    device = Qemu.model_validate({"use": "qemu", "cpu": cpu})
    try:
        qemu(device.bits)
    except TargetError as error:
        pytest.skip(f"{error}: {error.hint}")
    if not device.recipe.ready:
        file = "armv7-qemu" if device.recipe == DEBIAN_32 else "arm64-qemu"
        pytest.skip(f"the ARM system is not set up: edgekd target setup targets/{file}.yaml")
    return device


@pytest.fixture(scope="session")
def arm() -> Qemu:
    return emulated("cortex-a72")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, RunRecord]:
    """A quickly trained digits student, quantized."""
    place = Place(tmp_path_factory.mktemp("trained"))
    short = sets("teacher.epochs=1", "teacher.min_accuracy=0", "teacher.model={use: conv, width: 4, stages: 2}")
    short += sets("distill.epochs=8", "distill.batch_size=16", "distill.losses=[{use: cross_entropy, weight: 1}]")
    short += sets("student.model={use: conv, width: 8, stages: 2}", "distill.augment={}", "distill.control=false")
    # with 7 bits no sum saturates on an x86 processor without VNNI, which would then differ from every ARM
    short += sets("quantize.candidates=[{use: int8_qdq, reduce_range: true}]", "export.input=float")
    done = place.edgekd("run", DIGITS, *short, "--until", "quantize")
    assert done.returncode == 0, done.stderr
    (path,) = place.folder.glob("runs/digits/*/run.json")
    return Store(place.folder / "store"), RunRecord.model_validate_json(path.read_bytes())


@pytest.mark.parametrize("cpu", ["cortex-a72", "max", "cortex-a7"])
def test_the_int8_student_answers_on_arm_as_on_this_machine(
    trained: tuple[Store, RunRecord], cpu: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, record = trained
    paths = {f"{each.id}.{port}": store.path(a) for each in record.stages for port, a in each.outputs.items()}
    contract = ModelContract.model_validate_json(paths["data.contract"].read_bytes())
    splits = [load_split(paths[f"data.{name}"]) for name in ("test", "validation", "train")]
    samples = np.concatenate([each.samples for each in splits])[:SAMPLES]
    labels = np.concatenate([each.labels for each in splits])[:SAMPLES]
    fed = feeds_for(contract, samples)
    model = {"int8": paths["quantize@int8_qdq_reduced.model"]}
    device = emulated(cpu)
    here = predict(Local(use="local"), RuntimeSettings(), model, fed, Silent())["int8"]
    there = predict(device, RuntimeSettings(), model, fed, Silent())["int8"]
    told = agreement("x86", here, there)
    with capsys.disabled():
        print(f"\n{cpu}: {told.flipped} of {SAMPLES} predictions flip, logits differ by {told.largest_difference:.3g}")
    assert len(samples) == SAMPLES
    assert (here.argmax(axis=1) == labels).mean() > 0.7, "it has learned something"
    assert told.flipped <= SAMPLES // 100
    assert told.largest_difference <= 0.05 * np.ptp(here)


@pytest.mark.parametrize(
    ("cpu", "has", "lacks"),
    [
        ("cortex-a72", {"asimd"}, {"asimddp", "i8mm", "sve"}),
        ("cortex-a76", {"asimd", "asimddp"}, {"i8mm", "sve"}),
        ("max", {"asimd", "asimddp", "i8mm", "sve", "bf16"}, set()),
        ("cortex-a7", {"neon"}, {"asimd", "asimddp"}),
    ],
)
def test_the_machine_is_the_emulated_one(cpu: str, has: set[str], lacks: set[str]) -> None:
    device = emulated(cpu)
    facts = machine_of(device)
    assert facts["machine"] == ("aarch64" if device.bits == 64 else "armv7l")
    assert str(facts["cpu"]).startswith(f"{cpu}, emulated by qemu")
    assert device.bits == 32 or facts["onnxruntime"] == ONNXRUNTIME
    isa = facts["isa"]
    assert isinstance(isa, list)
    assert has <= set(isa)
    assert not lacks & set(isa)


def test_this_machines_own_libraries_stay_out(arm: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('of this machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines: list[str] = []
    with arm.connect() as workspace:
        assert workspace.run([workspace.python, "-c", "import numpy; print('ok')"], lines.append, 60).code == 0
    assert lines == ["ok"]


def test_without_its_system_the_command_that_makes_it_is_told(
    arm: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(TargetError, match="not set up") as caught:
        arm.connect().__enter__()
    assert "edgekd target setup" in str(caught.value.hint)


def test_without_qemu_its_package_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="no qemu-aarch64") as caught:
        Qemu(use="qemu").connect().__enter__()
    assert "qemu-user-static" in str(caught.value.hint)
    qemu.cache_clear()


def test_a_runtime_that_crashes_under_an_old_qemu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.devices.qemu.qemu", lambda _bits: ("qemu", "7.2.22"))
    with pytest.raises(TargetError, match=r"onnxruntime 1\.28\.0 crashes under qemu 7") as caught:
        Qemu(use="qemu", onnxruntime="1.28.0").connect().__enter__()
    assert "1.27.0" in str(caught.value.hint)


@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a7"])
def test_setting_up_ends_with_a_run_of_what_was_made(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = emulated(cpu)
    found: list[dict[str, str]] = []

    def made(recipe: sysroot.Recipe, check: Callable[[Path], dict[str, str]], _progress: Progress) -> Path:
        found.append(check(recipe.folder))
        return recipe.folder

    monkeypatch.setattr("edgekd.devices.qemu.build", made)
    device.setup(Silent())
    assert set(found[0]) == {"numpy", "onnxruntime"}


def test_other_versions_are_another_system() -> None:
    others: list[dict[str, str]] = [{}, {"onnxruntime": "1.26.0"}, {"numpy": "2.2.0"}, {"cpu": "cortex-a7"}]
    folders = {Qemu.model_validate({"use": "qemu", **each}).recipe.folder for each in others}
    assert len(folders) == 4
    assert Qemu(use="qemu", cpu="cortex-a53").recipe == Qemu(use="qemu").recipe, "every 64-bit processor shares one"


def test_versions_for_a_32_bit_processor_are_refused() -> None:
    with pytest.raises(ValueError, match="cortex-a7 has 32 bits: Debian's onnxruntime and numpy run there"):
        Qemu(use="qemu", cpu="cortex-a7", onnxruntime="1.27.0")


def test_no_time_of_an_emulated_processor_passes_a_gate(
    arm: Qemu, tmp_path: Path, trained: tuple[Store, RunRecord]
) -> None:
    store, record = trained
    quantize = next(each for each in record.stages if each.id == "quantize@int8_qdq_reduced")
    place = Place(tmp_path)
    limits = "{p90_latency_ms: 100000, peak_rss_mb: 100000, model_bytes: 1000000}"
    runtime = f"{{nice: {os.getpriority(os.PRIO_PROCESS, 0)}}}"
    (tmp_path / "t.yaml").write_text(f"name: arm\ndevice: qemu\nruntime: {runtime}\nlimits: {limits}\n")
    model = store.path(quantize.outputs["model"])
    done = place.edgekd("check", model, "--target", "t.yaml", "--seconds", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [each["name"] for each in told["checks"]] == ["model_bytes"]
    assert {"not checked: p90_latency_ms", "not checked: peak_rss_mb"} <= {
        note.partition(" (")[0] for note in told["notes"]
    }
    assert "this processor is emulated by qemu" in str(told["latency"]["disturbances"])
