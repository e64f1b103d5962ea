"""The loss terms against values that were derived elsewhere, in float64."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgekd.config.component import component_class
from edgekd.config.registry import LOSSES
from edgekd.errors import ConfigError
from edgekd.training.losses.base import Batch, Loss
from edgekd.training.losses.custom import UserLoss
from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.objective import objective_from

ORACLE = json.loads((Path(__file__).parents[2] / "oracles" / "losses.json").read_text())
VALUES = ORACLE["values"]


def batch(*, grad: bool = False) -> Batch:
    student = torch.tensor(ORACLE["S"], dtype=torch.float64, requires_grad=grad)
    return Batch(student, torch.tensor(ORACLE["T"], dtype=torch.float64), torch.tensor(ORACLE["y"]))


def loss(use: str, **options: object) -> Loss:
    made = component_class(LOSSES, use).model_validate({"use": use, **options})
    assert isinstance(made, Loss)
    return made


@pytest.mark.parametrize(
    ("term", "temperature", "expected"),
    [
        (loss("cross_entropy"), 4, VALUES["cross_entropy"]),
        (loss("cross_entropy", label_smoothing=0.1), 4, VALUES["label_smoothing_0.1"]),
        (loss("kd"), 1, VALUES["kd_T1"]),
        (loss("kd"), 2, VALUES["kd_T2"]),
        (loss("kd"), 4, VALUES["kd_T4"]),
        (loss("kd"), 20, VALUES["kd_T20"]),
        (loss("kd", temperature=2), 20, VALUES["kd_T2"]),
        (loss("kd"), 1000, VALUES["kd_limit_T_inf"]),
    ],
)
def test_terms_have_the_published_values(term: Loss, temperature: float, expected: float) -> None:
    tolerance = 2e-3 if temperature == 1000 else 1e-9
    assert float(term.build(temperature)(batch())) == pytest.approx(expected, rel=tolerance)


def test_hintons_sum_has_the_published_value_and_reports_each_term() -> None:
    objective = objective_from([loss("cross_entropy", weight=0.1), loss("kd", weight=0.9)], temperature=4)
    total, terms = objective(batch())
    assert float(total) == pytest.approx(VALUES["hinton_total_T4_ce0.1_kd0.9"], rel=1e-9)
    assert float(terms["cross_entropy"]) == pytest.approx(VALUES["cross_entropy"], rel=1e-9)
    assert float(terms["kd"]) == pytest.approx(VALUES["kd_T4"], rel=1e-9)


def test_two_terms_of_one_kind_are_told_apart() -> None:
    objective = objective_from([loss("kd", temperature=1), loss("kd", temperature=2)], temperature=4)
    _, terms = objective(batch())
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"kd": VALUES["kd_T1"], "kd#2": VALUES["kd_T2"]}
    )


@pytest.mark.parametrize("use", LOSSES.members)
def test_gradients_are_those_of_finite_differences(use: str) -> None:
    term = loss(use).build(temperature=3.0)
    given = batch(grad=True)

    def value(student: Tensor) -> Tensor:
        return term(Batch(student, given.teacher, given.labels))

    assert torch.autograd.gradcheck(value, (given.student,))


@pytest.mark.parametrize("use", LOSSES.members)
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_huge_logits_stay_finite_in_float32(use: str, temperature: float) -> None:
    student = torch.tensor([[500.0, -500.0, 0.0], [-500.0, 500.0, 500.0]], requires_grad=True)
    teacher = torch.tensor([[-500.0, 500.0, 0.0], [500.0, -500.0, -500.0]])
    value = loss(use).build(temperature)(Batch(student, teacher, torch.tensor([1, 0])))
    value.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("use", LOSSES.members)
def test_a_batch_twice_is_worth_the_same(use: str) -> None:
    term, once = loss(use).build(4.0), batch()
    assert once.teacher is not None
    twice = Batch(once.student.repeat(2, 1), once.teacher.repeat(2, 1), once.labels.repeat(2))
    assert float(term(twice)) == pytest.approx(float(term(once)), rel=1e-12)


def test_the_student_that_says_what_the_teacher_says_has_no_soft_target_loss() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(soft_target_loss(logits + 7, logits, 4.0)) == pytest.approx(0, abs=1e-12)


def user_loss(tmp_path: Path, code: str, **options: object) -> UserLoss:
    (tmp_path / "mine.py").write_text(code)
    return UserLoss.model_validate({"use": "mine.py:mine", "use_group": "losses", "use_folder": tmp_path, **options})


def test_a_function_of_the_users_is_a_term(tmp_path: Path) -> None:
    code = "def mine(batch, power):\n    return ((batch.student - batch.teacher).abs() ** power).mean()\n"
    objective = objective_from([user_loss(tmp_path, code, power=1, weight=2.0)], temperature=4)
    given = batch()
    assert given.teacher is not None
    total, _ = objective(given)
    assert float(total) == pytest.approx(2 * float((given.student - given.teacher).abs().mean()))


def test_a_module_of_the_users_is_learned_with_the_student(tmp_path: Path) -> None:
    code = """
import torch
class mine(torch.nn.Module):
    def __init__(self, start):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(start))
    def forward(self, batch):
        return (self.scale * batch.student).pow(2).mean()
"""
    objective = objective_from([user_loss(tmp_path, code, start=0.5)], temperature=4)
    (scale,) = objective.parameters()
    objective(batch())[0].backward()
    assert scale.grad is not None
    assert float(scale.grad) > 0


def test_a_term_that_is_no_single_number_is_named(tmp_path: Path) -> None:
    code = "def mine(batch):\n    return batch.student.sum(dim=1)\n"
    with pytest.raises(ConfigError, match=r"the loss mine.py:mine gave \(3,\) instead of one number"):
        objective_from([user_loss(tmp_path, code)], temperature=4)(batch())
