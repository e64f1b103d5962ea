"""YAML that nobody vouches for: what cannot be a pipeline is refused in one line, at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from edgekd.config.source import assign, read_source
from edgekd.errors import ConfigError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + chr(ord(name) - 1)] * 9)}]\n" for name in "bcdefghi"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "more than 100,000 values"),
        ("a: &a [*a]\n", "an alias of itself"),
        ("a: " + "[" * 150 + "]" * 150, "more than 100 levels"),
        ("a: " + "[" * 100_000, "p.yaml:1: nested too deep"),
        ("x: 1\na: !!int foo\n", "p.yaml:2: 'foo' is no whole number"),
        ("a: !!float foo\n", "p.yaml:1: 'foo' is no number"),
        ("a: !!bool 7\n", "p.yaml:1: '7' is no yes or no"),
        ("a: " + "9" * 5000, "is no whole number"),
        ("a: !!set {x, y}\n", "the tag '!!set' has no place here"),
        ("a: !!omap [x: 1]\n", "the tag '!!omap' has no place here"),
        ("a: !!python/name:os.system\n", "would construct an object"),
        ("? [1, 2]\n: 3\n", "a key must be plain text"),
        ("a: 1\nb: 2\na: 3\n", "p.yaml:3: the key 'a' stands twice"),
        ("a: \x07\n", "p.yaml:1: not YAML"),
        ("x" * 2**21, "is larger than 1 MiB"),
    ],
)
def test_hostile_yaml_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_source(tmp_path / "p.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-13-45", "2026-13-45"),
        ("2026-11-27", "2026-11-27"),
        ("1:30", "1:30"),
        ("0x10", 16),
        ("1_000", 1000),
        ("!!binary aGk=", "aGk="),
        ("~", None),
        ("yes", True),
        (".5", 0.5),
    ],
)
def test_scalars_are_json_or_text(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "p.yaml").write_text(f"a: {text}\n")
    source = read_source(tmp_path / "p.yaml")
    assert source.data == {"a": value}
    assert assign(source, "a", text).data == {"a": value}


def test_aliases_within_reason_are_what_they_stand_for(tmp_path: Path) -> None:
    text = "a: &a {x: [1, 2]}\nb: *a\nc: [*a, *a]\n"
    (tmp_path / "p.yaml").write_text(text)
    assert read_source(tmp_path / "p.yaml").data == yaml.safe_load(text)


@pytest.mark.parametrize("name", ["\0", "x" * 300, "a/\0b"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        read_source(tmp_path / name)


def test_pipes_devices_and_loops_of_links_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "loop"):
        with pytest.raises(ConfigError):
            read_source(path)


@pytest.mark.parametrize(
    "dotted", ["targets.²", "targets.1", "targets.-1", "targets.99999999999999999999", "targets.", ""]
)
def test_a_place_that_a_list_does_not_have_is_refused(tmp_path: Path, dotted: str) -> None:
    (tmp_path / "p.yaml").write_text("targets: [a]\n")
    source = read_source(tmp_path / "p.yaml")
    if dotted:
        with pytest.raises(ConfigError):
            assign(source, dotted, "1")
    else:
        assert assign(source, dotted, "1").data == {"targets": ["a"], "": 1}  # an unknown key, which the check names
