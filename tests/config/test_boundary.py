"""Whatever other people's code raises, returns or ends with, and whatever it changes of the process."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from edgekd.config.boundary import others_code
from edgekd.config.usercode import import_file
from edgekd.errors import ConfigError, StageError

ENDINGS = {
    "raise ValueError('no\\nsecond line')": "ValueError: no",
    "raise SystemExit(0)": "SystemExit: 0",
    "import sys; sys.exit()": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "raise BaseException('all')": "BaseException: all",
    "assert False": "AssertionError",
    "1 / 0": "ZeroDivisionError: division by zero",
    "f = lambda: f(); f()": "RecursionError: maximum recursion depth exceeded",
    "class E(Exception):\n        __str__ = lambda self: 1 / 0\n    raise E": "E: (its text cannot be had: ZeroDivisi",
    "import sys\n    class E(Exception):\n        __str__ = lambda self: sys.exit(0)\n    raise E": "E: (its text",
    "class E(KeyboardInterrupt): pass\n    raise E": "E",
    "raise OSError(28, 'No space left on device')": "OSError: [Errno 28] No space left on device",
    "raise StopIteration": "StopIteration",
    "import nothing_of_that_name": "ModuleNotFoundError: No module named 'nothing_of_that_name'",
}


def called(file: Path) -> None:
    load = import_file(file).load
    with others_code("mine.py:load", file):
        load()


@pytest.mark.parametrize("at_import", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_one_line_with_its_place(tmp_path: Path, ending: str, *, at_import: bool) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"def load():\n    {ending}\n" + ("\n\nload()\n" if at_import else ""))
    with pytest.raises(ConfigError) as caught:
        called(file)
    assert str(caught.value).startswith(f"{file}:"), caught.value
    assert str(caught.value).count("\n") == 0
    assert ENDINGS[ending] in str(caught.value)
    assert int(str(caught.value).removeprefix(f"{file}:").partition(":")[0]) >= 2


def test_what_edgekd_says_already_is_not_said_again() -> None:
    with pytest.raises(StageError, match="^known$"), others_code("mine.py:load", None):
        raise StageError("known")


def test_memory_of_the_machine_is_not_the_codes_fault() -> None:
    with pytest.raises(MemoryError), others_code("mine.py:load", None):
        raise MemoryError


def test_the_users_own_ctrl_c_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt), others_code("mine.py:load", None):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_it_changes_of_the_process_is_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> tuple[Any, ...]:
        return os.getcwd(), dict(os.environ), list(sys.path), sys.stdout, list(warnings.filters)  # noqa: PTH109

    before = state()
    with others_code("mine.py:load", None):
        os.chdir(tmp_path)
        os.environ["OMP_NUM_THREADS"] = "99"
        del os.environ["PATH"]
        sys.path.insert(0, str(tmp_path))
        warnings.simplefilter("error")
        print("from own code")
        sys.stdout = sys.stderr
    assert state() == before
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "from own code\n")


def test_what_it_warns_of_in_every_step_is_told_once(recwarn: pytest.WarningsRecorder) -> None:
    warnings.simplefilter("default")
    for _ in range(3):
        with others_code("mine.py:loss", None):
            warnings.warn("again and again", stacklevel=1)
    assert [str(each.message) for each in recwarn] == ["again and again"]


def test_what_it_changes_of_the_libraries_is_put_back() -> None:
    import numpy as np
    import torch

    def state() -> tuple[Any, ...]:
        return (
            *(torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
            *(torch.are_deterministic_algorithms_enabled(), np.geterr(), sys.getrecursionlimit()),
            *(np.get_printoptions(), list(sys.meta_path)),
        )

    before = state()
    with others_code("mine.py:load", None):
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.use_deterministic_algorithms(True)
        torch.set_grad_enabled(False)
        np.seterr(all="raise")
        np.set_printoptions(precision=1)
        sys.meta_path.clear()
        sys.setrecursionlimit(sys.getrecursionlimit() + 100)
    assert state() == before


def test_a_finder_that_a_package_adds_stays() -> None:
    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            del name, path, target

    with others_code("mine.py:load", None):
        sys.meta_path.append(Finder)
    assert sys.meta_path.pop() is Finder


def test_a_signal_that_it_ignores_is_heard_again() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with others_code("mine.py:load", None):
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_folder_that_is_gone_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with others_code("mine.py:load", None):
        pass
