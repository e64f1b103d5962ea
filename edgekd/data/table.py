"""A text file of rows and named columns, read cell by cell so that every fault has its line and column."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config.section import nearest
from edgekd.errors import ConfigError

DELIMITERS = ",;\t|"
MISSING = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True)
class Table:
    """names: of the columns; lines: where in the file each row ends, counted from 1; rows: the cells as text."""

    path: Path
    names: tuple[str, ...]
    lines: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, column: str | int) -> int:
        """The place of a column, by its name or its number from 0, where -1 is the last.

        Raises:
            ConfigError: there is none such.
        """
        if isinstance(column, int):
            if not -len(self.names) <= column < len(self.names):
                raise ConfigError(
                    f"{self.path} has no column number {column}",
                    hint=f"it has {len(self.names)} columns, counted from 0; -1 is the last",
                )
            return column % len(self.names)
        if column not in self.names:
            raise ConfigError(f"{self.path} has no column {column!r}", hint=nearest(column, self.names))
        return self.names.index(column)

    def texts(self, column: int) -> list[str]:
        """The cells of a column.

        Raises:
            ConfigError: one is missing.
        """
        cells = [row[column] for row in self.rows]
        for line, cell in zip(self.lines, cells, strict=True):
            if cell.lower() in ("", "nan"):  # the others of MISSING may be the names of classes
                raise self._missing(line, column)
        return cells

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float32]:
        """float32 (rows, columns).

        Raises:
            ConfigError: a cell is missing, or no finite number.
        """
        found = np.empty((len(self.rows), len(columns)), dtype=np.float32)
        for place, (line, row) in enumerate(zip(self.lines, self.rows, strict=True)):
            try:
                with np.errstate(over="raise"):
                    found[place] = np.array([float(row[column]) for column in columns])
                finite = bool(np.isfinite(found[place]).all())
            except (ValueError, FloatingPointError):
                finite = False
            if not finite:
                raise self._no_number(line, row, columns)
        return found

    def _no_number(self, line: int, row: Sequence[str], columns: Sequence[int]) -> ConfigError:
        """What is wrong with the first wrong cell of a row."""
        for column in columns:
            if row[column].lower() in MISSING:
                return self._missing(line, column)
            if not _fits(row[column]):
                break
        return ConfigError(
            f"column {self.names[column]!r}: {row[column]!r} is not a finite number",
            hint=f"write categories as numbers, or leave the column out: `ignore: [{self.names[column]}]`",
            where=f"{self.path}:{line}",
        )

    def _missing(self, line: int, column: int) -> ConfigError:
        return ConfigError(
            f"column {self.names[column]!r}: the value is missing",
            hint="fill it in or leave the row out, here and in what the device is given",
            where=f"{self.path}:{line}",
        )


def read_table(path: Path, delimiter: str | None) -> Table:
    """The table in a file whose first line names the columns.

    delimiter: between two cells; None: whichever of DELIMITERS is most often in the first line.

    Raises:
        ConfigError: it cannot be read, its first line names no columns, or a row has another number of cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _parsed(path, stream, delimiter)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no UTF-8 text", hint="save it as CSV in UTF-8") from None


def _parsed(path: Path, stream: Iterator[str], delimiter: str | None) -> Table:
    first = next(stream, "")
    delimiter = delimiter or max(DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], stream), delimiter=delimiter, skipinitialspace=True, strict=True)
    lines, rows = [], []
    ended = 0  # the line at which a row did
    try:
        names = tuple(name.strip() for name in next(reader, []))
        _demand_names(path, names)
        ended = reader.line_num
        for row in reader:
            ended = line = reader.line_num
            if not row:
                continue
            if len(row) != len(names):
                raise ConfigError(
                    f"{len(row)} cells in this row, but {len(names)} columns in the first line",
                    hint="quote cells that hold the delimiter, or name another one with `delimiter`",
                    where=f"{path}:{line}",
                )
            lines.append(line)
            rows.append(tuple(cell.strip() for cell in row))
    except csv.Error as error:
        raise ConfigError(
            f"the row that begins here is no CSV: {error}",
            where=f"{path}:{ended + 1}",
            hint="close its quotes, or write a quote in a cell twice",
        ) from error
    if not rows:
        raise ConfigError(f"{path} holds no rows below its first line")
    return Table(path, names, tuple(lines), tuple(rows))


def _demand_names(path: Path, names: Sequence[str]) -> None:
    if len(names) < 2:
        raise ConfigError(
            f"{path}: only one column in the first line",
            hint=f"a label and one feature or more, apart by one of {', '.join(map(repr, DELIMITERS))} or `delimiter`",
        )
    if any(_fits(name) and not name.isdigit() for name in names) or all(map(_fits, names)):
        raise ConfigError(
            f"{path}: the first line holds numbers", hint="put a line with the names of the columns before it"
        )
    for column, name in enumerate(names):
        if not name:
            raise ConfigError(f"{path}: column number {column} (from 0) has no name", hint="name it in the first line")
        if names.index(name) < column:
            raise ConfigError(f"{path}: two columns are named {name!r}", hint="give each a name of its own")


def _fits(cell: str) -> bool:
    """Whether it is a number that float32 can hold."""
    try:
        return math.isfinite(number := float(cell)) and abs(number) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False
