"""What comparisons of layers have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.training.losses.parts import agreed, directions, same_size

from .conftest import built, lesson, loss, tensor


def test_a_direction_has_length_one_whatever_the_length() -> None:
    vectors = torch.tensor([[3.0, 4.0], [-3e-15, 4e-15], [3e15, 4e15]])
    expected = torch.tensor([[0.6, 0.8], [-0.6, 0.8], [0.6, 0.8]])
    torch.testing.assert_close(directions(vectors, 1), expected)


def test_no_length_is_no_direction_and_no_gradient() -> None:
    """Of max(length, 1e-12) it is 1e12, and it adds up to noise of that size even where it should cancel."""
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    found = directions(vectors, 1)
    assert torch.equal(found[0], torch.zeros(2))
    (slope,) = torch.autograd.grad(found.sum(), vectors)
    assert torch.equal(slope[0], torch.zeros(2))
    assert torch.isfinite(slope).all()
    assert slope[1].any()


@pytest.mark.parametrize(
    ("mine", "theirs", "size"), [((4, 4), (4, 4), (4, 4)), ((9, 2), (3, 7), (3, 2)), ((8, 6), (4, 3), (4, 3))]
)
def test_maps_are_brought_to_the_smaller_size_on_each_axis(
    mine: tuple[int, int], theirs: tuple[int, int], size: tuple[int, int]
) -> None:
    student, teacher = torch.rand(2, 3, *mine), torch.rand(2, 5, *theirs)
    smaller = same_size(student, teacher)
    assert [tuple(each.shape) for each in smaller] == [(2, 3, *size), (2, 5, *size)]
    if mine == theirs:
        assert smaller[0] is student
        assert smaller[1] is teacher


def test_sizes_that_divide_are_averaged_in_blocks() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    smaller, _ = same_size(maps, torch.zeros(1, 1, 2, 2))
    assert torch.equal(smaller.flatten(), torch.tensor([2.5, 4.5, 10.5, 12.5]))


A = torch.tensor([[2.0, 1.0, 4.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
B = torch.tensor([[0.5, 0.4, 0.3], [5.0, 0.0, -5.0]], dtype=torch.float64)


def test_teachers_that_agree_on_a_mean_give_the_mean_of_their_probabilities() -> None:
    expected = (torch.softmax(A, 1) + torch.softmax(B, 1)) / 2
    torch.testing.assert_close(torch.softmax(agreed([A, B], confident=False), 1), expected)
    torch.testing.assert_close(agreed([A, B], confident=False).exp().sum(1), torch.ones(2, dtype=torch.float64))


def test_the_surer_teacher_counts_more_sample_by_sample() -> None:
    found = torch.softmax(agreed([A, B], confident=True), 1).numpy()
    for row in range(2):
        answers = [np.exp(each[row]) / np.exp(each[row]).sum() for each in (A.numpy(), B.numpy())]
        counts = np.array([np.exp(sum(p * np.log(p) for p in each)) for each in answers])
        np.testing.assert_allclose(found[row], (counts @ answers) / counts.sum())
    assert abs(found[0] - torch.softmax(A[0], 0).numpy()).sum() < abs(found[0] - torch.softmax(B[0], 0).numpy()).sum()
    assert abs(found[1] - torch.softmax(B[1], 0).numpy()).sum() < abs(found[1] - torch.softmax(A[1], 0).numpy()).sum()


def test_answers_that_are_sure_beyond_all_numbers_stay_finite() -> None:
    sure = torch.tensor([[500.0, -500.0, 0.0]])
    for confident in (False, True):
        assert torch.isfinite(agreed([sure, -sure], confident=confident)).all()


@pytest.mark.parametrize("several", ["mean", "confident"])
def test_a_term_may_hear_several_teachers_as_one(several: str) -> None:
    together = built(loss("kd", several=several))(lesson(teachers={"a": tensor("T"), "b": tensor("T").flip(1)}))
    agreement = agreed([tensor("T"), tensor("T").flip(1)], confident=several == "confident")
    assert float(together) == pytest.approx(float(built(loss("kd"))(lesson(teachers={"a": agreement}))))
    each = built(loss("kd"))(lesson(teachers={"a": tensor("T"), "b": tensor("T").flip(1)}))
    assert float(together) != pytest.approx(float(each))


def test_a_term_that_names_a_teacher_hears_its_whole_ensemble_and_no_other() -> None:
    teachers = {"big": tensor("T"), "big.2": tensor("T").flip(1), "bigger": tensor("S")}
    ensemble = {name: teachers[name] for name in ("big", "big.2")}
    found = built(loss("kd", network="big"))(lesson(teachers=teachers))
    assert float(found) == pytest.approx(float(built(loss("kd"))(lesson(teachers=ensemble))))
