"""What comparisons of layers have in common."""

from __future__ import annotations

import pytest
import torch

from edgekd.training.losses.layers import directions, same_size


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
