from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from edgekd.errors import ConfigError
from edgekd.training.lesson import Lesson
from edgekd.training.losses.contrast import Contrast
from edgekd.training.losses.crd import nce_loss

from .conftest import built, compared, loss, noise, shapes_of

SAMPLES = 9


def contrast(samples: int = SAMPLES, seed: int = 0, **options: object) -> Contrast:
    """In float64, from maps of 2 channels to vectors of 3."""
    torch.manual_seed(seed)
    settings = {"dimensions": 4, "negatives": 1024, "temperature": 0.07, "momentum": 0.5, **options}
    return Contrast(2, 3, samples, **settings).double()  # type: ignore[arg-type]


def shown(rows: list[int], seed: int = 1) -> Lesson:
    given = compared(noise(seed, len(rows), 2, 3, 3), noise(seed + 1, len(rows), 3))
    return dataclasses.replace(given, batch=dataclasses.replace(given.batch, rows=np.array(rows)))


def worth(term: Contrast, given: Lesson) -> Tensor:
    (teacher,) = given.teachers.values()
    return term(given.student.taps["layer"], teacher.taps["layer"], given)  # type: ignore[no-any-return]


def unit(
    vectors: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def by_hand(term: Contrast, given: Lesson, temperature: float) -> tuple[float, list[float]]:
    """The first lesson with all others as negatives, and both constants Z."""
    rows = given.batch.rows
    (teacher,) = given.teachers.values()
    inputs = given.student.taps["layer"].mean((2, 3)).detach().numpy(), teacher.taps["layer"].numpy()
    embeddings = [
        unit(each @ part.weight.detach().numpy().T + part.bias.detach().numpy())
        for each, part in zip(inputs, (term.student, term.teacher), strict=True)
    ]
    total, constants = 0.0, []
    for anchors, bank in zip(embeddings, (term.teacher_bank.numpy(), term.student_bank.numpy()), strict=True):
        samples = len(bank)
        scores = [[math.exp(anchor @ bank[j] / temperature) for j in range(samples)] for anchor in anchors]
        normaliser = float(np.mean(scores)) * samples
        constants.append(normaliser)
        noise_mass = (samples - 1) / samples
        for row, own in zip(rows, scores, strict=True):
            for j, score in enumerate(own):
                p = score / normaliser
                total -= math.log((p if j == row else noise_mass) / (p + noise_mass)) / len(rows)
    return total, constants


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_a_first_lesson_is_worth_the_formula_computed_pair_by_pair(temperature: float) -> None:
    term, given = contrast(temperature=temperature), shown([4, 0, 8, 3])
    expected, constants = by_hand(term, given, temperature)
    assert float(worth(term, given).detach()) == pytest.approx(expected, rel=1e-9)
    found = [float(each.exp()) for each in (term.student_log_normaliser, term.teacher_log_normaliser)]
    assert found == pytest.approx(constants, rel=1e-9)


def test_the_constants_are_those_of_the_first_batch_for_good() -> None:
    term = contrast()
    worth(term, shown([1, 2]))
    before = term.student_log_normaliser.clone()
    worth(term, shown([3, 4], seed=7))
    assert torch.equal(before, term.student_log_normaliser)


def test_the_bank_moves_by_momentum_for_the_samples_shown_alone_and_stays_on_the_sphere() -> None:
    term, given = contrast(momentum=0.75), shown([4, 0])
    before = term.student_bank.numpy().copy()
    latest = given.student.taps["layer"].mean((2, 3)).numpy()
    latest = unit(latest @ term.student.weight.detach().numpy().T + term.student.bias.detach().numpy())
    worth(term, given)
    expected = before.copy()
    expected[[4, 0]] = unit(0.75 * before[[4, 0]] + 0.25 * latest)
    assert term.student_bank.numpy() == pytest.approx(expected, rel=1e-12)
    assert np.linalg.norm(term.teacher_bank.numpy()[[4, 0]], axis=1) == pytest.approx([1, 1])


def test_no_gradient_reaches_the_bank_and_one_lesson_does_not_hang_on_the_one_before() -> None:
    term = contrast()
    for rows in ([0, 1, 2], [2, 3, 4], [0, 1, 2]):
        worth(term, shown(rows)).backward()  # type: ignore[no-untyped-call]
    assert not any(each.requires_grad for each in term.buffers())
    assert all(each.grad is not None and each.grad.any() for each in term.parameters())


def test_in_eval_mode_nothing_moves() -> None:
    term = contrast().eval()
    before = copy.deepcopy(term.state_dict())
    assert torch.isfinite(worth(term, shown([1, 2])))
    assert all(torch.equal(each, before[name]) for name, each in term.state_dict().items())


def test_the_bank_and_the_constants_are_in_the_state_and_lead_on_to_the_same() -> None:
    term, other = contrast(), contrast(seed=1)
    worth(term, shown([1, 2]))
    other.load_state_dict(term.state_dict())
    values = [float(worth(each, shown([2, 3], seed=5)).detach()) for each in (term, other)]
    assert values[0] == values[1]
    sizes = {name: tuple(each.shape) for name, each in term.named_buffers()}
    assert sizes["student_bank"] == sizes["teacher_bank"] == (SAMPLES, 4)


def test_draws_come_from_the_seed_and_are_even() -> None:
    term, draws = contrast(negatives=5), []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(torch.stack([term._drawn() for _ in range(900)]))
    assert torch.equal(*draws)
    assert all(len(set(each)) == 5 for each in draws[0].tolist())
    counts = np.bincount(draws[0].flatten().numpy(), minlength=SAMPLES)
    assert counts == pytest.approx([500] * SAMPLES, rel=0.2)


def test_a_sample_is_not_told_from_itself() -> None:
    """Its own row is among the rows of the step for all of these."""
    term, given = contrast(samples=5), shown([0, 1, 2])
    expected, _ = by_hand(term, given, 0.07)
    assert float(worth(term, given).detach()) == pytest.approx(expected, rel=1e-9)


def test_what_is_drawn_is_worth_the_formula_too() -> None:
    term, given = contrast(negatives=4, temperature=1.0).eval(), shown([4, 0, 8])
    term.student_log_normaliser.fill_(math.log(11.0))
    term.teacher_log_normaliser.fill_(math.log(11.0))
    torch.manual_seed(5)
    drawn = term._drawn().tolist()
    assert set(drawn) & {4, 0, 8}
    torch.manual_seed(5)
    value = float(worth(term, given).detach())
    (teacher,) = given.teachers.values()
    anchors = [
        unit(part(each).detach().numpy())
        for part, each in ((term.student, given.student.taps["layer"]), (term.teacher, teacher.taps["layer"]))
    ]
    expected = 0.0
    for embeddings, bank in zip(anchors, (term.teacher_bank.numpy(), term.student_bank.numpy()), strict=True):
        for row, anchor in zip((4, 0, 8), embeddings, strict=True):
            p = [math.exp(anchor @ each) / 11 for each in bank]
            c = 4 / SAMPLES
            expected -= math.log(p[row] / (p[row] + c)) / 3
            expected -= sum(math.log(c / (p[j] + c)) for j in drawn if j != row) / 3
    assert value == pytest.approx(expected, rel=1e-9)


def test_where_there_are_no_more_others_than_asked_for_none_is_drawn() -> None:
    term = contrast(negatives=8)
    state = torch.random.get_rng_state()
    assert term._drawn().tolist() == list(range(SAMPLES))
    assert torch.equal(torch.random.get_rng_state(), state)


@given(seed=st.integers(0, 2**31), size=st.sampled_from([1.0, 100.0, 1e4]))
def test_it_is_computed_in_logarithms(seed: int, size: float) -> None:
    """As published, exp(score) overflows, and the term is not a number."""
    scores = (size * noise(seed, 3, 6)).float().requires_grad_()
    value = nce_loss(scores, scores.detach().logsumexp(dim=(0, 1)), 0.5)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) >= 0
    assert torch.isfinite(value)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


@given(seed=st.integers(0, 2**31))
def test_a_nearer_positive_and_farther_negatives_are_worth_less(seed: int) -> None:
    scores = noise(seed, 3, 6)
    shift = torch.zeros_like(scores)
    shift[:, 0], shift[:, 1:] = 0.5, -0.5
    normaliser = torch.tensor(1.0)
    assert float(nce_loss(scores + shift, normaliser, 0.5)) < float(nce_loss(scores, normaliser, 0.5))


def test_with_its_options_as_published_it_learns_to_tell_samples_apart() -> None:
    given = compared(noise(1, SAMPLES, 12), noise(2, SAMPLES, 12))
    torch.manual_seed(0)
    term = Contrast(12, 12, SAMPLES, dimensions=128, negatives=1024, temperature=0.07, momentum=0.5).double()
    optimizer = torch.optim.Adam(term.parameters(), 0.02)
    values = []
    for _ in range(150):
        optimizer.zero_grad()
        value = worth(term, given)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]
    nearest = (term.student_bank @ term.teacher_bank.T).argmax(1)
    assert nearest.tolist() == list(range(SAMPLES))


def test_a_single_training_sample_is_refused() -> None:
    given = compared(noise(0, 1, 2), noise(1, 1, 3))
    with pytest.raises(ConfigError, match="no other sample"):
        built(loss("crd"), given=given)
    loss("crd").build(dataclasses.replace(shapes_of(given), samples=2))


def test_both_views_of_a_sample_move_its_row_one_after_the_other_and_neither_is_told_from_it() -> None:
    term = contrast(momentum=0.75)
    given = shown([4, 4, 0, 0])
    given = dataclasses.replace(given, batch=dataclasses.replace(given.batch, looks=2))
    expected_worth, _ = by_hand(term, given, 0.07)
    before = term.student_bank.numpy().copy()
    latest = given.student.taps["layer"].mean((2, 3)).numpy()
    latest = unit(latest @ term.student.weight.detach().numpy().T + term.student.bias.detach().numpy())
    assert float(worth(term, given).detach()) == pytest.approx(expected_worth, rel=1e-9)
    expected = before.copy()
    for look in (0, 1):
        expected[[4, 0]] = unit(0.75 * expected[[4, 0]] + 0.25 * latest[look::2])
    assert term.student_bank.numpy() == pytest.approx(expected, rel=1e-12)
