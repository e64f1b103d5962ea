"""Which sources can change what a module of edgekd computes: found from its imports, without running any of them.

Not followed, and not counted:
- `config`: options are part of what is hashed by their values, and components by a closure of their own.
- `pipeline`, `errors`, `progress`, `memory`, `mentions`, `visible`, `reading`, `temporary` and this module: they decide
  when a stage runs, where and what is refused, not what it computes.
- `cli`, `report` and edgekd's own `__init__`: no stage uses them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MappingProxyType

from edgekd.mentions import mentions, remember

EDGEKD = "edgekd"
APART = frozenset(
    {
        "cli",
        "closure",
        "config",
        "errors",
        "memory",
        "mentions",
        "pipeline",
        "progress",
        "reading",
        "report",
        "temporary",
        "visible",
    }
)
SUFFIXES = (".py", ".c", ".cpp", ".h")
SOURCE_FILE = re.compile(r"[\w./-]{1,200}\.(py|c|cpp|h)")
DOTTED = re.compile(rf"{EDGEKD}(\.\w+)+")


@dataclass(frozen=True)
class _Source:
    """A file that counts; `module`: its dotted name, or that of the package it lies in when it is not Python."""

    path: Path
    module: str


@functools.cache
def closure(module: str) -> Mapping[str, str]:
    """The sources that a module consists of: of each its path in edgekd and the first 16 digits of its sha256.

    Imports count wherever they stand, but for those that only type checkers see. So do files and packages of edgekd
    that are named in a string, for they may be loaded, sent or compiled. A module of another package, such as a stage
    of a test, is followed through that package and edgekd.

    Raises:
        ValueError: there is no such module.
    """
    waiting = list(_named(module))
    if not waiting or waiting[-1].module != module:
        raise ValueError(f"there is no module {module!r} whose code could be followed")
    found: dict[_Source, str] = {}
    while waiting:
        source = waiting.pop()
        if source not in found:
            found[source], used = _look(source)
            waiting.extend(used)
    remember()
    return MappingProxyType(dict(sorted((_label(source), digest) for source, digest in found.items())))


def closure_of_names(names: frozenset[str]) -> Mapping[str, str]:
    """The closures of those of the dotted names that are modules of edgekd, as one."""
    modules = {source.module for name in names if name.startswith(f"{EDGEKD}.") for source in _named(name)}
    return {path: digest for module in sorted(modules) for path, digest in closure(module).items()}


@functools.cache
def _look(source: _Source) -> tuple[str, tuple[_Source, ...]]:
    """A file's digest, and the files that it uses itself."""
    content = source.path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    if source.path.suffix != ".py":
        return digest, ()
    is_package = source.path.name == "__init__.py"
    package = source.module if is_package else source.module.rpartition(".")[0]
    named = mentions(content, package)
    roots = (EDGEKD, source.module.partition(".")[0])
    used = {part for name in named.imports if name.partition(".")[0] in roots for part in _named(name)}
    for text in named.texts:
        if DOTTED.fullmatch(text):
            used.update(_whole(text))
        elif SOURCE_FILE.fullmatch(text):
            used.update(_beside(source, package, text))
    return digest, tuple(used)


@functools.cache
def _named(name: str) -> tuple[_Source, ...]:
    """The module of that name and the packages around it, as far as there are such: the rest is a name inside it."""
    root, *parts = name.split(".")
    spec = _root(root)
    if spec is None or (root == EDGEKD and parts and parts[0] in APART):
        return ()
    if not spec.submodule_search_locations:
        return (_Source(Path(spec.origin), root),) if spec.origin else ()
    place = Path(spec.submodule_search_locations[0])
    found = []
    if root != EDGEKD and (place / "__init__.py").is_file():
        found.append(_Source(place / "__init__.py", root))
    for depth, part in enumerate(parts, start=2):
        place /= part
        dotted = ".".join([root, *parts][:depth])
        if (place / "__init__.py").is_file():
            found.append(_Source(place / "__init__.py", dotted))
        elif place.with_suffix(".py").is_file():
            found.append(_Source(place.with_suffix(".py"), dotted))
            break
        elif not place.is_dir():
            break
    return tuple(found)


def _whole(name: str) -> Iterator[_Source]:
    """A module or package of edgekd with everything below it."""
    sources = _named(name)
    if not sources or sources[-1].module != name:
        return
    yield from sources
    if sources[-1].path.name == "__init__.py":
        folder = sources[-1].path.parent
        for path in folder.rglob("*"):
            if path.suffix in SUFFIXES:
                yield _Source(path, _dotted(path.relative_to(folder), name))


def _beside(source: _Source, package: str, name: str) -> Iterator[_Source]:
    path = source.path.parent / name
    if ".." not in path.parts and path.is_file():
        yield _Source(path, _dotted(Path(name), package))


def _dotted(inside: Path, package: str) -> str:
    is_module = inside.suffix == ".py" and inside.name != "__init__.py"
    return ".".join([package, *(inside.with_suffix("").parts if is_module else inside.parent.parts)])


@functools.cache
def _root(name: str) -> ModuleSpec | None:
    return importlib.util.find_spec(name)


def _label(source: _Source) -> str:
    """A file's path inside edgekd; one of another package keeps that package's name in front."""
    root = source.module.partition(".")[0]
    spec = _root(root)
    if spec is None or not spec.submodule_search_locations:
        return source.path.name
    inside = source.path.relative_to(spec.submodule_search_locations[0]).as_posix()
    return inside if root == EDGEKD else f"{root}/{inside}"
