"""What is tried for a key, as a command line says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from edgekd.config.pipeline import load_pipeline
from edgekd.config.select import Range
from edgekd.config.sweep import shown, split_assignments, split_values, words
from edgekd.errors import ConfigError, UsageError
from edgekd.sweep.settings import check_settings, sweep_of
from tests.command import QUICK_TARGET
from tests.sweep.small import PIPELINE

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab, []{}:#'\"", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2,4,8", ["2", "4", "8"]),
        ("2, 4", ["2", "4"]),
        ("{use: conv, width: 4}, {use: mlp}", ["{use: conv, width: 4}", "{use: mlp}"]),
        ("[{use: kd}, {use: dist}],[{use: kd}]", ["[{use: kd}, {use: dist}]", "[{use: kd}]"]),
        ("[fp32, int8_weights]", ["[fp32, int8_weights]"]),
        ("'a, b',c", ["'a, b'", "c"]),
        ("own.py:build,other.py:build", ["own.py:build", "other.py:build"]),
        ("1,2 # so far", ["1", "2"]),
        ("null,true", ["null", "true"]),
        ("", [""]),
        ("a]b", ["a]b"]),
        ("1,,2", ["1,,2"]),
        ("1], [2", ["1], [2"]),
    ],
)
def test_values_end_where_an_item_of_a_yaml_list_ends(text: str, parts: list[str]) -> None:
    assert split_values(text) == parts


@given(st.lists(VALUES, min_size=2, max_size=4))
def test_whatever_values_are_joined_by_commas_come_apart_again(values: list[JsonValue]) -> None:
    parts = split_values(", ".join(json.dumps(value) for value in values))
    assert [yaml.safe_load(part) for part in parts] == values


def test_one_value_is_set_for_all_and_several_are_tried() -> None:
    fixed, tried = split_assignments(["distill.epochs=3", "a.b=2,4.0,x", "c={low: 1, high: 8, log: true}"])
    assert fixed == ["distill.epochs=3"]
    assert tried == {"a.b": [2, 4.0, "x"], "c": Range(low=1, high=8, log=True)}


def test_a_mapping_that_is_no_range_is_a_value() -> None:
    fixed, tried = split_assignments(["student.model={use: conv, width: 4}"])
    assert fixed == ["student.model={use: conv, width: 4}"]
    assert not tried


@pytest.mark.parametrize("assignment", ["distill.temperature", "=2,4"])
def test_an_assignment_without_a_key_or_a_value_is_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match="expected key=value"):
        split_assignments([assignment])


def test_a_key_is_said_once() -> None:
    with pytest.raises(UsageError, match="stands twice"):
        split_assignments(["a=1,2", "a=3,4"])


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ConfigError, match="--set a: low is not smaller than high"):
        split_assignments(["a={low: 2, high: 1}"])


def test_a_setting_is_told_as_one_would_write_it() -> None:
    assert words({"a.b": 0.1 + 0.2, "c": {"use": "conv", "width": 4}, "d": None, "e": True, "f": 8}) == (
        "a.b=0.3, c={use: conv, width: 4}, d=null, e=true, f=8"
    )
    assert words({}) == "as in the file"
    assert shown([1, "x"]) == "[1, x]"


def test_one_value_of_the_command_line_wins_over_the_files_values(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE + "sweep: {space: {distill.temperature: [2, 4], distill.epochs: [1, 2]}}\n")
    (tmp_path / "here.yaml").write_text(QUICK_TARGET)
    fixed, tried = split_assignments(["distill.temperature=3"])
    loaded = load_pipeline(path, assignments=fixed)
    section = sweep_of(loaded, tried, {}, {"distill.temperature"})
    assert list(section.grid()) == [{"distill.epochs": 1}, {"distill.epochs": 2}]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_combination_of_first_values_that_cannot_be_refuses_no_other(tmp_path: Path, sampler: str) -> None:
    """Resized to 0.9 at least and 0.8 at most, whatever else is tried: a row, not the end."""
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE)
    (tmp_path / "here.yaml").write_text(QUICK_TARGET)
    loaded = load_pipeline(path, assignments=["distill.augment={resize: [0.5, 1]}"])
    tried: dict[str, Range | list[JsonValue]] = {
        "distill.augment.resize.0": [0.9, 0.5],
        "distill.augment.resize.1": [0.8, 1],
        "distill.temperature": [2, 4],
    }
    section = sweep_of(loaded, tried, {"sampler": sampler, "settings": 5})
    assert check_settings(loaded, section, "train").nodes


def test_the_seeds_of_a_sweep_end_where_seeds_end(tmp_path: Path) -> None:
    """With those that a trial of this file would take besides."""
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE + "seeds: 2\nsweep: {seeds: 3, space: {distill.temperature: [2, 4]}}\n")
    (tmp_path / "here.yaml").write_text(QUICK_TARGET)
    assert sweep_of(load_pipeline(path, seed=2**32 - 4), {}, {}).seeds == 3
    loaded = load_pipeline(path, seed=2**32 - 3)
    with pytest.raises(ConfigError) as refused:
        sweep_of(loaded, {}, {})
    assert str(refused.value).endswith(
        "p.yaml:12: sweep.seeds: the last of 4 from 4294967293 on is 4294967296, and no seed is above 4294967295"
    )
    with pytest.raises(ConfigError, match="^--seeds: sweep.seeds: the last of 5 from 4294967293 on"):
        sweep_of(loaded, {}, {"seeds": 4})
