"""The user's own files: each folder's modules are its own, and each one that is imported decides results."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest

from edgekd.config.check import check
from edgekd.config.component import Component, Use, UserComponent
from edgekd.config.section import Section
from edgekd.config.source import Source
from edgekd.config.usercode import import_file, own_code
from edgekd.errors import ConfigError
from tests.command import REPOSITORY


def written(folder: Path, files: dict[str, str]) -> Path:
    """The folder's `mine.py`, once all files are there."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "mine.py"


def imported(folder: Path, files: dict[str, str]) -> ModuleType:
    return import_file(written(folder, files))


EVERYTHING = {
    "a.py": "import b\nfrom pkg.inner.deep import D\nvalue = b.value + D",
    "b.py": "value = 1",
    "late.py": "value = 4",
    "plain/part.py": "value = 8",
    "pkg/__init__.py": "from .side import S",
    "pkg/side.py": "S = 16",
    "pkg/inner/__init__.py": "",
    "pkg/inner/deep.py": "from ..side import S\nfrom .. import inner\nD = S * 2",
    "other.py": "value = 'not imported'",
    "data.csv": "1,2",
}
"""Modules that a file may import, and what it may not notice."""


@pytest.mark.parametrize(
    ("text", "value", "counted"),
    [
        ("value = lambda: 0", 0, set()),
        ("import b\nvalue = lambda: b.value", 1, {"b.py"}),
        ("import b as c\nvalue = lambda: c.value", 1, {"b.py"}),
        ("from b import value as v\nvalue = lambda: v", 1, {"b.py"}),
        ("from .b import value as v\nvalue = lambda: v", 1, {"b.py"}),
        ("from . import b\nvalue = lambda: b.value", 1, {"b.py"}),
        ("import importlib\nvalue = lambda: importlib.import_module('.b', __package__).value", 1, {"b.py"}),
        (
            "from importlib import import_module\nvalue = lambda: import_module('.pkg.side', __package__).S",
            16,
            {"pkg/__init__.py", "pkg/side.py"},
        ),
        ("from b import *\nv = value\nvalue = lambda: v", 1, {"b.py"}),
        ("def value():\n    import late\n    return late.value", 4, {"late.py"}),
        ("def value():\n    from plain.part import value\n    return value", 8, {"plain/part.py"}),
        ("import plain.part\nvalue = lambda: plain.part.value", 8, {"plain/part.py"}),
        ("import pkg\nvalue = lambda: pkg.S", 16, {"pkg/__init__.py", "pkg/side.py"}),
        ("import pkg.side as side\nvalue = lambda: side.S", 16, {"pkg/__init__.py", "pkg/side.py"}),
        ("from pkg import side\nvalue = lambda: side.S", 16, {"pkg/__init__.py", "pkg/side.py"}),
        (
            "import a\nvalue = lambda: a.value",
            33,
            {"a.py", "b.py", "pkg/__init__.py", "pkg/side.py", "pkg/inner/__init__.py", "pkg/inner/deep.py"},
        ),
        ("import typing\nif typing.TYPE_CHECKING:\n    import other\nvalue = lambda: 0", 0, set()),
        ("import json, numpy\nvalue = lambda: json.loads('3')", 3, set()),
    ],
)  # fmt: skip
def test_what_a_file_imports_from_its_folder_works_and_counts(
    tmp_path: Path, text: str, value: int, counted: set[str]
) -> None:
    module = imported(tmp_path, {**EVERYTHING, "mine.py": text})
    assert module.value() == value
    assert set(own_code(tmp_path / "mine.py")) == {f"./{name}" for name in {"mine.py", *counted}}
    for name in counted:  # now edited
        before = own_code(tmp_path / "mine.py")
        (tmp_path / name).write_text("# edited\n" + (tmp_path / name).read_text())
        after = own_code(tmp_path / "mine.py")
        assert {each for each in before if before[each] != after[each]} == {f"./{name}"}


def test_two_folders_with_a_module_of_one_name_each_get_their_own(tmp_path: Path) -> None:
    text = (
        "import helper\ndef now():\n    return helper.value\ndef later():\n    import helper\n    return helper.value"
    )
    folders = [tmp_path / "one", tmp_path / "two"]
    modules = [
        imported(folder, {"mine.py": text, "helper.py": f"value = {number}"}) for number, folder in enumerate(folders)
    ]
    assert [module.now() for module in modules] == [0, 1]
    assert [module.later() for module in modules] == [0, 1], "an import in a function runs long after"
    assert "helper" not in sys.modules
    assert own_code(folders[0] / "mine.py") != own_code(folders[1] / "mine.py")


def test_two_files_of_a_folder_share_what_they_import(tmp_path: Path) -> None:
    first = imported(tmp_path, {"mine.py": "import helper", "yours.py": "import helper, mine", "helper.py": ""})
    second = import_file(tmp_path / "yours.py")
    assert first.helper is second.helper
    assert second.mine is first
    assert import_file(tmp_path / "mine.py") is first


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    module = imported(
        tmp_path, {"mine.py": "import helper\nvalue = 3", "helper.py": "import mine\ndef f(): return mine"}
    )
    assert module.helper.f() is module
    assert set(own_code(tmp_path / "mine.py")) == {"./mine.py", "./helper.py"}


def test_nothing_of_the_users_is_seen_outside_its_folder(tmp_path: Path) -> None:
    path = list(sys.path)
    module = imported(
        tmp_path, {"mine.py": "import colorsys\nimport helper", "colorsys.py": "mine = 1", "helper.py": ""}
    )
    assert module.colorsys.mine == 1, "the folder comes first, as when the file is run by hand"
    assert importlib.import_module("colorsys").rgb_to_hsv is not None
    assert sys.path == path
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("helper")


def test_a_folder_without_init_gives_way_to_what_is_installed(tmp_path: Path) -> None:
    module = imported(tmp_path, {"mine.py": "import numpy\nvalue = numpy.float32(1)", "numpy/notes.py": ""})
    assert module.value == 1
    assert set(own_code(tmp_path / "mine.py")) == {"./mine.py"}


def test_what_a_file_imports_of_edgekd_counts(tmp_path: Path) -> None:
    text = "import helper\n"
    code = own_code(written(tmp_path, {"mine.py": text, "helper.py": "from edgekd.records.base import digest"}))
    assert set(code) == {"./mine.py", "./helper.py", "records/__init__.py", "records/base.py"}


@pytest.mark.parametrize(
    ("mine", "helper", "where", "what"),
    [
        ("x = 1\nx = y", "", "mine.py:2", "NameError: name 'y' is not defined"),
        ("x = 1\nx = (", "", "mine.py:2", "SyntaxError: '(' was never closed"),
        ("\n\nimport helper", "x = 1\nx = y", "helper.py:2", "NameError: name 'y' is not defined"),
        ("import helper", "x = 1\n\nx = (", "helper.py:3", "SyntaxError: '(' was never closed"),
        ("import helper\nhelper.f()", "def f():\n    raise ValueError('no')", "helper.py:2", "ValueError: no"),
        ("import helper", "\nimport json\njson.loads('{')", "helper.py:3", "JSONDecodeError: Expecting property name"),
        ("\nimport no_such_thing", "", "mine.py:2", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("\nimport helper.x", "", "mine.py:2", "ModuleNotFoundError: No module named"),
        ("x = '\0'", "", "mine.py:1", "source code string cannot contain null bytes"),
        ("x = " + "-" * 20_000 + "1", "", "mine.py:1", "SyntaxError: nested too deeply"),
        ("import helper", "\nx = 1" + "+1" * 20_000, "helper.py:1", "SyntaxError: nested too deeply"),
    ],
)
def test_an_import_that_fails_is_told_with_its_line(
    tmp_path: Path, mine: str, helper: str, where: str, what: str
) -> None:
    file = written(tmp_path, {"mine.py": mine, "helper.py": helper})
    assert "./mine.py" in own_code(file), "a plan can still be made"
    for _ in range(2):  # a second look finds no half of it
        with pytest.raises(ConfigError, match="cannot be imported") as caught:
            import_file(file)
        assert caught.value.where == f"{tmp_path}/{where}"
        assert what in caught.value.what


@pytest.mark.parametrize(
    "statement", ["sys.modules['json'] = None", "sys.modules.clear()", "del sys.modules[__name__]"]
)
@pytest.mark.parametrize("ending", ["", "\n1 / 0"])
def test_modules_that_an_import_takes_away_come_back(tmp_path: Path, statement: str, ending: str) -> None:
    before = dict(sys.modules)
    with pytest.raises(ConfigError, match="mine.py:3: ") if ending else nullcontext():
        imported(tmp_path, {"mine.py": f"import sys\n{statement}{ending}"})
    assert before.items() <= sys.modules.items()


def test_modules_that_an_installed_package_takes_away_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        tmp_path,
        {
            "installed_losses.py": "import sys\nsys.modules['json'] = None\ndef mine(): ...",
            "installed_losses-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: installed-losses\nVersion: 1",
            "installed_losses-1.dist-info/entry_points.txt": "[edgekd.losses]\nmine = installed_losses:mine",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(sys.modules)
    assert component(tmp_path, "mine").function().__name__ == "mine"
    assert before.items() <= sys.modules.items()


def test_an_edit_of_the_same_length_in_the_same_second_is_seen(tmp_path: Path) -> None:
    file = written(tmp_path, {"mine.py": "import helper\nvalue = helper.value", "helper.py": "value = 1"})
    program = (
        "import sys; from pathlib import Path\n"
        "from edgekd.config.usercode import import_file\n"
        "print(import_file(Path(sys.argv[1])).value)\n"
    )

    def value() -> str:
        argv = [sys.executable, "-c", program, str(file)]
        return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()

    times = (1_700_000_000, 1_700_000_000)
    os.utime(tmp_path / "helper.py", times)
    assert value() == "1"
    (tmp_path / "helper.py").write_text("value = 2")
    os.utime(tmp_path / "helper.py", times)
    assert value() == "2"
    assert not list(tmp_path.rglob("__pycache__"))


def component(folder: Path, use: str, **options: object) -> UserComponent:
    class File(Section):
        loss: Annotated[Component, Use("losses")]

    source = Source(folder / "p.yaml", {"loss": {"use": use, **options}}, {})  # type: ignore[dict-item]
    found = check(File, source).loss
    assert isinstance(found, UserComponent)
    return found


def test_an_edit_of_a_helper_is_another_identity_and_a_moved_folder_is_not(tmp_path: Path) -> None:
    files = {"mine.py": "import helper\ndef term(lesson, gain=1):\n    return gain", "helper.py": "x = 1"}
    for folder in ("here", "there"):
        written(tmp_path / folder, files)
    here = component(tmp_path / "here", "mine.py:term").identity()
    assert component(tmp_path / "there", "mine.py:term").identity() == here
    assert component(tmp_path, "there/mine.py:term").identity() == here
    assert str(tmp_path) not in str(here)
    (tmp_path / "here" / "helper.py").write_text("x = 2")
    assert component(tmp_path / "here", "mine.py:term").identity() != here


def test_every_option_of_the_users_code_counts(tmp_path: Path) -> None:
    written(tmp_path, {"mine.py": "def term(lesson, gain=1):\n    return gain"})
    plain = component(tmp_path, "mine.py:term").identity()
    assert component(tmp_path, "mine.py:term", gain=2).identity() != plain, "one that the callable takes"
    assert component(tmp_path, "mine.py:term", weight=2).identity() != plain, "one that every loss has"
    assert component(tmp_path, "mine.py:term", weight=1).identity() == plain
    assert component(tmp_path, "mine.py:other").identity() != plain


def test_a_callable_is_checked_before_it_is_called(tmp_path: Path) -> None:
    written(
        tmp_path, {"mine.py": "number = 3\ndef term(lesson, *, gain=1):\n    return gain\ndef free(**options): ..."}
    )
    assert component(tmp_path, "mine.py:term", gain=2).function()(None, gain=2) == 2
    assert component(tmp_path, "mine.py:free", anything=2).function()(anything=2) is None
    with pytest.raises(ConfigError, match="takes no option 'gian'") as caught:
        component(tmp_path, "mine.py:term", gian=2).function()
    assert caught.value.hint == "did you mean 'gain'?"
    for name in ("number", "gone"):
        with pytest.raises(ConfigError, match=f"mine.py: no callable named '{name}'"):
            component(tmp_path, f"mine.py:{name}").function()
    with pytest.raises(ConfigError, match="no such file"):
        component(tmp_path, "gone.py:term")


def test_a_file_name_that_is_no_python_name_is_imported(tmp_path: Path) -> None:
    written(tmp_path, {"my-own.v2.py": "import helper\nvalue = helper.value", "helper.py": "value = 3"})
    assert import_file(tmp_path / "my-own.v2.py").value == 3
