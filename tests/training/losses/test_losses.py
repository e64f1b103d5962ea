"""The loss terms against values that were derived elsewhere, in float64; and what every registered loss must do."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.config.registry import LOSSES
from edgekd.training.lesson import Answers, Lesson, Shapes
from edgekd.training.losses.base import Loss, TaughtLoss, Term
from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.objective import objective_from
from edgekd.training.temperatures.base import with_temperature

from .conftest import LAYER, VALUES, built, fixed, lesson, loss, shapes_of, tensor


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
        (loss("kd", temperature={"use": "fixed", "value": 2}), 20, VALUES["kd_T2"]),
        (loss("kd"), 1000, VALUES["kd_limit_T_inf"]),
    ],
)
def test_terms_have_the_published_values(term: Loss, temperature: float, expected: float) -> None:
    tolerance = 2e-3 if temperature == 1000 else 1e-9
    assert float(built(term, temperature=temperature)(lesson())) == pytest.approx(expected, rel=tolerance)


def test_hintons_sum_has_the_published_value_and_reports_each_term() -> None:
    losses = with_temperature([loss("cross_entropy", weight=0.1), loss("kd", weight=0.9)], fixed(4))
    total, terms = objective_from(losses, shapes_of(lesson()), seed=0, section="distill")(lesson())
    assert float(total) == pytest.approx(VALUES["hinton_total_T4_ce0.1_kd0.9"], rel=1e-9)
    assert float(terms["cross_entropy"]) == pytest.approx(VALUES["cross_entropy"], rel=1e-9)
    assert float(terms["kd"]) == pytest.approx(VALUES["kd_T4"], rel=1e-9)


def test_two_terms_of_one_kind_are_told_apart() -> None:
    losses = [loss("kd", temperature=1), loss("kd", temperature=2)]
    _, terms = objective_from(losses, shapes_of(lesson()), seed=0, section="distill")(lesson())
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"kd": VALUES["kd_T1"], "kd#2": VALUES["kd_T2"]}
    )


def test_a_temperature_that_moves_is_taken_at_the_lessons_progress() -> None:
    moving = built(loss("kd", temperature={"use": "linear", "start": 1, "end": 4}))
    assert float(moving(lesson(progress=0.0))) == pytest.approx(VALUES["kd_T1"])
    assert float(moving(lesson(progress=1 / 3))) == pytest.approx(VALUES["kd_T2"])
    assert float(moving(lesson(progress=1.0))) == pytest.approx(VALUES["kd_T4"])


def test_several_teachers_are_worth_their_mean_and_teach_the_mean_of_their_probabilities() -> None:
    other = tensor("T").flip(1)
    student = tensor("S").requires_grad_()
    term = built(loss("kd"))
    value = term(lesson(student=student, teachers={"a": tensor("T"), "b": other}))
    alone = [float(term(lesson(teachers={"a": each}))) for each in (tensor("T"), other)]
    assert float(value.detach()) == pytest.approx(sum(alone) / 2)
    (together,) = torch.autograd.grad(value, student)
    mean = (torch.softmax(tensor("T") / 4, 1) + torch.softmax(other / 4, 1)).div(2).log() * 4
    (of_mean,) = torch.autograd.grad(term(lesson(student=student, teachers={"a": mean})), student)
    assert torch.allclose(together, of_mean, atol=1e-12)


def test_a_term_hears_only_the_teacher_that_it_names() -> None:
    given = lesson(teachers={"a": tensor("T").flip(1), "b": tensor("T")})
    assert float(built(loss("kd", network="b"), given=given)(given)) == pytest.approx(VALUES["kd_T4"])


def test_the_student_that_says_what_the_teacher_says_has_no_soft_target_loss() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(soft_target_loss(logits + 7, logits, 4.0)) == pytest.approx(0, abs=1e-12)


# what a batch twice is worth instead of the same
WORTH_TWICE = {
    "sp": 0.5,  # rows of length 1 over twice the samples, and the mean over pairs: as published, it falls as 1 / N
    "pkt": 0.5,  # each row is a distribution over the samples, and the mean is over pairs: the same
}
COUNTS_THE_BATCH = {
    "contrastive": "all others are there twice, of which a sample must be told",
    "srd": "the logarithm of a sum over the batch: twice the batch adds a constant",
}
"""Losses for which a batch twice is worth something else, and why."""

REMEMBERS = {"crd": "its bank moves with every lesson in training mode"}
"""Losses that are worth something else the next time, and why: looked at in eval mode, after a first lesson."""


def still(use: str, *, temperature: float = 4.0) -> Term:
    """The term, such that the same lesson is worth the same again."""
    term = built(loss(use), temperature=temperature)
    if use in REMEMBERS:
        assert isinstance(term, nn.Module)
        term(lesson())
        term.eval()
    return term


@pytest.fixture(params=LOSSES.members)
def use(request: pytest.FixtureRequest) -> str:
    """Each member of the registry."""
    name: str = request.param
    return name


def test_gradients_are_those_of_finite_differences(use: str) -> None:
    term = still(use, temperature=3.0)
    student, features = tensor("S").requires_grad_(), tensor("fs")[:3].requires_grad_()

    def value(student: Tensor, features: Tensor) -> Tensor:
        return term(lesson(student=student, features=features))

    assert torch.autograd.gradcheck(value, (student, features))


def test_the_student_is_taught_through_its_answers_or_the_layer_that_the_term_reads(use: str) -> None:
    student, features = tensor("S").requires_grad_(), tensor("fs")[:3].requires_grad_()
    built(loss(use))(lesson(student=student, features=features)).backward()  # type: ignore[no-untyped-call]
    logits_moved, features_moved = (each.grad is not None and bool(each.grad.any()) for each in (student, features))
    assert features_moved == (LAYER in loss(use).taps.student)
    assert logits_moved or features_moved


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_huge_answers_stay_finite_in_float32(use: str, temperature: float) -> None:
    student = torch.tensor([[500.0, -500.0, 0.0], [-500.0, 500.0, 500.0]], requires_grad=True)
    teacher = torch.tensor([[-500.0, 500.0, 0.0], [500.0, -500.0, -500.0]])
    features = torch.full((2, 2, 2, 2), 500.0)
    given = Lesson(
        batch=dataclasses.replace(lesson().batch, labels=torch.tensor([1, 0]), rows=np.arange(2)),
        student=Answers(student, {LAYER: features.clone().requires_grad_()}),
        teachers={"teacher": Answers(teacher, {LAYER: -features})},
        progress=0.0,
    )
    term = built(loss(use), temperature=temperature, given=given)
    value = term.float()(given) if isinstance(term, nn.Module) else term(given)
    value.backward()
    assert torch.isfinite(value)
    for each in (student, given.student.taps[LAYER]):
        assert each.grad is None or torch.isfinite(each.grad).all()


@pytest.mark.parametrize("case", ["equal", "zeros", "alone"])
def test_what_is_equal_or_zero_or_alone_is_worth_something_finite(use: str, case: str) -> None:
    """Distances of 0, vectors without a direction, and a batch without a spread."""
    whole = lesson()
    count = 1 if case == "alone" else 3
    logits, features = (each[:count].float() * (case != "zeros") for each in (tensor("T"), tensor("ft")))
    mine = whole.student if case == "alone" else Answers(logits, {LAYER: features})
    leaves = [each[:count].float().requires_grad_() for each in (mine.logits, mine.taps[LAYER])]
    given = Lesson(
        batch=dataclasses.replace(whole.batch, labels=whole.batch.labels[:count], rows=np.arange(count)),
        student=Answers(leaves[0], {LAYER: leaves[1]}),
        teachers={"teacher": Answers(logits, {LAYER: features})},
        progress=0.0,
    )
    term = built(loss(use))
    value = term.float()(given) if isinstance(term, nn.Module) else term(given)
    value.backward()
    assert torch.isfinite(value)
    learned = list(term.parameters()) if isinstance(term, nn.Module) else []
    assert all(each.grad is None or torch.isfinite(each.grad).all() for each in (*leaves, *learned))


def test_a_batch_twice_is_worth_the_same(use: str) -> None:
    if use in COUNTS_THE_BATCH:
        pytest.skip(COUNTS_THE_BATCH[use])
    once = lesson()
    term = still(use)

    def repeated(answers: Answers) -> Answers:
        return Answers(
            torch.cat([answers.logits] * 2), {name: torch.cat([each] * 2) for name, each in answers.taps.items()}
        )

    twice = Lesson(
        batch=dataclasses.replace(
            once.batch, labels=torch.cat([once.batch.labels] * 2), rows=np.tile(once.batch.rows, 2)
        ),
        student=repeated(once.student),
        teachers={name: repeated(answers) for name, answers in once.teachers.items()},
        progress=0.0,
    )
    factor = WORTH_TWICE.get(use, 1.0)
    assert float(term(twice).detach()) == pytest.approx(factor * float(term(once).detach()), rel=1e-12)


def test_a_module_has_no_buffer_or_parameter_that_a_checkpoint_would_miss(use: str) -> None:
    """Rebuilt from another seed and filled from the state, it must be worth the same."""
    made = loss(use)
    objectives = [
        objective_from(with_temperature([made], fixed(4)), shapes_of(lesson()), seed, "distill").double()
        for seed in (0, 1)
    ]
    for objective in objectives[:1]:
        objective(lesson())  # moves what has statistics
    objectives[1].load_state_dict(objectives[0].state_dict())
    values = [float(objective.eval()(lesson())[0].detach()) for objective in objectives]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_what_it_starts_from_comes_from_the_seed_alone(use: str) -> None:
    states = []
    for seed, noise in ((0, 1), (0, 2)):
        torch.manual_seed(noise)
        before = torch.random.get_rng_state()
        states.append(objective_from(with_temperature([loss(use)], fixed(4)), shapes_of(lesson()), seed, "distill"))
        assert torch.equal(torch.random.get_rng_state(), before)
    left, right = (each.state_dict() for each in states)
    assert all(torch.equal(each, right[name]) for name, each in left.items())


def test_its_options_are_known_without_torch(use: str) -> None:
    module = LOSSES.members[use].partition(":")[0]
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class LogitDistance(TaughtLoss):
    """All that a new loss takes, beside its line in the registry."""

    power: float = 2.0

    def build(self, shapes: Shapes) -> Term:
        def term(lesson: Lesson) -> Tensor:
            (teacher,) = self.heard(lesson).values()
            return (lesson.student.logits - teacher.logits).abs().pow(self.power).mean()

        return term


def test_a_new_loss_is_one_class_and_one_line_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES.members, "toy", f"{__name__}:LogitDistance")
    assert float(built(loss("toy"))(lesson())) == pytest.approx(VALUES["logit_mse"], rel=1e-9)
    assert float(built(loss("toy", power=1.0))(lesson())) != pytest.approx(VALUES["logit_mse"])
