"""Which shapes are drawn."""

from __future__ import annotations

import itertools
import json

import pytest

from edgekd.config.fit import ARCHITECTURES, Variation
from edgekd.fit.shape import Shape
from edgekd.fit.space import Space, automatic, defaults, multiples


def drawn(variations: list[Variation], count: int, *, multiple: int = 8, seed: int = 0) -> list[Shape]:
    return list(itertools.islice(Space(variations, multiple, seed), count))


def test_widths_are_multiples_that_differ_by_a_quarter_at_least() -> None:
    assert multiples(4, 64, 8) == [8, 16, 24, 32, 40, 56]
    assert multiples(4, 64, 16) == [16, 32, 48, 64]
    assert multiples(4, 10, 1) == [4, 5, 7, 9]
    assert multiples(4, 8, 64) == [64], "one at least"


@pytest.mark.parametrize("use", ARCHITECTURES)
def test_every_architecture_has_options_that_vary(use: str) -> None:
    assert len(drawn([Variation(use=use)], 12)) == 12
    assert all(len(choices) for choices in defaults(use, 8).values())


def test_equal_seeds_draw_the_same_shapes_and_no_shape_is_drawn_twice() -> None:
    once, again = (drawn(automatic(3), 200, seed=3) for _ in range(2))
    assert once == again
    assert once != drawn(automatic(3), 200, seed=4)
    assert len({json.dumps(each, sort_keys=True) for each in once}) == 200
    assert [each["use"] for each in once[:4]] == ["conv", "ds_cnn", "ds_resnet", "resnet"], "all have their turn"


def test_a_space_that_is_used_up_ends() -> None:
    shapes = drawn([Variation(use="conv", width=[8, 16], depth=[1, 2, 3])], 100)
    assert len(shapes) == 6
    assert {(each["width"], each["depth"]) for each in shapes} == set(itertools.product((8, 16), (1, 2, 3)))


def test_the_users_own_values_are_all_that_varies() -> None:
    space = [Variation(use="mlp", width={"low": 10, "high": 50, "step": 20}, dropout=0.5)]
    assert {json.dumps(each) for each in drawn(space, 9)} == {
        json.dumps({"use": "mlp", "width": width, "dropout": 0.5}) for width in (10, 30, 50)
    }
    assert drawn([Variation(use="own.py:build", wide=[1])], 9) == [{"use": "own.py:build", "wide": 1}]


def test_rows_of_numbers_get_mlps_and_images_convolutions() -> None:
    assert [each.use for each in automatic(1)] == ["mlp"]
    assert "mlp" not in [each.use for each in automatic(3)]
