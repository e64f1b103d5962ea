from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from edgekd.config.pipeline import load_pipeline
from edgekd.errors import ConfigError
from edgekd.training.lesson import Answers, Lesson
from edgekd.training.losses.base import Taps
from edgekd.training.losses.review import Review
from edgekd.training.losses.review_kd import context_loss

from .conftest import built, compared, loss, noise

STUDENT = ((2, 8, 8), (3, 4, 4), (4, 2, 2))
TEACHER = ((5, 8, 8), (6, 4, 4), (7, 2, 2))
NAMES = ["shallow", "middle", "deep"]


def maps(shapes: tuple[tuple[int, ...], ...], seed: int, count: int = 3) -> list[Tensor]:
    return [noise(seed + place, count, *shape) for place, shape in enumerate(shapes)]


def reviewed(student: list[Tensor], *teachers: list[Tensor]) -> Lesson:
    plain = compared(student[0])
    return Lesson(
        batch=plain.batch,
        student=Answers(plain.student.logits, dict(zip(NAMES, student, strict=False))),
        teachers={
            f"t{number}": Answers(plain.student.logits, dict(zip(NAMES, each, strict=False)))
            for number, each in enumerate(teachers)
        },
        progress=0.0,
    )


def review(student: tuple[tuple[int, ...], ...] = STUDENT, teacher: tuple[tuple[int, ...], ...] = TEACHER) -> Review:
    torch.manual_seed(0)
    return Review(student, teacher, 4).double()


def pooled(image: NDArray[np.float64], size: int) -> list[float]:
    """Means of the cells of a square image whose side is a multiple of the size."""
    cell = len(image) // size
    return [
        float(np.mean(image[i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]))
        for i in range(size)
        for j in range(size)
    ]


def context_by_hand(student: list[Tensor], teacher: list[Tensor]) -> float:
    total = 0.0
    for mine, theirs in zip(student, teacher, strict=True):
        side = mine.shape[2]
        value, weight, weights = 0.0, 1.0, 0.0
        for size in (side, *(each for each in (4, 2, 1) if each < side)):
            squares = [
                (a - b) ** 2
                for sample in range(len(mine))
                for channel in range(mine.shape[1])
                for a, b in zip(
                    pooled(mine[sample, channel].numpy(), size),
                    pooled(theirs[sample, channel].numpy(), size),
                    strict=True,
                )
            ]
            value += weight * float(np.mean(squares))
            weights += weight
            weight /= 2
        total += value / weights
    return total


def test_the_context_loss_is_the_formula_computed_cell_by_cell() -> None:
    shapes = ((2, 8, 8), (3, 4, 4), (2, 2, 2), (4, 1, 1))
    student, teacher = maps(shapes, 1), maps(shapes, 20)
    assert float(context_loss(student, teacher)) == pytest.approx(context_by_hand(student, teacher), rel=1e-12)


@given(seed=st.integers(0, 2**31), shift=st.floats(-20, 20))
def test_the_context_loss_is_zero_for_equal_maps_and_the_square_of_an_offset(seed: int, shift: float) -> None:
    student = maps(STUDENT, seed)
    assert float(context_loss(student, student)) == 0
    moved = context_loss(student, [each + shift for each in student])
    assert float(moved) == pytest.approx(len(STUDENT) * shift**2, abs=1e-9)


def test_the_context_of_a_map_that_is_no_square_is_averaged_on_each_axis() -> None:
    """Looking at the height alone, the published code blows a width of 1 up to 4."""
    student, teacher = noise(1, 2, 3, 8, 1), noise(2, 2, 3, 8, 1)
    difference = (student - teacher)[..., 0]
    errors = [difference.unflatten(2, (size, -1)).mean(3).pow(2).mean() for size in (8, 4, 2, 1)]  # type: ignore[no-untyped-call]
    shares = [1, 1 / 2, 1 / 4, 1 / 8]
    expected = sum(share * float(error) for share, error in zip(shares, errors, strict=True)) / sum(shares)
    assert float(context_loss([student], [teacher])) == pytest.approx(expected, rel=1e-9)
    assert float(context_loss([student.mT], [teacher.mT])) == pytest.approx(expected, rel=1e-9)


def test_layers_are_fused_from_deep_to_shallow_as_published() -> None:
    made, student = review(), maps(STUDENT, 1)
    deeper: Tensor | None = None
    expected: list[Tensor] = []
    for place in (2, 1, 0):
        weights = dict(made.fusions[place].named_parameters())
        own = functional.conv2d(student[place], weights["enter.0.weight"])
        own = functional.batch_norm(own, None, None, training=True)
        if deeper is not None:
            deeper = deeper.repeat_interleave(2, 2).repeat_interleave(2, 3)  # nearest, to twice the size
            both = torch.cat([own, deeper], 1)
            attention = functional.conv2d(both, weights["attention.0.weight"], weights["attention.0.bias"]).sigmoid()
            own = attention[:, :1] * own + attention[:, 1:] * deeper
        deeper = own
        out = functional.conv2d(own, weights["leave.0.weight"], padding=1)
        expected.insert(0, functional.batch_norm(out, None, None, training=True))
    found = made(student)
    assert [tuple(each.shape[1:]) for each in found] == list(TEACHER)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-9)


def test_deep_layers_of_the_student_learn_from_shallow_ones_of_the_teacher_and_not_the_other_way_round() -> None:
    student = [each.requires_grad_() for each in maps(STUDENT, 1)]
    shallow, _, deep = review()(student)
    reached = torch.autograd.grad(shallow.pow(3).sum(), student, retain_graph=True)
    assert all(each.any() for each in reached)
    reached = torch.autograd.grad(deep.pow(3).sum(), student, allow_unused=True)
    assert [each is not None for each in reached] == [False, False, True]


@pytest.mark.parametrize("teacher", [((5, 4, 4), (6, 3, 5), (7, 1, 1)), ((5, 16, 16), (6, 8, 8), (7, 7, 3))])
def test_where_sizes_differ_the_student_comes_to_the_teachers(teacher: tuple[tuple[int, ...], ...]) -> None:
    found = review(teacher=teacher)(maps(STUDENT, 1))
    assert [tuple(each.shape[1:]) for each in found] == list(teacher)


def test_the_term_is_the_mean_over_teachers_and_each_has_its_own_fusions() -> None:
    given = reviewed(maps(STUDENT, 1), maps(TEACHER, 9), maps(STUDENT, 30))
    made = loss("review_kd", student=NAMES, teacher=NAMES, mid_channels=4)
    assert made.taps == Taps(student=tuple(NAMES), teacher=tuple(NAMES))
    term = built(made, given=given)
    assert isinstance(term, nn.Module)
    reviews = [each for each in term.modules() if isinstance(each, Review)]
    student = list(given.student.taps.values())
    values = [
        float(context_loss(each(student), list(answers.taps.values())).detach())
        for each, answers in zip(reviews, given.teachers.values(), strict=True)
    ]
    assert float(term(given).detach()) == pytest.approx(sum(values) / 2, rel=1e-9)


def test_layers_are_fused_in_the_deepest_ones_channels_unless_said_otherwise() -> None:
    given = reviewed(maps(STUDENT, 1), maps(TEACHER, 9))
    for options, expected in (({}, 4), ({"mid_channels": 9}, 9)):
        term = built(loss("review_kd", student=NAMES, teacher=NAMES, **options), given=given)
        assert isinstance(term, nn.Module)
        first = next(each for each in term.modules() if isinstance(each, nn.Conv2d))
        assert first.out_channels == expected


def test_all_that_it_learns_is_moved_by_the_first_step() -> None:
    given = reviewed(maps(STUDENT, 1), maps(TEACHER, 9))
    term = built(loss("review_kd", student=NAMES, teacher=NAMES), given=given)
    assert isinstance(term, nn.Module)
    term(given).backward()
    assert all(each.grad is not None and each.grad.any() for each in term.parameters())


def test_lists_of_different_lengths_and_empty_ones_are_refused() -> None:
    with pytest.raises(ValidationError, match="student has 2 layers and teacher 1"):
        loss("review_kd", student=NAMES[:2], teacher=NAMES[:1])
    with pytest.raises(ValidationError, match="at least 1 item"):
        loss("review_kd", student=[], teacher=[])


def test_a_file_with_lists_of_different_lengths_is_refused_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text("name: here\ndevice: local\n")
    (tmp_path / "p.yaml").write_text(
        "name: small\ndata: {use: digits, validation: 0.2}\n"
        "teacher: {model: conv, epochs: 1, learning_rate: 1e-3}\nstudent: {model: conv}\n"
        "distill: {epochs: 1, losses: [{use: review_kd, student: [a, b], teacher: [c]}]}\n"
        "quantize: {candidates: [fp32]}\ntargets: [here.yaml]\nrelease: {max_accuracy_drop: 0.02}\n"
    )
    with pytest.raises(ConfigError, match=r"distill\.losses\.0: student has 2 layers and teacher 1"):
        load_pipeline(tmp_path / "p.yaml")


def test_a_vector_among_the_layers_is_refused() -> None:
    given = reviewed(maps(STUDENT[:2], 1), [noise(1, 3, 5, 8, 8), noise(2, 3, 6)])
    with pytest.raises(ConfigError, match=r"a layer of shape \(6,\) gives none"):
        built(loss("review_kd", student=NAMES[:2], teacher=NAMES[:2]), given=given)
