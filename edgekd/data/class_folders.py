"""Files in one folder for each class, and whether they come with a test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import ConfigError


@dataclass(frozen=True)
class Kind:
    """What the files are, in words for people, and the ending of one."""

    noun: str
    ending: str

    @property
    def layout(self) -> str:
        return f"expected train/CLASS/*.{self.ending} and test/CLASS/*.{self.ending}, or CLASS/*.{self.ending}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file and the class that its folder says it is of."""

    name: str
    label: str


@dataclass(frozen=True)
class Layout:
    """`test` is empty where the source has no split of its own."""

    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    classes: tuple[str, ...]


def layout_of(names: Sequence[str], root: Path, kind: Kind) -> Layout:
    """The classes and their files.

    Raises:
        ConfigError: no files, files outside class folders, one class, or splits whose classes differ.
    """
    if not names:
        raise ConfigError(f"{root}: no {kind.noun} found", hint=kind.layout)
    skip = _wrapping_folders(names)
    tops = {name.split("/")[skip] for name in names}
    if "train" in tops and tops - {"train", "test"}:
        others = ", ".join(sorted(tops - {"train", "test"}))
        raise ConfigError(
            f"{root}: beside train/ there is {others}",
            hint=f"only train/ and test/ may stand there; the validation {kind.noun} are split from train/",
        )
    test: tuple[Entry, ...] = ()
    if "train" in tops:
        train, test = (
            _entries([name for name in names if name.split("/")[skip] == split], skip + 1, root, kind)
            for split in ("train", "test")
        )
    else:
        train = _entries(names, skip, root, kind)
    classes = tuple(sorted({entry.label for entry in train}))
    if len(classes) < 2:
        raise ConfigError(f"{root}: only one class, {classes[0]!r}", hint=f"{kind.layout}, with two classes or more")
    if test:
        _same_classes(set(classes), {entry.label for entry in test}, root)
    return Layout(train, test, classes)


def entries_of(names: Sequence[str], root: Path, kind: Kind) -> tuple[Entry, ...]:
    """All files, those of a test folder too, each with its class; "" where none lies in a class folder.

    Raises:
        ConfigError: no files, or some in class folders and some not.
    """
    if names and len({"/".join(name.split("/")[:-1]) for name in names}) == 1:
        return tuple(Entry(name, "") for name in names)
    layout = layout_of(names, root, kind)
    return (*layout.train, *layout.test)


def _wrapping_folders(names: Sequence[str]) -> int:
    """How many folders, one in another, everything lies in, as when an archive holds its own folder's name."""
    parts = [name.split("/") for name in names]
    depth = 0
    while all(len(each) >= depth + 3 for each in parts):
        heads = {each[depth] for each in parts}
        if len(heads) > 1 or heads <= {"train", "test"}:
            break
        depth += 1
    return depth


def _entries(names: Sequence[str], skip: int, root: Path, kind: Kind) -> tuple[Entry, ...]:
    entries = []
    for name in names:
        parts = name.split("/")
        if len(parts) < skip + 2:
            raise ConfigError(f"{root}: {name} is in no class folder", hint=kind.layout)
        entries.append(Entry(name, parts[skip]))
    return tuple(sorted(entries, key=lambda entry: (entry.label, entry.name)))


def _same_classes(train: set[str], test: set[str], root: Path) -> None:
    for here, there, missing in (("train", "test", train - test), ("test", "train", test - train)):
        if missing:
            raise ConfigError(
                f"{root}: the classes differ: {', '.join(sorted(missing))} in {here}/ but not in {there}/",
                hint="both splits need the same class folders",
            )
