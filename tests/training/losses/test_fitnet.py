from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.training.lesson import Answers, Lesson
from edgekd.training.losses.base import Term

from .conftest import LAYER, VALUES, built, lesson, loss, tensor


def hinted(student: torch.Tensor, *teachers: torch.Tensor) -> Lesson:
    given = lesson()
    return Lesson(
        batch=given.batch,
        student=Answers(given.student.logits, {LAYER: student}),
        teachers={f"t{number}": Answers(given.student.logits, {LAYER: each}) for number, each in enumerate(teachers)},
        progress=0.0,
    )


def worth(term: Term, given: Lesson) -> float:
    return float(term(given).detach())


def as_it_is(term: object) -> None:
    """Makes the projector of vectors the identity."""
    assert isinstance(term, nn.Module)
    for linear in (each for each in term.modules() if isinstance(each, nn.Linear)):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)


def test_behind_a_projector_that_changes_nothing_it_has_the_published_value() -> None:
    given = hinted(tensor("fs").flatten(1), tensor("ft").flatten(1))
    term = built(loss("fitnet"), given=given)
    as_it_is(term)
    assert worth(term, given) == pytest.approx(VALUES["fitnet_mse"], rel=1e-12)


def test_every_teacher_has_its_own_projector_and_counts_the_same() -> None:
    wide = torch.cat([tensor("ft").flatten(1)] * 2, dim=1)
    given = hinted(tensor("fs").flatten(1), tensor("ft").flatten(1), wide)
    term = built(loss("fitnet"), given=given)
    assert isinstance(term, nn.Module)
    sizes = [each.out_features for each in term.modules() if isinstance(each, nn.Linear)]
    assert sizes == [8, 16]
    alone = [built(loss("fitnet", network=name), given=given, seed=0) for name in given.teachers]
    linears = [each for each in term.modules() if isinstance(each, nn.Linear)]
    for each, linear in zip(alone, linears, strict=True):
        assert isinstance(each, nn.Module)
        (its,) = (found for found in each.modules() if isinstance(found, nn.Linear))
        its.load_state_dict(linear.state_dict())
    assert worth(term, given) == pytest.approx(sum(worth(each, given) for each in alone) / 2)


@pytest.mark.parametrize("sizes", [((4, 5, 5), (6, 12, 12)), ((4, 12, 12), (6, 5, 5)), ((4, 9, 2), (6, 3, 7))])
def test_where_sizes_do_not_fit_the_larger_map_is_averaged_to_the_smaller(
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    mine, theirs = (torch.randn(3, *size, dtype=torch.float64) for size in sizes)
    given = hinted(mine, theirs)
    term = built(loss("fitnet"), given=given)
    height, width = (min(pair) for pair in zip(sizes[0][1:], sizes[1][1:], strict=True))
    pooled = hinted(
        nn.functional.adaptive_avg_pool2d(mine, (height, width)),
        nn.functional.adaptive_avg_pool2d(theirs, (height, width)),
    )
    assert worth(term, given) == pytest.approx(worth(built(loss("fitnet"), given=pooled), pooled), rel=1e-9)


def test_negative_features_can_be_met_exactly() -> None:
    """A projector that ended in a ReLU could not."""
    torch.manual_seed(0)
    features = torch.randn(64, 3, 2, 2)
    given = hinted(features, 2 * features[:, [1, 2, 0]] - 1)
    term = built(loss("fitnet"), given=given)
    assert isinstance(term, nn.Module)
    term.float()
    optimizer = torch.optim.Adam(term.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        value = term(given)
        value.backward()
        optimizer.step()
    assert worth(term, given) < 1e-3
