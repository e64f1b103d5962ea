"""YAML with the line of every key, so that each error can say file:line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import JsonValue

from edgekd.errors import ConfigError
from edgekd.reading import DEEPEST, MIB, RefusedError, read_regular

KeyPath = tuple[str | int, ...]

MOST_BYTES = MIB
MOST_VALUES = 100_000
STANDARD = "tag:yaml.org,2002:"
KINDS = {"int": "whole number", "float": "number", "bool": "yes or no", "null": "null"}


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
        ConfigError: missing, unreadable, no regular file, above 1 MiB, not UTF-8, not YAML, a tag that would construct
            an object, a key given twice, a number that is none, more than 100,000 values or 100 levels of them (aliases
            count as what they stand for), or no mapping at the top.
    """
    try:
        text = read_regular(path, MOST_BYTES).decode()
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}", hint=_nearby_hint(path)) from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder, not a YAML file", hint=_nearby_hint(path / "x")) from None
    except UnicodeDecodeError:
        raise ConfigError("not a text file (UTF-8)", where=f"{path}:1", hint="give a YAML file") from None
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        what = str(error) if isinstance(error, RefusedError) else f"cannot be read: {_reason(error)}"
        raise ConfigError(f"{path} {what}", hint="give a YAML file") from error
    lines: dict[KeyPath, int] = {}
    try:
        root = _composed(text)
        if root is None:
            raise ConfigError("the file is empty", where=f"{path}:1", hint="`edgekd init` writes one to start from")
        data = _Construction(str(path), lines).of(root, ())
    except RecursionError:
        raise ConfigError("nested too deep", where=f"{path}:1") from None
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
        root = _composed(text)
        value = None if root is None else _Construction(f"{option} {dotted}").of(root, ())
    except (yaml.YAMLError, RecursionError):
        raise ConfigError(f"{option} {dotted}: {text!r} is not a YAML value") from None
    if dotted.count(".") >= DEEPEST:
        raise ConfigError(f"{option} {dotted[:40]}...: more than {DEEPEST} keys inside each other")
    data = _with(source.data, dotted.split("."), value, f"{option} {dotted}")
    assert isinstance(data, dict)
    location = tuple(int(part) if _is_place(part) else part for part in dotted.split("."))
    replaced = len(location)
    lines = {at: line for at, line in source.lines.items() if at[:replaced] != location}
    return Source(source.path, data, lines, {**source.options, location: option})


def _with(node: JsonValue, keys: list[str], value: JsonValue, setting: str) -> JsonValue:
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not _is_place(head) or int(head) >= len(node):
            raise ConfigError(f"{setting}: {head!r} is no item of a list of {len(node)}", hint="items count from 0")
        position = int(head)
        return [_with(item, rest, value, setting) if n == position else item for n, item in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, dict):
        raise ConfigError(f"{setting}: there is nothing below {head!r} to set")
    return {**node, head: _with(node.get(head), rest, value, setting)}


def _is_place(part: str) -> bool:
    """Whether a part of a dotted key is the number of an item."""
    return part.isascii() and part.isdecimal() and len(part) < 10


def _composed(text: str) -> yaml.Node | None:
    """The nodes of a YAML text; aliases are links between them.

    Raises:
        yaml.YAMLError: it is none.
    """
    root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return root


@dataclass
class _Construction:
    """Makes values of nodes: mappings, lists, texts, numbers, booleans and null, nothing else.

    file: what comes before a line in errors; an option of the command line has no lines.
    """

    file: str
    lines: dict[KeyPath, int] | None = None
    values: int = 0

    def where(self, node: yaml.Node) -> str:
        return self.file if self.lines is None else f"{self.file}:{node.start_mark.line + 1}"

    def note(self, at: KeyPath, node: yaml.Node) -> None:
        if self.lines is not None:
            self.lines.setdefault(at, node.start_mark.line + 1)

    def of(self, node: yaml.Node, at: KeyPath, depth: int = 0) -> JsonValue:
        where = self.where(node)
        self.note(at, node)
        self.values += 1
        if self.values > MOST_VALUES:
            raise ConfigError(f"more than {MOST_VALUES:,} values, what aliases stand for included", where=where)
        if depth > DEEPEST:
            raise ConfigError(f"more than {DEEPEST} levels inside each other, or an alias of itself", where=where)
        if not node.tag.startswith(STANDARD) or node.tag.startswith(f"{STANDARD}python/"):
            raise ConfigError(
                f"the tag {node.tag.replace(STANDARD, '!!')!r} would construct an object",
                where=where,
                hint="edgekd reads plain YAML only; own code comes in as `use: file.py:callable`",
            )
        if isinstance(node, yaml.MappingNode) and node.tag == f"{STANDARD}map":
            return self._mapping(node, at, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{STANDARD}seq":
            return [self.of(item, (*at, index), depth + 1) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            raise ConfigError(f"the tag {node.tag.replace(STANDARD, '!!')!r} has no place here", where=where)
        return _scalar(node, where)

    def _mapping(self, node: yaml.MappingNode, at: KeyPath, depth: int) -> dict[str, JsonValue]:
        mapping: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError("a key must be plain text", where=self.where(node))
            key = str(key_node.value)
            if key in mapping:
                raise ConfigError(f"the key {key!r} stands twice", where=self.where(key_node))
            self.note((*at, key), key_node)
            mapping[key] = self.of(value_node, (*at, key), depth + 1)
        return mapping


def _scalar(node: yaml.ScalarNode, where: str) -> JsonValue:
    """A number, a boolean, null, or the text as it stands: so are dates, and `1:30`, which is 90 in YAML 1.1."""
    text, kind = str(node.value), node.tag.removeprefix(STANDARD)
    if kind not in ("int", "float", "bool", "null") or (kind in ("int", "float") and ":" in text):
        return text
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (ValueError, KeyError, OverflowError, IndexError):
        raise ConfigError(f"{text[:40]!r} is no {KINDS[kind]}", where=where) from None
    assert isinstance(value, (int, float, bool, type(None)))
    return value


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


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
