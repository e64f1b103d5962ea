"""The user's own code, `file.py:callable`: imported with the modules of its folder, and what of it decides results.

The modules of a folder have a namespace of their own, so that two folders may each have a `helper.py`, and nothing of
the user's hides a module that edgekd imports. Inside it an absolute import takes the folder's module first, as when the
file is run by hand; `sys.path` stays as it is.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import NoReturn

from edgekd.closure import closure_of_names
from edgekd.config.boundary import modules_kept, others_code
from edgekd.mentions import Mentions, mentions
from edgekd.records.base import file_digest

NAMESPACE = "edgekd_user_"
NESTED_TOO_DEEPLY = (RecursionError, MemoryError)
"""What Python's parser and its compiler raise of a source that is; there is memory enough."""


def own_code(file: Path) -> dict[str, str]:
    """What a user's file computes with: the digest of each source, by its path.

    Every module of its own folder that it imports, itself or through others, wherever in the code, as `./helper.py`;
    and of edgekd what these import.
    """
    folder = file.parent
    found: dict[str, str] = {}
    of_edgekd: set[str] = set()
    waiting = [(file, "")]
    while waiting:
        path, package = waiting.pop()
        name = f"./{path.relative_to(folder).as_posix()}"
        if name in found:
            continue
        found[name] = file_digest(path)[:16]
        imports = _mentions(path, package).imports
        of_edgekd |= imports
        waiting.extend(source for each in sorted(imports) for source in _own_sources(folder, each))
    return {**closure_of_names(frozenset(of_edgekd)), **dict(sorted(found.items()))}


def import_file(file: Path) -> ModuleType:
    """The user's module.

    Raises:
        ConfigError: it fails on import; with the line of its folder's code that did.
    """
    namespace = _namespace(file.parent)
    name = f"{namespace}.{file.stem.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    loader = OwnLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with others_code(file.name, file, does="cannot be imported"), modules_kept():
            loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class OwnLoader(SourceFileLoader):
    """Loads a module whose imports, also those in its functions, look into its own folder first."""

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {
            **vars(builtins),
            "__import__": _own_import(module.__name__.partition(".")[0]),
        }
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType | None:
        try:
            return super().get_code(fullname)
        except NESTED_TOO_DEEPLY as error:
            raise SyntaxError("nested too deeply", (self.path, 1, None, None)) from error

    def path_stats(self, path: str) -> NoReturn:
        """Refuses, so that no bytecode is kept: it would hide an edit of the same length in the same second."""
        raise OSError(f"no bytecode is kept of {path}")


class OwnFinder(MetaPathFinder):
    """Finds the modules of users' folders, by the names that they have in their namespaces."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        return _finder(path[0]).find_spec(fullname) if fullname.startswith(NAMESPACE) and path else None


FINDER = OwnFinder()


def _own_import(namespace: str) -> Callable[..., ModuleType]:
    """What `import` does in the modules of a namespace."""
    folder = Path(sys.modules[namespace].__path__[0])

    @functools.cache
    def is_own(top: str) -> bool:
        return _own_spec(folder, top) is not None

    def own_import(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the built-in function's own parameters
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not is_own(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{namespace}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{namespace}.{top}"]

    return own_import


def _namespace(folder: Path) -> str:
    """The name of the package that a folder's modules are in."""
    name = f"{NAMESPACE}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    return name


def _own_spec(folder: Path, top: str) -> ModuleSpec | None:
    """The module at the top of a folder, or None when an import of that name means another's.

    A folder without `__init__.py` gives way to whatever is installed under its name, as it does in Python.
    """
    spec = _finder(str(folder)).find_spec(top)
    if spec is not None and spec.origin is None:
        installed = importlib.util.find_spec(top)
        return spec if installed is None or installed.origin is None else None
    return spec


def _own_sources(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """The file behind an imported name and those of the packages around it, each with what its relative imports start
    from; none where the name is not the folder's."""
    top, *rest = name.split(".")
    if top == "*":
        return
    spec = _own_spec(folder, top)
    dotted = top
    while spec is not None:
        is_package = spec.submodule_search_locations is not None
        if spec.origin is not None:
            yield Path(spec.origin), dotted if is_package else dotted.rpartition(".")[0]
        if not is_package or not rest:
            return
        place, part = Path((spec.submodule_search_locations or [""])[0]), rest.pop(0)
        if part == "*":
            for path in sorted(place.rglob("*.py")):
                yield path, ".".join(path.parent.relative_to(folder).parts)
            return
        dotted = f"{dotted}.{part}"
        spec = _finder(str(place)).find_spec(part)


def _finder(folder: str) -> FileFinder:
    """A finder that has cached nothing: a file that was written a moment ago is found."""
    own, compiled = (OwnLoader, [".py"]), (ExtensionFileLoader, EXTENSION_SUFFIXES)
    return FileFinder(folder, compiled, own)


def _mentions(path: Path, package: str) -> Mentions:
    """What a source names; nothing for one that is no Python, for importing it will say so."""
    try:
        return mentions(path.read_bytes(), package) if path.suffix == ".py" else Mentions(frozenset(), frozenset())
    except (SyntaxError, ValueError, *NESTED_TOO_DEEPLY):
        return Mentions(frozenset(), frozenset())


def last_line_of(file: Path, error: BaseException) -> str:
    """file:line of the innermost code of the user's that an error went through."""
    if isinstance(error, SyntaxError) and error.filename:
        path = Path(error.filename)
        if path.is_relative_to(file.parent) and f"./{path.relative_to(file.parent).as_posix()}" in own_code(file):
            return f"{path}:{error.lineno or 1}"
    return own_line(error, f"{_namespace(file.parent)}.") or f"{file}:1"


def last_line(error: BaseException) -> str | None:
    """file:line of the innermost code that an error went through."""
    return own_line(error, "")


def own_line(error: BaseException, inside: str = NAMESPACE) -> str | None:
    """file:line of the innermost code in a namespace of users' that an error went through, if it went through any."""
    where, trace = None, error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).startswith(inside):
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where
