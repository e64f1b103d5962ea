"""The student's model in a pipeline file, replaced; every other line stays byte for byte.

No YAML library writes a file back as it was: ruamel.yaml's round trip keeps comments, but indents lists its own way and
turns `[{use: kd}]` into `[use: kd]`, in most of the pipelines that come with edgekd. So only the text between two marks
of the parser is replaced, and the result is read again: it must say what the file said, with the new model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import JsonValue

from edgekd.config.inline import inline
from edgekd.config.source import read_source
from edgekd.errors import ConfigError
from edgekd.pipeline.store import write_atomically
from edgekd.records.base import file_digest

MARKER = "# edgekd fit"
"""What every line of a note begins with, so that the next search replaces it."""
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)


def with_model(text: str, model: Mapping[str, JsonValue], note: Sequence[str]) -> str:
    """A pipeline file's text with another `student.model`, and above it the note, a comment that replaces the one of an
    earlier search.

    A model in braces is written in braces. Of one that stands in lines of its own, each line stays that says the same,
    and with it every comment but those of options that are gone.

    Raises:
        ConfigError: the file has no such key of its own, or the text cannot be changed in its place alone.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    student_key, student = _entry(root, "student")
    key, old = _entry(student, "model")
    if not isinstance(old, yaml.MappingNode) or old.start_mark.index < key.end_mark.index:
        raise _not_in_place(model)
    above = [f"{MARKER}: {line}" for line in note]
    if old.flow_style:
        start, end = old.start_mark.index, old.end_mark.index
        inside = COMMENT.findall(text[start:end])
        edits = [(start, end, inline(dict(model)))]
        above = [*inside, *above]
    else:
        edits = _edited_lines(text, old, model)
    place = key if _begins_its_line(text, key) else student_key
    edits.append(_above(text, place.start_mark.index, above))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def check_place(path: Path, to: Path) -> str:
    """The digest of the pipeline file at `path`, in which a model can be written to `to`: asked before a long search.

    Raises:
        ConfigError: it cannot.
    """
    _changed(path, {"use": "conv", "width": 8}, ["a note"])
    folder = to.resolve().parent
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"cannot write to {folder}", hint="`--to FILE` writes elsewhere, `--dry-run` nowhere")
    return file_digest(path)


def wrote(path: Path, to: Path) -> bool:
    """Whether the file `to` is what a search for the pipeline at `path` wrote: it has a note, and says what that says,
    but for what a search is about."""
    try:
        return _beside(to) == _beside(path) and MARKER in to.read_text(encoding="utf-8")
    except ConfigError:
        return False


def _beside(path: Path) -> object:
    """What a pipeline says beside its student's model and how that is searched for."""
    data = read_source(path).data
    data.pop("fit", None)
    if isinstance(student := data.get("student"), dict):
        student.pop("model", None)
    return data


def write_student(
    path: Path, to: Path, model: Mapping[str, JsonValue], note: Sequence[str], *, unchanged: str
) -> list[int]:
    """Writes the file at `path`, with this model of its student, to `to` (which may be itself), whole or not at all.
    Gives the lines, from 1, of comments beside the model, which were written for another one.

    unchanged: the digest that the file had when the search began.

    Raises:
        ConfigError: the file has changed since, cannot be changed in its place, or cannot be written.
    """
    by_hand = f"write it by hand: `model: {inline(dict(model))}`"
    if file_digest(path) != unchanged:
        raise ConfigError(f"{path} has changed since the search began, and stays as it is", hint=by_hand)
    text = _changed(path, model, note)
    try:
        goal, mode = to.resolve(), path.stat().st_mode & 0o777  # a link stays one
        write_atomically(goal, text.encode())
        goal.chmod(mode)
    except OSError as error:
        raise ConfigError(f"cannot write {to}: {error.strerror}", hint=by_hand) from error
    return _comments(text)


def _changed(path: Path, model: Mapping[str, JsonValue], note: Sequence[str]) -> str:
    """The file's text with the model and the note.

    Raises:
        ConfigError: it would say anything but what the file says, with this model.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        before = stream.read()
    text = with_model(before, model, note)
    wanted = yaml.safe_load(before)
    wanted["student"]["model"] = dict(model)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if found != wanted:
        raise _not_in_place(model)
    return text


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == name:
                return key, value
    raise ConfigError(
        f"the file has no `{name}` of its own to be written to", hint="give it `student: {model: {use: conv}}` first"
    )


def _edited_lines(text: str, old: yaml.MappingNode, model: Mapping[str, JsonValue]) -> list[tuple[int, int, str]]:
    """What of a mapping in lines is replaced: (start, end, new text)."""
    edits: list[tuple[int, int, str]] = []
    missing = dict(model)
    last = 0
    for key, value in old.value:
        start, end = value.start_mark.index, max(_end(value), key.end_mark.index)
        if key.value not in model:
            edits.append((_line_start(text, key.start_mark.index), _line_end(text, end), ""))
            continue
        wanted = missing.pop(key.value)
        if start < key.end_mark.index:
            raise _not_in_place(model)
        if yaml.safe_load(inline(wanted)) != yaml.safe_load(_plain(text, value)):
            edits.append((start, end, inline(wanted)))
        last = max(last, _line_end(text, end))
    if missing:
        ending = "\r\n" if text[:last].endswith("\r\n") else "\n"
        indent = " " * old.value[0][0].start_mark.column
        lines = "".join(f"{indent}{key}: {inline(value)}{ending}" for key, value in missing.items())
        edits.append((last, last, lines if not last or text[last - 1] == "\n" else f"{ending}{lines}"))
    return edits


def _plain(text: str, node: yaml.Node) -> str:
    """A value as it stands in the file, shifted so that it can be read alone."""
    return " " * node.start_mark.column + text[node.start_mark.index : _end(node)]


def _end(node: yaml.Node) -> int:
    """Where the last character of a value stands; the parser ends a block where the next thing begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    index: int = node.end_mark.index
    return index


def _begins_its_line(text: str, node: yaml.Node) -> bool:
    start = node.start_mark.index
    return not text[_line_start(text, start) : start].strip()


def _above(text: str, index: int, lines: Sequence[str]) -> tuple[int, int, str]:
    """Comment lines above the line of an index, in the place of those with the marker that stand there."""
    start = first = _line_start(text, index)
    indent = text[start : start + len(text[start:]) - len(text[start:].lstrip(" "))]
    while first > 0 and text[_line_start(text, first - 1) : first].lstrip().startswith(MARKER):
        first = _line_start(text, first - 1)
    ending = "\r\n" if "\r\n" in text else "\n"
    return first, start, "".join(f"{indent}{' '.join(line.split())}{ending}" for line in lines)


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    """Behind the end of the line."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _not_in_place(model: Mapping[str, JsonValue]) -> ConfigError:
    return ConfigError(
        "student.model shares its text with other parts of the file, so it is not changed here",
        hint=f"write it by hand: `model: {inline(dict(model))}`",
    )


def _comments(text: str) -> list[int]:
    """The lines of comments that stand beside the model."""
    _, student = _entry(yaml.compose(text, Loader=yaml.SafeLoader), "student")
    key, value = _entry(student, "model")
    lines = text.splitlines()
    first, last = key.start_mark.line, text.count("\n", 0, _end(value))
    return [number + 1 for number in range(first, last + 1) if COMMENT.search(lines[number])]
