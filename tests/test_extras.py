from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from edgekd.extras import EXTRAS, MODULES, install_command, missing
from tests.cli.test_before import PIPELINE
from tests.command import REPOSITORY, Place, place_with


def test_the_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {extra: sorted(re.split(r"[<>=]", each)[0] for each in lines) for extra, lines in declared.items()}
    assert {extra: sorted(each) for extra, each in EXTRAS.items()} == {extra: names[extra] for extra in EXTRAS}


def test_a_module_is_found_in_its_extra() -> None:
    assert install_command("torch.nn") == "python -m pip install 'edgekd[train]'"
    assert install_command("PIL") == "python -m pip install 'edgekd[train]'"
    assert install_command("optuna") == "python -m pip install 'edgekd[select]'"
    assert install_command("numpy") is None
    assert not missing("torch")
    assert set(MODULES) <= {each for distributions in EXTRAS.values() for each in distributions}


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert missing("scikit-learn") == "python -m pip install 'edgekd[train]'"
    assert missing("numpy") is None


def without(folder: Path, module: str) -> Place:
    """A place in which Python finds no such module."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {module!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
    )
    here = place_with(folder, PIPELINE)
    here.environment["PYTHONPATH"] = ":".join([str(folder), str(REPOSITORY)])
    return here


@pytest.mark.parametrize("arguments", [("run", "p.yaml"), ("list", "layers", "p.yaml")], ids=["run", "list"])
def test_a_missing_extra_is_one_line_with_the_command_that_installs_it(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = without(tmp_path, "torch").edgekd(*arguments)
    assert done.returncode == 2, done.stderr
    *before, line, hint = done.stderr.splitlines()
    assert line.endswith("torch, which is not installed")
    assert hint == "hint: python -m pip install 'edgekd[train]'"
    assert arguments[0] == "list" or not before, "nothing was done before"
