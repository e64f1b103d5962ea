"""What is tried next."""

from __future__ import annotations

from typing import Any

import pytest

from edgekd.config.sweep import Setting, SweepSection
from edgekd.sweep.proposals import proposals

RANGES: dict[str, Any] = {"x": {"low": 0, "high": 1}, "kind": ["a", "b", "c"]}


def section(**options: Any) -> SweepSection:
    return SweepSection.model_validate(options)


def reached(setting: Setting) -> float | None:
    """Best at x = 0.7 of kind b; kind c never comes to an end."""
    x, kind = setting["x"], setting["kind"]
    assert isinstance(x, float)
    return None if kind == "c" else (kind == "b") - (x - 0.7) ** 2


def proposed(section: SweepSection, seed: int = 0) -> list[list[Setting]]:
    rounds = proposals(section, seed)
    found = [next(rounds)]
    while True:
        try:
            found.append(rounds.send([reached(setting) for setting in found[-1]]))
        except StopIteration:
            return found


def test_a_grid_is_every_combination_once_with_the_last_key_fastest() -> None:
    (settings,) = proposals(section(space={"a": [1, 2], "b": ["x", "y"]}), 0)
    assert settings == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "qmc"])
def test_few_combinations_are_all_tried_whoever_proposes(sampler: str) -> None:
    (settings,) = proposals(section(space={"a": [1, 2], "b": [3, 4]}, sampler=sampler, settings=4), 0)
    assert len(settings) == 4


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "qmc"])
def test_the_same_answers_lead_to_the_same_settings(sampler: str) -> None:
    options = section(space=RANGES, sampler=sampler, settings=14, round=4)
    first, again, other = proposed(options), proposed(options), proposed(options, seed=1)
    assert first == again
    assert first != other
    flat = [setting for each in first for setting in each]
    assert len(flat) == len({str(setting) for setting in flat}) == 14
    assert all(isinstance(each["x"], float) and 0 <= each["x"] <= 1 for each in flat)


def test_those_that_learn_propose_in_rounds_and_the_others_at_once() -> None:
    assert [len(each) for each in proposed(section(space=RANGES, sampler="tpe", settings=10, round=4))] == [4, 4, 2]
    assert [len(each) for each in proposed(section(space=RANGES, sampler="random", settings=10, round=4))] == [10]


def test_tpe_learns_from_what_was_reached() -> None:
    flat = [each for some in proposed(section(space=RANGES, sampler="tpe", settings=60)) for each in some]
    late = flat[-20:]
    assert sum(each["kind"] == "b" for each in late) > 12
    assert sum(each["kind"] == "c" for each in late) <= 3


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_setting_comes_twice_though_there_are_few(sampler: str) -> None:
    options = section(space={"x": [0.1, 0.2, 0.3], "kind": ["a", "b"]}, sampler=sampler, settings=5, round=2)
    flat = [each for some in proposed(options) for each in some]
    assert len(flat) == len({str(each) for each in flat}) == 5


def test_whole_steps_are_whole_numbers() -> None:
    settings = next(proposals(section(space={"n": {"low": 2, "high": 40, "step": 2}}, sampler="random", settings=8), 0))
    assert all(isinstance(each["n"], int) and each["n"] % 2 == 0 for each in settings)
