"""What every term must do that compares answers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.config.component import component_class
from edgekd.config.registry import LOSSES
from edgekd.errors import ConfigError
from edgekd.training.lesson import Lesson, Mixed
from edgekd.training.losses.base import ResponseLoss

from .conftest import built, lesson, loss
from .drawn import Said, example, said

RESPONSES = [name for name in LOSSES.members if issubclass(component_class(LOSSES, name), ResponseLoss)]
LABELLED = {"dkd", "nkd", "rld", "wkd_logits"}
ALWAYS_ABOVE_ZERO = {"nkd", "rld", "wkd_logits"}
"""Where networks that agree are not worth 0: cross-entropies, and a teacher that errs is not to be agreed with."""
OFFSETS_COUNT = {"logit_regression"}
OF_ALL = {"mlkd": {"unsure": 1}}
"""Options with which all samples and classes count."""
RELATIONAL = {"dist", "mlkd", "wkd_logits"}
"""A sample is compared with the others of its batch, or what classes cost follows from them."""


def worth(use: str, given: Lesson, **options: object) -> float:
    return float(built(loss(use, **options), given=given)(given))


@pytest.fixture(params=RESPONSES)
def use(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@given(drawn=said(), use=st.sampled_from(RESPONSES))
def test_it_is_never_negative(drawn: Said, use: str) -> None:
    assert worth(use, drawn.lesson) >= -1e-9


@given(drawn=said(samples=2), use=st.sampled_from(sorted(set(RESPONSES) - ALWAYS_ABOVE_ZERO - {"ttm"})))
def test_the_student_that_says_what_the_teacher_says_has_nothing_to_learn(drawn: Said, use: str) -> None:
    student = drawn.teacher.clone().requires_grad_()
    value = built(loss(use), given=drawn.lesson)(dataclasses.replace(drawn, student=student).lesson)
    (gradient,) = torch.autograd.grad(value, student)
    assert float(value.detach()) == pytest.approx(0, abs=1e-9)
    assert gradient.abs().max() < 1e-7


@given(drawn=said(), use=st.sampled_from(sorted(set(RESPONSES) - OFFSETS_COUNT)), offset=st.floats(-50, 50))
def test_a_number_added_to_all_logits_of_a_network_changes_nothing(drawn: Said, use: str, offset: float) -> None:
    offsets = offset * torch.arange(1.0, 1.0 + len(drawn.labels), dtype=torch.float64)[:, None] / len(drawn.labels)
    moved = dataclasses.replace(drawn, student=drawn.student + offsets, teacher=drawn.teacher - offset)
    assert worth(use, moved.lesson) == pytest.approx(worth(use, drawn.lesson), rel=1e-7, abs=1e-9)


@given(drawn=said(), use=st.sampled_from(RESPONSES), seed=st.integers(0, 2**32))
def test_the_order_of_samples_and_of_classes_does_not_matter(drawn: Said, use: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    samples = torch.randperm(len(drawn.labels), generator=generator)
    classes = torch.randperm(drawn.student.shape[1], generator=generator)
    moved = Said(
        drawn.student[samples][:, classes], drawn.teacher[samples][:, classes], classes.argsort()[drawn.labels[samples]]
    )
    assert worth(use, moved.lesson) == pytest.approx(worth(use, drawn.lesson), rel=1e-7, abs=1e-9)


@given(drawn=said(samples=2), use=st.sampled_from(sorted(set(RESPONSES) - RELATIONAL)))
def test_a_batch_is_worth_the_mean_of_its_samples(drawn: Said, use: str) -> None:
    alone = [
        worth(use, Said(drawn.student[[row]], drawn.teacher[[row]], drawn.labels[[row]]).lesson)
        for row in range(len(drawn.labels))
    ]
    assert worth(use, drawn.lesson) == pytest.approx(sum(alone) / len(alone), rel=1e-7, abs=1e-9)


def test_several_teachers_count_the_same_and_one_can_be_heard_alone(use: str) -> None:
    drawn, other = example(seed=1), example(seed=2)
    both = lesson(student=drawn.student, teachers={"a": drawn.teacher, "b": other.teacher}, labels=drawn.labels)
    alone = [worth(use, both, network=name) for name in ("a", "b")]
    assert alone[0] != pytest.approx(alone[1])
    assert worth(use, both) == pytest.approx(sum(alone) / 2, rel=1e-9)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
        ([0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 0.5, 0.0]),
        ([1.0, 2.0, -1.0, 0.0], [7.0, 7.0, 7.0, 7.0]),
        ([500.0, -500.0, 0.0, 500.0], [500.0, -500.0, 0.0, 500.0]),
        ([500.0, -500.0, -500.0, -500.0], [-500.0, 500.0, 500.0, 499.0]),
    ],
)
def test_alike_samples_and_answers_that_say_nothing_or_too_much_stay_finite(
    use: str, student: list[float], teacher: list[float], samples: int, standardise: bool
) -> None:
    mine = torch.tensor([student] * samples, requires_grad=True)
    given = Said(mine, torch.tensor([teacher] * samples), torch.zeros(samples, dtype=torch.int64)).lesson
    term = built(loss(use, standardise=standardise), given=given)
    value = term.float()(given) if isinstance(term, nn.Module) else term(given)
    (gradient,) = torch.autograd.grad(value, mine)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", sorted(LABELLED - RELATIONAL))
def test_a_mixed_sample_has_both_labels_by_their_share(name: str) -> None:
    drawn = example()
    others, share = drawn.labels.flip(0), torch.linspace(0, 1, len(drawn.labels), dtype=torch.float64)
    given = drawn.lesson
    mixed = dataclasses.replace(given, batch=dataclasses.replace(given.batch, mixed=Mixed(others, share)))
    expected = 0.0
    for row, part in enumerate(share.tolist()):
        for labels, counted in ((drawn.labels, part), (others, 1 - part)):
            alone = Said(drawn.student[[row]], drawn.teacher[[row]], labels[[row]]).lesson
            expected += counted * worth(name, alone) / len(share)
    assert worth(name, mixed) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(LABELLED))
def test_with_two_classes_it_says_that_nothing_is_left_beside_the_right_one(name: str) -> None:
    with pytest.raises(ConfigError, match="of 2 classes one is left"):
        built(loss(name), given=example(classes=2).lesson)


def test_it_learns_what_the_teacher_says(use: str) -> None:
    """Each of them, alone and for long enough, makes the student rank the classes as the teacher does."""
    drawn = example(classes=4, samples=6)
    labels = drawn.teacher.argmax(dim=1)  # a teacher that is right
    student = drawn.student.clone().requires_grad_()
    optimizer = torch.optim.Adam([student], 0.05)
    term = built(loss(use, **OF_ALL.get(use, {})), given=drawn.lesson)
    for _ in range(300):
        optimizer.zero_grad()
        term(Said(student, drawn.teacher, labels).lesson).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert torch.equal(student.detach().argmax(dim=1), labels)
