from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.errors import ConfigError
from edgekd.training.losses.projectors import projector


@pytest.mark.parametrize(
    ("student", "teacher", "kind"),
    [
        ((4, 8, 8), (6, 8, 8), "Conv2d 1"),
        ((4, 7, 7), (6, 4, 4), "Conv2d 3"),
        ((4, 8, 6), (6, 4, 3), "Conv2d 3"),
        ((4, 4, 5), (6, 8, 10), "ConvTranspose2d 4"),
        ((4, 1, 1), (6, 1, 1), "Conv2d 1"),
    ],
)
def test_a_projector_gives_the_teachers_form(student: tuple[int, ...], teacher: tuple[int, ...], kind: str) -> None:
    made = projector(student, teacher)
    assert tuple(made(torch.randn(3, *student)).shape) == (3, *teacher)
    (first,) = (each for each in made.modules() if isinstance(each, (nn.Conv2d, nn.ConvTranspose2d)))
    assert f"{type(first).__name__} {first.kernel_size[0]}" == kind
    assert first.bias is None  # batch norm follows, which would take it out


@pytest.mark.parametrize("shapes", [((4, 8, 8), (16,)), ((16,), (4, 8, 8)), ((4, 8), (4, 8))])
def test_layers_that_cannot_be_compared_are_refused_with_their_shapes(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    with pytest.raises(ConfigError, match="a layer of shape .* cannot be projected") as error:
        projector(*shapes)
    assert str(shapes[0]) in error.value.what
    assert str(shapes[1]) in error.value.what
