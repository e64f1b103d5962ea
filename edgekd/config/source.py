"""YAML with the line of every key, so that each error can say file:line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import JsonValue

from edgekd.errors import ConfigError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """A parsed file: its data, the line (from 1) where each key or item stands, and the option of the command line
    that each value comes from which the file does not say."""

    path: Path
    data: dict[str, JsonValue]
    lines: dict[KeyPath, int]
    options: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, location: KeyPath) -> str:
        """The option that set the deepest part of the location, or `file:line` of what the file contains of it."""
        for depth in range(len(location), 0, -1):
            option = self.options.get(location[:depth])
            if option is not None:
                return option
            line = self.lines.get(location[:depth])
            if line is not None:
                return f"{self.path}:{line}"
        return f"{self.path}:1"


def read_source(path: Path) -> Source:
    """The file's content with positions.

    Raises:
        ConfigError: missing, unreadable, not UTF-8, not YAML, a tag that would construct an object, a key
            given twice, or no mapping at the top.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}", hint=_nearby_hint(path)) from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder, not a YAML file", hint=_nearby_hint(path / "x")) from None
    except UnicodeDecodeError:
        raise ConfigError("not a text file (UTF-8)", where=f"{path}:1", hint="give a YAML file") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    lines: dict[KeyPath, int] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise ConfigError("the file is empty", where=f"{path}:1", hint="`edgekd init` writes one to start from")
        data = _construct(path, root, (), lines)
    except yaml.YAMLError as error:
        raise _yaml_error(path, error) from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"expected keys with values, found {_kind(data)}",
            where=f"{path}:1",
            hint="for example `name: mnist`",
        )
    return Source(path, data, lines)


def assign(source: Source, dotted: str, text: str, option: str = "--set") -> Source:
    """The source with one `--set a.b=value` applied, or another `option`; the value is read as YAML.

    Raises:
        ConfigError: the value is no YAML, or the path leads through something that is no mapping.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{option} {dotted}: {text!r} is not a YAML value") from None
    data = _with(source.data, dotted.split("."), value, f"{option} {dotted}")
    assert isinstance(data, dict)
    location = tuple(int(part) if part.isdigit() else part for part in dotted.split("."))
    replaced = len(location)
    lines = {at: line for at, line in source.lines.items() if at[:replaced] != location}
    return Source(source.path, data, lines, {**source.options, location: option})


def _with(node: JsonValue, keys: list[str], value: JsonValue, setting: str) -> JsonValue:
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not head.isdigit() or int(head) >= len(node):
            raise ConfigError(f"{setting}: {head!r} is no item of a list of {len(node)}", hint="items count from 0")
        position = int(head)
        return [_with(item, rest, value, setting) if n == position else item for n, item in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, dict):
        raise ConfigError(f"{setting}: there is nothing below {head!r} to set")
    return {**node, head: _with(node.get(head), rest, value, setting)}


def _construct(path: Path, node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int]) -> JsonValue:
    where = f"{path}:{node.start_mark.line + 1}"
    lines.setdefault(at, node.start_mark.line + 1)
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python/"):
        raise ConfigError(
            f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')!r} would construct an object",
            where=where,
            hint="edgekd reads plain YAML only; own code comes in as `use: file.py:callable`",
        )
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError("a key must be plain text", where=where)
            key = str(key_node.value)
            if key in mapping:
                raise ConfigError(f"the key {key!r} stands twice", where=f"{path}:{key_node.start_mark.line + 1}")
            lines[(*at, key)] = key_node.start_mark.line + 1
            mapping[key] = _construct(path, value_node, (*at, key), lines)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(path, item, (*at, index), lines) for index, item in enumerate(node.value)]
    value = yaml.SafeLoader("").construct_object(node)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(node.value)


def _yaml_error(path: Path, error: yaml.YAMLError) -> ConfigError:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        return ConfigError(f"not YAML: {error.problem or error.context}", where=f"{path}:{line}")
    return ConfigError(f"not YAML: {error}".splitlines()[0], where=f"{path}:1")


def _kind(value: JsonValue) -> str:
    return "a list" if isinstance(value, list) else f"the value {value!r}"


def _nearby_hint(path: Path) -> str | None:
    folder = path.parent
    there = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    return f"in {folder}/ there is {', '.join(entry.name for entry in there[:8])}" if there else None
