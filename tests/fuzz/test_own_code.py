"""What the long campaign found, each as it was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.errors import EdgekdError
from tests.fuzz.own_code import Case, try_case
from tests.fuzz.place import Place


def case(role: str, statement: str = "pass", gives: str = "", *, at: str = "call", ending: str = "Own") -> Case:
    return Case(role, at, statement, gives, ending, "Own", after=2)


def emptied(folder: Path) -> Place:
    place = Place(folder, folder)
    place.clear()
    return place


REFUSED = {
    "a network that gives a text later": (case("forward", gives="'x'"), "preflight"),
    "a network that gives a mean later": (case("forward", gives="value.mean()"), "preflight"),
    "a network that is scripted": (case("build", gives="torch.jit.script(nn.Linear(4, 2))"), "preflight"),
    "a network without a hash": (case("build", gives="hostile(Net, '__eq__')()"), "preflight"),
    "a network that is not permitted": (case("forward", "boom()", ending="PermissionError(13, 'no')"), "preflight"),
    "weights that end a generator": (
        case("build", gives="hostile(Net, 'parameters')()", ending="GeneratorExit"),
        "train@teacher",
    ),
    "weights that are not permitted": (
        case("build", gives="hostile(Net, 'parameters')()", ending="PermissionError(13, 'no')"),
        "preflight",
    ),
}
ACCEPTED = {
    "NumPy's print options": (case("load", "np.set_printoptions(precision=1)", at="import"), "data"),
    "Python's finders": (case("load", "sys.meta_path.clear()", at="import"), "data"),
}


@pytest.mark.parametrize(("found", "until"), REFUSED.values(), ids=REFUSED)
def test_what_fails_is_told_with_its_file(found: Case, until: str, tmp_path: Path) -> None:
    with pytest.raises(EdgekdError):
        try_case(found, until, emptied(tmp_path))


@pytest.mark.parametrize(("found", "until"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_it_changes_is_gone_afterwards(found: Case, until: str, tmp_path: Path) -> None:
    try_case(found, until, emptied(tmp_path))
