"""What every registered teacher must do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.config.component import component_class
from edgekd.config.registry import TEACHERS
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract
from edgekd.teachers.base import Answerer, Teacher, checked_logits

from .conftest import CLASSES, CONTRACT, WEIGHT, expected, feeds, write_onnx


def example(use: str, folder: Path) -> Teacher:
    """One of each kind that answers as `expected`; a new kind needs a line here."""
    options = {
        "onnx": lambda: {"path": write_onnx(folder / "teacher.onnx")},
    }[use]()
    made = component_class(TEACHERS, use).model_validate({"use": use, **options})
    assert isinstance(made, Teacher)
    return made


@pytest.fixture(params=TEACHERS.members)
def teacher(request: pytest.FixtureRequest, tmp_path: Path) -> Teacher:
    return example(request.param, tmp_path)


def test_it_answers_with_one_finite_float32_logit_a_class(teacher: Teacher) -> None:
    answer = teacher.open(CONTRACT)(feeds())
    assert answer.dtype == np.float32
    assert answer.shape == (5, CLASSES)
    assert answer == pytest.approx(expected(feeds()), abs=1e-5)


def test_it_says_the_same_to_a_sample_whatever_batch_it_is_in(teacher: Teacher) -> None:
    answerer, given = teacher.open(CONTRACT), feeds()
    parts = [answerer({name: each[row : row + 1] for name, each in given.items()}) for row in range(5)]
    assert np.concatenate(parts) == pytest.approx(answerer(given), abs=1e-5)
    assert np.array_equal(answerer(given), answerer(given))


def test_it_leaves_what_it_is_fed_as_it_was(teacher: Teacher) -> None:
    given = feeds()
    teacher.open(CONTRACT)(given)
    assert np.array_equal(given["image"], feeds()["image"])


def test_one_that_gives_another_number_of_classes_is_refused(teacher: Teacher) -> None:
    more = CONTRACT.model_copy(update={"classes": ("a", "b", "c", "d", "e")})
    with pytest.raises(ConfigError, match="5"):
        teacher.open(more)(feeds())


@pytest.mark.parametrize("use", TEACHERS.members)
def test_its_identity_names_no_place(use: str, tmp_path: Path) -> None:
    identities = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        identities.append(example(use, folder).identity())
    assert identities[0] == identities[1]


@pytest.mark.parametrize("use", TEACHERS.members)
def test_its_options_are_known_without_any_ml_library(use: str) -> None:
    module = TEACHERS.members[use].partition(":")[0]
    program = f"import sys, {module}; sys.exit(bool({{'torch', 'onnx', 'onnxruntime'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class Linear(Teacher):
    """All that a new kind of teacher takes, beside its line in the registry."""

    factor: float

    def open(self, contract: ModelContract) -> Answerer:
        return lambda feeds: checked_logits(self.factor * expected(feeds), len(feeds["image"]), CLASSES, self.use)


def test_a_new_kind_is_one_class_and_one_line_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEACHERS.members, "linear", f"{__name__}:Linear")
    made = component_class(TEACHERS, "linear").model_validate({"use": "linear", "factor": 2})
    assert isinstance(made, Teacher)
    answer = made.open(CONTRACT)(feeds())
    assert answer == pytest.approx(2 * feeds()["image"].reshape(5, -1) @ WEIGHT, abs=1e-5)
    assert made.model_file is None
