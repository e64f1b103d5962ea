"""Target files, right and wrong: a profile or a line with file and place, whatever stands in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekd.config.check import check
from edgekd.config.source import read_source
from edgekd.config.target import TargetProfile
from edgekd.errors import ConfigError

FUZZ = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=15) | st.dates()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
WHOLE = {
    "name": "board",
    "device": {
        "use": "ssh",
        "host": "pi",
        "user": "me",
        "port": 22,
        "python": "python3",
        "folder": "~/x",
        "keep_mb": 1,
    },
    "runtime": {"threads": 1, "affinity": [0], "options": {"a": "b"}, "memory_limit_mb": 10.0, "nice": 1},
    "limits": {"p90_latency_ms": 1.0, "model_bytes": 10, "peak_rss_mb": 1.0},
    "measure": {"seconds": 1.0, "margin": 0.1, "confidence": 0.9},
}


def load(folder: Path, text: str) -> TargetProfile:
    path = folder / "t.yaml"
    path.write_text(text, encoding="utf-8")
    return check(TargetProfile, read_source(path))


def outcome(folder: Path, text: str) -> TargetProfile | str:
    try:
        return load(folder, text)
    except ConfigError as error:
        return str(error)


@FUZZ
@given(data=st.data())
def test_any_value_in_any_place_is_taken_or_told_with_its_line(data: st.DataObject, tmp_path: Path) -> None:
    content: dict[str, object] = yaml.safe_load(yaml.safe_dump(WHOLE))
    section = data.draw(st.sampled_from(sorted(content)))
    node, key = content, section
    inner = content[section]
    if isinstance(inner, dict) and data.draw(st.booleans()):
        node, key = inner, data.draw(st.sampled_from([*sorted(inner), "another"]))
    node[key] = data.draw(VALUES)
    told = outcome(tmp_path, yaml.safe_dump(content, allow_unicode=True))
    if isinstance(told, str):
        assert f"{tmp_path / 't.yaml'}:" in told
        assert len(told.splitlines()) == 1


@FUZZ
@given(text=st.text(max_size=60) | st.text(alphabet="{}[]:,-&*!|>'\"# \nabc%@`\t", max_size=60))
def test_any_text_is_a_line(text: str, tmp_path: Path) -> None:
    told = outcome(tmp_path, text)
    assert isinstance(told, str)
    assert len(told.splitlines()) == 1


@given(host=st.text(max_size=20), user=st.text(max_size=10), python=st.text(max_size=20))
@FUZZ
def test_what_the_ssh_fields_take_no_shell_and_no_option_parser_reads_otherwise(
    host: str, user: str, python: str, tmp_path: Path
) -> None:
    device = {"use": "ssh", "host": host, "user": user, "python": python}
    told = outcome(tmp_path, yaml.safe_dump({"name": "n", "device": device}, allow_unicode=True))
    if isinstance(told, TargetProfile):
        for value in (host, user, python):
            assert not value.startswith("-")
            assert not set(value) & set(" \t\r\n;&|<>$`\\\"'(){}[]*?!#\0")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "-", "..", "."])
def test_a_name_that_would_leave_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Results are filed by the target's name."""
    told = outcome(tmp_path, yaml.safe_dump({"name": name, "device": "local"}))
    assert isinstance(told, str)
    assert "name" in told
