"""Imports point one way; the contracts are in pyproject.toml."""

from __future__ import annotations

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.command import REPOSITORY


def test_imports_point_one_way() -> None:
    assert lint_imports(config_filename=str(REPOSITORY / "pyproject.toml")) == EXIT_STATUS_SUCCESS
