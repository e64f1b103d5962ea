"""What a source names: the modules that it imports, and its strings. Nothing of it is run.

To parse edgekd whole takes half a second, more than all else that a cached run does; so what was found is remembered
by the source's content, in one file of the user's cache, of which nothing is lost when it goes.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from edgekd.memory import keep, recall

FILE = "mentions.json"
MOST_REMEMBERED = 4000
"""Sources; beyond it, the file is begun anew."""
LONGEST_TEXT = 200
"""Characters of a string that may be a name."""
PARSING = threading.Lock()
"""CPython 3.11 fails at random (SystemError) when two threads make syntax trees at once, as the lanes of a run do."""


@dataclass(frozen=True)
class Mentions:
    """imports: absolute dotted names, of `from a import b` both `a` and `a.b`; texts: strings that could be a name,
    for they have no blank and are short."""

    imports: frozenset[str]
    texts: frozenset[str]


def mentions(content: bytes, package: str) -> Mentions:
    """What a source names; `package`: what its relative imports start from.

    Raises:
        SyntaxError: it is no Python.
    """
    key = hashlib.sha256(package.encode() + b"\0" + content).hexdigest()[:32]
    with PARSING:
        found = _remembered().get(key)
        if found is None:
            found = _remembered()[key] = _parsed(content, package)
            _new.append(key)
    return found


def remember() -> None:
    """Keeps what was parsed since the last time for later processes, where the cache folder lets it."""
    with PARSING:
        if not _new:
            return
        _new.clear()
        known = {key: [sorted(each.imports), sorted(each.texts)] for key, each in _remembered().items()}
        keep(FILE, {"reader": _reader(), "known": known})


_new: list[str] = []


@functools.cache
def _remembered() -> dict[str, Mentions]:
    """What earlier processes kept; empty where they kept nothing that can be read, or it was read in another way."""
    try:
        kept = recall(FILE)
        if kept["reader"] != _reader() or len(kept["known"]) > MOST_REMEMBERED:
            return {}
        return {
            key: Mentions(frozenset(map(str, imports)), frozenset(map(str, texts)))
            for key, (imports, texts) in kept["known"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


@functools.cache
def _reader() -> str:
    """The version of this file, so that what another one found does not count."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def _parsed(content: bytes, package: str) -> Mentions:
    imports: set[str] = set()
    texts: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(content)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _for_type_checkers(node.test):
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node.module, node.level, package)
            imports.update(f"{base}.{alias.name}".lstrip(".") for alias in node.names)
            imports.add(base)
        elif (called := _imported_by_call(node, package)) is not None:
            imports.add(called)
            waiting.extend(ast.iter_child_nodes(node))
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and len(node.value) <= LONGEST_TEXT and len(node.value.split()) == 1:
                texts.add(node.value)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return Mentions(frozenset(imports - {""}), frozenset(texts))


def _imported_by_call(node: ast.AST, package: str) -> str | None:
    """The module of `import_module("name")`, `importlib.import_module(".name", __package__)`, `__import__("name")`."""
    if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
        return None
    function, name = node.func, node.args[0].value
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called not in ("import_module", "__import__") or not isinstance(name, str):
        return None
    level = len(name) - len(name.lstrip("."))
    return _base(name[level:] or None, level, package)


def _for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def _base(module: str | None, level: int, package: str) -> str:
    """The absolute name of a module, from as many packages up as its name has dots in front."""
    if level == 0:
        return module or ""
    parts = package.split(".")
    above = parts[: len(parts) - (level - 1)]
    return ".".join([*above, *([module] if module else [])]).lstrip(".")
