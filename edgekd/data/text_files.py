"""Texts and their labels as users keep them: in lines, in tables with named columns, or in a file each."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekd.config.section import nearest
from edgekd.data.content import all_files
from edgekd.data.table import DELIMITERS
from edgekd.errors import ConfigError

TABLES = (".csv", ".tsv", ".jsonl")
"""Endings of files with named columns; in all others a line is a label and a text."""


class Told(NamedTuple):
    """label: "" where none is asked for; where: file and line, or the file that holds this text alone."""

    text: str
    label: str
    where: str


def read_texts(path: Path, text: str, label: str | None, encoding: str) -> list[Told]:
    """The texts of a file or folder, in its order.

    text, label: columns, of files that have some; label None: none is read. encoding: utf-8 or latin-1.

    Raises:
        ConfigError: something cannot be read, or is no text with a label; it says the line.
    """
    try:
        if path.is_dir():
            found = list(_of_folder(path, label is not None, encoding))
        elif path.suffix.lower() in TABLES:
            found = list(_of_table(path, text, label, encoding))
        else:
            found = list(_of_lines(path, label is not None, encoding))
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename or path}: {error.strerror}") from error
    if not found:
        raise ConfigError(f"{path} holds no texts")
    return found


def text_names(root: Path) -> list[str]:
    """The text files below a folder, relative to it, sorted.

    Raises:
        OSError: a folder cannot be read.
    """
    return [name for name in all_files(root) if name.lower().endswith(".txt")]


def decoded(path: Path, encoding: str) -> str:
    """The content of a file, without a byte order mark.

    Raises:
        OSError: it cannot be read.
        ConfigError: it is in another encoding, or holds a character 0.
    """
    content = path.read_bytes()
    if b"\0" in content:
        raise ConfigError(
            "a character 0 is in it: no text, or in UTF-16", where=_place(path, content, content.index(0)), hint=_SAVE
        )
    try:
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        byte = start - (content.rfind(b"\n", 0, start) + 1)
        raise ConfigError(
            f"not UTF-8: byte {byte} of the line (counted from 0) is 0x{content[start]:02x}",
            where=_place(path, content, start),
            hint=f"{_SAVE}, or say `encoding: latin-1` where it is in that",
        ) from None


_SAVE = "save it as text in UTF-8"
_JSONL = 'each line is an object of JSON, such as {"text": "...", "label": "..."}'


def _place(path: Path, content: bytes, at: int) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"{path}:{line}"


def _of_lines(path: Path, labelled: bool, encoding: str) -> Iterator[Told]:
    for number, line in enumerate(_lines(decoded(path, encoding)), 1):
        where = f"{path}:{number}"
        label, text = "", line
        if labelled and line.strip():
            label, *rest = line.split(maxsplit=1)
            text = rest[0] if rest else ""
        yield _told(text, label, where)


def _of_table(path: Path, text: str, label: str | None, encoding: str) -> Iterator[Told]:
    wanted = [text] if label is None else [text, label]
    lines = _lines(decoded(path, encoding))
    rows = _objects(path, lines) if path.suffix.lower() == ".jsonl" else _cells(path, lines)
    for where, names, row in rows:
        for column in wanted:
            if column not in names:
                raise ConfigError(f"no column {column!r}", where=where, hint=nearest(column, names))
        cells = [_cell(row[column], column, where) for column in wanted]
        if label is not None and not cells[-1].strip():
            raise ConfigError(
                f"column {label!r}: the label is missing", where=where, hint="fill it in, or leave it out"
            )
        yield _told(cells[0], "" if label is None else cells[-1].strip(), where)


def _cells(path: Path, lines: Sequence[str]) -> Iterator[tuple[str, Sequence[str], dict[str, Any]]]:
    """Place, names and cells of each row. In .tsv nothing is quoted; of .csv the first line shows the delimiter."""
    first = next(iter(lines), "")
    if path.suffix.lower() == ".tsv":
        reader = csv.reader((f"{line}\n" for line in lines), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(
            (f"{line}\n" for line in lines),
            delimiter=max(DELIMITERS, key=first.count),
            skipinitialspace=True,
            strict=True,
        )
    names: list[str] = []
    ended = 0
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            ended = reader.line_num
            if not names:
                names = [name.strip() for name in row]
                _demand_names(names, where)
            elif row and len(row) != len(names):
                raise ConfigError(
                    f"{len(row)} cells in this row, but {len(names)} columns in the first line",
                    where=where,
                    hint="quote cells that hold the delimiter",
                )
            elif row:
                yield where, names, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise ConfigError(
            f"the row that begins here is no CSV: {error}",
            where=f"{path}:{ended + 1}",
            hint="close its quotes, write a quote in a cell twice, or give a .jsonl file",
        ) from error


def _demand_names(names: Sequence[str], where: str) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ConfigError(f"two columns are named {twice!r}", where=where, hint="give each a name of its own")
    if not any(names):
        raise ConfigError(
            "no columns are named here", where=where, hint="put a line with the names of the columns first"
        )


def _objects(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Sequence[str], dict[str, Any]]]:
    """Place, names and values of each line."""
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line, object_pairs_hook=_unique, parse_constant=_refused)
        except json.JSONDecodeError as error:
            what = f"not JSON: {error.msg} at character {error.pos} (counted from 0)"
            raise ConfigError(what, where=where, hint=_JSONL) from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not JSON: {error}", where=where, hint=_JSONL) from None
        if not isinstance(row, dict):
            raise ConfigError("the line holds no object", where=where, hint=_JSONL)
        yield where, list(row), row


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice")
    return dict(pairs)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no value of JSON")


def _cell(value: object, column: str, where: str) -> str:
    """A text, or a whole number as one."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise ConfigError(
        f"column {column!r}: {json.dumps(value)[:40]} is no text",
        where=where,
        hint="a text, or for labels a whole number too",
    )


def _of_folder(root: Path, labelled: bool, encoding: str) -> Iterator[Told]:
    """A text a file; the label is the folder in `root` that it lies in."""
    for name in text_names(root):
        shown = os.fsencode(name).decode(errors="backslashreplace")
        if shown != name:
            raise ConfigError(f"{root}: the name {shown} is not UTF-8", hint="rename the file or folder")
        if labelled and "/" not in name:
            raise ConfigError(f"{root}: {name} is in no class folder", hint="expected CLASS/*.txt")
        if (root / name).exists() and not (root / name).is_file():
            raise ConfigError(f"{root / name} is not a regular file")
        yield _told(decoded(root / name, encoding), name.split("/")[0] if labelled else "", str(root / name))


def _told(text: str, label: str, where: str) -> Told:
    """
    Raises:
        ConfigError: it is no text.
    """
    text = text.strip()
    what = "" if text else "the text is empty"
    if "\0" in text:
        what = "a character 0 is in the text"
    if any("\ud800" <= char <= "\udfff" for char in text + label):
        what = "half of a surrogate pair is in it"
    if what:
        raise ConfigError(what, where=where, hint="give a text in UTF-8, or leave this one out")
    return Told(text, label, where)


def _lines(content: str) -> list[str]:
    """Of Unix and Windows; other characters that could end a line are part of it."""
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    if not lines[-1]:
        lines.pop()  # what is behind the end of the last line
    return lines
