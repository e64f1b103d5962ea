from __future__ import annotations

import pytest
import torch
from hypothesis import given

from edgekd.training.losses.dkd import decoupled_losses
from edgekd.training.losses.rld import refined_losses

from .conftest import ORACLE, VALUES, built, lesson, loss
from .drawn import Said, divergence, example, said, softmax


@pytest.mark.parametrize(("labels", "name"), [("y", ""), ("y2", "_y2")])
@pytest.mark.parametrize(
    ("options", "value"), [({}, "rld_a1_b8"), ({"beta": 0}, "rld_scd_T1"), ({"alpha": 0, "beta": 1}, "rld_mcd_T4")]
)
def test_it_has_the_published_values(options: dict[str, float], value: str, labels: str, name: str) -> None:
    given = lesson(labels=torch.tensor(ORACLE[labels]))
    assert float(built(loss("rld", **options))(given)) == pytest.approx(VALUES[value + name], rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_probabilities_give_one_sample_at_a_time(seed: int) -> None:
    drawn = example(seed=seed)
    total = 0.0
    for student, teacher, label in drawn.rows:
        p, q = max(softmax(teacher, 2)), softmax(student, 2)[label]
        total += 0.6 * 2**2 * divergence([p, 1 - p], [q, 1 - q]) / 5
        below = [number for number, each in enumerate(teacher) if each < teacher[label]]
        mine, theirs = ([each[number] for number in below] for each in (student, teacher))
        total += 5 * 3**2 * divergence(softmax(theirs, 3), softmax(mine, 3)) / 5
    term = built(loss("rld", alpha=0.6, beta=5, confidence_temperature=2), temperature=3)
    assert float(term(drawn.lesson)) == pytest.approx(total, rel=1e-9)


@given(drawn=said())
def test_a_teacher_that_is_right_decouples(drawn: Said) -> None:
    """With the same temperature in both parts; one that errs does not, which is what the method is for."""
    right = drawn.teacher.argmax(1)
    found = refined_losses(drawn.student, drawn.teacher, right, 3.0, 3.0)
    assert torch.allclose(found, decoupled_losses(drawn.student, drawn.teacher, right, 3.0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("teacher", "label"), [([3.0, 1.0, 2.0, -1.0], 3), ([2.0, 2.0, 2.0, 2.0], 1), ([3.0, 0.0, 5.0, -1.0], 1)]
)
def test_where_no_two_classes_are_strictly_below_the_right_one_only_the_confidence_teaches(
    teacher: list[float], label: int
) -> None:
    student = torch.tensor([[0.5, -1.0, 2.0, 0.0]], requires_grad=True)
    value = refined_losses(student, torch.tensor([teacher]), torch.tensor([label]), 4.0, alpha=0).sum()
    (gradient,) = torch.autograd.grad(value, student)
    assert float(value.detach()) == 0
    assert not gradient.any()


@given(drawn=said())
def test_classes_that_an_erring_teacher_prefers_are_not_compared(drawn: Said) -> None:
    preferred = drawn.teacher >= drawn.teacher.gather(1, drawn.labels[:, None])
    once, moved = (
        refined_losses(student, drawn.teacher, drawn.labels, 4.0, alpha=0)
        for student in (drawn.student, drawn.student + 5 * preferred)
    )
    assert torch.allclose(once, moved, atol=1e-9)


def test_a_student_that_is_right_is_not_drawn_to_the_teachers_error() -> None:
    """Decoupled distillation is smallest where the student errs like its teacher, and this is not."""
    teacher, label = torch.tensor([[4.0, 2.0, 0.0, -1.0]]), torch.tensor([1])
    right = torch.tensor([[2.0, 4.0, 0.0, -1.0]])
    assert float(decoupled_losses(teacher, teacher, label, 4.0)) < float(decoupled_losses(right, teacher, label, 4.0))
    assert float(refined_losses(teacher, teacher, label, 4.0)) > float(refined_losses(right, teacher, label, 4.0))
    assert float(refined_losses(right, teacher, label, 4.0)) == pytest.approx(0, abs=1e-6)
