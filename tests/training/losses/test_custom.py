from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edgekd.errors import ConfigError
from edgekd.training.losses.base import Taps
from edgekd.training.losses.custom import UserLoss
from edgekd.training.objective import Objective, objective_from

from .conftest import LAYER, lesson, shapes_of, tensor


def user_loss(tmp_path: Path, code: str, **options: object) -> UserLoss:
    (tmp_path / "mine.py").write_text(code)
    return UserLoss.model_validate({"use": "mine.py:mine", "use_group": "losses", "use_folder": tmp_path, **options})


def objective(loss: UserLoss) -> Objective:
    return objective_from([loss], shapes_of(lesson()), seed=0, section="distill")


def test_a_function_of_the_users_is_a_term(tmp_path: Path) -> None:
    code = """
def mine(lesson, power):
    (teacher,) = lesson.teachers.values()
    return ((lesson.student.logits - teacher.logits).abs() ** power).mean()
"""
    total, terms = objective(user_loss(tmp_path, code, power=1, weight=2.0))(lesson())
    expected = float((tensor("S") - tensor("T")).abs().mean())
    assert float(total) == pytest.approx(2 * expected)
    assert float(terms["mine.py:mine"]) == pytest.approx(expected)


def test_a_module_of_the_users_is_made_once_and_learned_with_the_student(tmp_path: Path) -> None:
    code = """
import torch
class mine(torch.nn.Module):
    made = 0
    def __init__(self, start):
        super().__init__()
        type(self).made += 1
        assert self.made == 1
        self.scale = torch.nn.Parameter(torch.tensor(start))
    def forward(self, lesson):
        return (self.scale * lesson.student.logits).pow(2).mean()
"""
    made = objective(user_loss(tmp_path, code, start=0.5))
    (scale,) = made.parameters()
    for _ in range(2):
        made(lesson())[0].backward()
    assert scale.grad is not None
    assert float(scale.grad) > 0


def test_it_reads_the_layers_that_it_asks_for(tmp_path: Path) -> None:
    code = f"""
def mine(lesson):
    (teacher,) = lesson.teachers.values()
    return (lesson.student.taps[{LAYER!r}] - teacher.taps[{LAYER!r}]).pow(2).mean()
"""
    loss = user_loss(tmp_path, code, student_layers=[LAYER], teacher_layers=[LAYER])
    assert loss.taps == Taps(student=(LAYER,), teacher=(LAYER,))
    assert loss.hears("anybody")
    expected = float((tensor("fs")[:3] - tensor("ft")[:3]).pow(2).mean())
    assert float(objective(loss)(lesson())[0]) == pytest.approx(expected)


def test_it_needs_a_teacher_unless_it_says_that_it_reads_labels_only(tmp_path: Path) -> None:
    code = "def mine(lesson):\n    return lesson.student.logits.pow(2).mean()\n"
    assert user_loss(tmp_path, code).taught
    alone = user_loss(tmp_path, code, labels_only=True)
    assert not alone.taught
    assert not alone.hears("anybody")
    with pytest.raises(ValidationError, match="labels_only and teacher_layers exclude each other"):
        user_loss(tmp_path, code, labels_only=True, teacher_layers=["x"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("lesson.student.logits.sum(dim=1)", r"\(3,\)"),
        ("1.0", "float"),
        ("None", "NoneType"),
        ("lesson.student.logits.sum() * 1j", "a complex number"),
    ],
)
def test_a_term_that_is_no_single_number_is_named(tmp_path: Path, value: str, shown: str) -> None:
    code = f"def mine(lesson):\n    return {value}\n"
    with pytest.raises(ConfigError, match=f"the loss mine.py:mine gave {shown} instead of one number"):
        objective(user_loss(tmp_path, code))(lesson())
