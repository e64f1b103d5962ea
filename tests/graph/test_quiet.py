from __future__ import annotations

import logging
import sys
import warnings

import pytest

from edgekd.graph.quiet import quiet


def talk() -> None:
    print("printed")
    print("printed", file=sys.stderr)
    warnings.warn("warned", stacklevel=1)
    logging.getLogger("a.library").critical("logged")


def test_nothing_is_said_inside_and_everything_again_outside(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with quiet(), warnings.catch_warnings(record=True) as warned:
        talk()
    inside = (capfd.readouterr(), caplog.messages[:], [str(each.message) for each in warned])
    with pytest.warns(UserWarning, match="warned"):
        talk()

    assert inside[:2] == (("", ""), [])
    assert capfd.readouterr() == ("printed\n", "printed\n")
    assert caplog.messages == ["logged"]


def test_what_was_raised_inside_passes_and_ends_the_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), quiet():
        raise ValueError("broken")
    print("printed")

    assert capfd.readouterr().out == "printed\n"
    assert logging.root.manager.disable < logging.CRITICAL
