"""Instructions of one inference, counted by a real emulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekd.devices.counter import counter
from edgekd.devices.local import Local
from edgekd.devices.qemu import Qemu
from edgekd.errors import StageError, TargetError
from edgekd.harness.counting import MARKS, RUNS, count_instructions, counts_of
from edgekd.records.runtime import RuntimeSettings
from tests.command import Place
from tests.devices.test_qemu import emulated
from tests.harness.conftest import convolutions


def counting(cpu: str) -> Qemu:
    device = emulated(cpu)
    if not device.counts:
        pytest.skip("instructions cannot be counted: install qemu-user (--no-install-recommends) and a C compiler")
    return device


@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a7"])
def test_the_count_follows_the_work_and_hardly_changes(cpu: str, tmp_path: Path) -> None:
    device = counting(cpu)
    models = {f"{depth}": convolutions(tmp_path / f"{depth}.onnx", 8, depth, 14) for depth in (2, 4, 6)}
    first, second = (count_instructions(device, RuntimeSettings(threads=2), models, tmp_path) for _ in range(2))
    for name, count in first.items():
        assert second[name].median == pytest.approx(count.median, rel=0.01)
    # the first layer reads one channel, each later one the same eight
    more, much_more = (first[name].median - first["2"].median for name in ("4", "6"))
    assert much_more == pytest.approx(2 * more, rel=0.05)
    # 8 x 8 x 9 x 14 x 14 multiplications a layer; a vector instruction does at least one and at most four
    assert 2 * 8 * 8 * 9 * 14 * 14 / 8 < more < 2 * 8 * 8 * 9 * 14 * 14 * 4


def test_bench_prints_the_instructions(tmp_path: Path) -> None:
    counting("cortex-a72")
    place = Place(tmp_path)
    (tmp_path / "arm.yaml").write_text("name: arm\ndevice: {use: qemu, cpu: cortex-a72}\n")
    model = convolutions(tmp_path / "m.onnx", 8, 3, 14)
    done = place.edgekd("bench", model, "--target", "arm.yaml", "--seconds", "1", "--json")
    assert done.returncode == 0, done.stderr
    count = json.loads(done.stdout)["models"][0]["instructions"]
    assert 0 < count["least"] <= count["median"] <= count["most"] < 1.2 * count["least"]
    assert count["runs"] == RUNS


def test_what_marking_executes_is_taken_away() -> None:
    marks, total = [], 1000
    for _ in range(RUNS):
        for step in (700, 5000, 200):  # between runs, the inference, nothing
            total += step
            marks.append(str(total))
    (count,) = counts_of(marks, 1)
    assert (count.median, count.least, count.most) == (4800, 4800, 4800)


@pytest.mark.parametrize("marks", [[], ["1"] * (RUNS * MARKS - 1), ["x"] * (RUNS * MARKS)])
def test_marks_that_do_not_fit_are_refused(marks: list[str]) -> None:
    with pytest.raises(StageError, match="marks, not 63"):
        counts_of(marks, 1)


def test_a_machine_that_cannot_count_says_so(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="this machine: instructions cannot be counted there"):
        count_instructions(Local(use="local"), RuntimeSettings(), models, tmp_path)


def test_without_plugins_the_packages_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, Path]
) -> None:
    counter.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not Qemu(use="qemu").counts
    with pytest.raises(TargetError, match="with plugins, and a C compiler") as caught:
        count_instructions(Qemu(use="qemu"), RuntimeSettings(), models, tmp_path)
    assert "qemu-user gcc" in str(caught.value.hint)
    counter.cache_clear()


def test_with_a_compiler_that_compiles_nothing_there_is_no_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting("cortex-a72")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cc").write_text("#!/bin/sh\nexit 1\n")
    (programs / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    counter.cache_clear()
    assert not Qemu(use="qemu").counts
    assert list((tmp_path / "cache").rglob("*.so")) == []
    counter.cache_clear()


def test_a_comma_in_a_path_splits_no_option(tmp_path: Path) -> None:
    device = counting("cortex-a72")
    folder = tmp_path / "one,out=two"
    folder.mkdir()
    model = convolutions(folder / "m.onnx", 8, 3, 14)
    assert count_instructions(device, RuntimeSettings(), {"m": model}, folder)["m"].median > 0
    assert not (tmp_path / "one").exists()
