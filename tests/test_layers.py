"""Imports point one way; the contracts are in pyproject.toml. What runs on a device finds there what it imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from edgekd.config.registry import MODALITIES
from edgekd.data.modalities.base import source_of
from tests.command import REPOSITORY

PACKAGE = REPOSITORY / "edgekd"
SENT = sorted([*PACKAGE.glob("agent/*.py"), PACKAGE / "devices" / "keeper.py", *PACKAGE.glob("release/device/*.py")])
THERE = {*sys.stdlib_module_names, "numpy", "onnxruntime", "agent"}
"""What programs on a device may import; `agent` is the name of our own package there."""


def test_imports_point_one_way() -> None:
    assert lint_imports(config_filename=str(REPOSITORY / "pyproject.toml")) == EXIT_STATUS_SUCCESS


@pytest.mark.parametrize("path", SENT, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_is_sent_to_a_device_imports_only_what_is_there(path: Path) -> None:
    assert {name for node in ast.walk(parsed(path)) for name in imported(node)} <= THERE


@pytest.mark.parametrize("name", MODALITIES.members)
def test_a_kind_of_input_can_be_loaded_on_a_device(name: str) -> None:
    """Pillow helps where it is there."""
    assert {each for node in that_runs(parsed(source_of(name))) for each in imported(node)} <= {*THERE, "PIL"}


def parsed(path: Path) -> ast.Module:
    """The source, as the oldest Python on a device reads it."""
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def that_runs(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a module but those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from that_runs(child)


def imported(node: ast.AST) -> list[str]:
    """The packages that a statement imports, without those that are named from where it stands."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [str(node.module).partition(".")[0]]
    return []
