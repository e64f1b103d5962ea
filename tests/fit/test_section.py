"""What is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.config.fit import FitSection
from edgekd.config.pipeline import load_pipeline
from edgekd.devices import qemu
from edgekd.devices.counter import Counter
from edgekd.errors import ConfigError
from edgekd.fit.section import section_of
from tests.command import DIGITS, REPOSITORY

EMULATED = f"targets=[{REPOSITORY}/targets/arm64-qemu.yaml]"


def section(fit: str, *more: str) -> FitSection:
    return section_of(load_pipeline(DIGITS, assignments=[f"fit={fit}", *more]))


@pytest.mark.parametrize(
    ("fit", "what", "hint"),
    [
        ("{space: conv}", "fit.budget: is missing", None),
        ("{budget: {}}", "demands nothing", "p50_ms"),
        ("{budget: {p50: 1}}", "unknown key", "p50_ms"),
        ("{budget: {p50_ms: 1, targets: {lokal: {p50_ms: 2}}}}", "no target is named 'lokal'", "local"),
        ("{budget: {instructions: 9}}", "emulated targets alone", "p50_ms"),
        ("{budget: {p50_ms: 1}, space: []}", "is empty", "leave it out"),
        ("{budget: {p50_ms: 1}, space: convs}", "unknown model 'convs'", "conv"),
        ("{budget: {p50_ms: 1}, space: {use: conv, widht: 8}}", "unknown key", "width"),
        ("{budget: {p50_ms: 1}, space: [conv, {use: conv, width: [8, 0]}]}", "width", None),
        ("{budget: {p50_ms: 1}, space: {use: conv, width: {low: 0, high: 8}}}", "width", None),
        ("{budget: {p50_ms: 1}, space: {use: ds_resnet, blocks: [3, 4]}}", "blocks", None),
        ("{budget: {p50_ms: 1}, space: {use: conv, width: {low: 8, high: 16}}}", "width", None),
        ("{budget: {p50_ms: 1}, space: {use: conv, width: {low: 16, high: 8}}}", "width: low is not smaller", None),
        ("{budget: {p50_ms: 1}, space: {use: conv, width: {low: 16}}}", "width: high: ", None),
        ("{budget: {p50_ms: 1}, space: {use: conv, width: []}}", "width: has no value", None),
        ("{budget: {p50_ms: 1, targets: {local: {instructions: 9}}}}", "local: instructions of a target", "p50_ms"),
        ("{budget: {p50_ms: 1}, candidates: [int7]}", "unknown quantization scheme 'int7'", "int8"),
    ],
)
def test_a_wrong_section_is_refused_with_its_place_and_a_hint(fit: str, what: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as refused:
        section(fit)
    assert what in refused.value.what
    assert refused.value.where
    if hint is not None:
        assert hint in str(refused.value.hint)


def test_a_pipeline_without_the_section_is_refused() -> None:
    with pytest.raises(ConfigError, match="fit: is missing"):
        section_of(load_pipeline(DIGITS))


def test_times_of_emulated_targets_are_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "counter", lambda _program: Counter("qemu-aarch64", "9.2", Path("count.so")))
    with pytest.raises(ConfigError, match="mean nothing"):
        section("{budget: {p50_ms: 1}}", EMULATED)
    assert section("{budget: {instructions: 100000}}", EMULATED).budget.instructions == 100_000


@pytest.mark.parametrize("budget", ["{instructions: 9}", "{model_bytes: 9, targets: {armv7-qemu: {instructions: 9}}}"])
def test_instructions_are_no_budget_where_nothing_counts_them(budget: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two emulated processors one can be counted on."""
    counted = {"qemu-aarch64": Counter("qemu-aarch64", "9.2", Path("count.so"))}
    monkeypatch.setattr(qemu, "counter", counted.get)
    both = f"targets=[{REPOSITORY}/targets/arm64-qemu.yaml, {REPOSITORY}/targets/armv7-qemu.yaml]"
    with pytest.raises(ConfigError) as refused:
        section(f"{{budget: {budget}}}", both)
    assert refused.value.what == (
        "fit.budget: armv7-qemu: qemu-arm with plugins, and a C compiler, are needed to count instructions"
    )
    assert refused.value.where == "--set"
    assert "sudo apt install" in str(refused.value.hint)
    assert section("{budget: {model_bytes: 9, targets: {arm64-qemu: {instructions: 9}}}}", both)


def test_a_name_a_list_and_auto_are_all_spaces() -> None:
    assert [each.use for each in section("{budget: {p50_ms: 1}, space: conv}").space] == ["conv"]
    assert [each.use for each in section("{budget: {p50_ms: 1}, space: [mlp, {use: conv, width: 8}]}").space] == [
        "mlp",
        "conv",
    ]
    assert section("{budget: {p50_ms: 1}, space: auto}").space == []


def test_a_target_has_its_own_numbers_and_for_the_rest_those_of_all() -> None:
    budget = section("{budget: {p50_ms: 1, model_bytes: 9, targets: {local: {p50_ms: 2}}}}").budget
    assert (budget.on("local").p50_ms, budget.on("local").model_bytes) == (2, 9)
    assert (budget.on("board").p50_ms, budget.on("board").model_bytes) == (1, 9)
