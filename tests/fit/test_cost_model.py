"""The cost of an inference from its operators."""

from __future__ import annotations

import itertools

import numpy as np

from edgekd.fit.cost_model import FOLDS, CostModel, features, fitted, foretold
from edgekd.fit.shape import Network, Operation


def conv(inputs: int, outputs: int, places: int) -> Operation:
    return Operation(
        kind="conv",
        macs=9 * inputs * outputs * places,
        inputs=inputs,
        outputs=outputs,
        places=places,
        taken=inputs * places,
        weights=9 * inputs * outputs,
    )


def networks(count: int, seed: int = 0) -> list[Network]:
    """Stacks of convolutions of random widths and depths."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        widths = [1, *(8 * generator.integers(1, 9, generator.integers(2, 6))).tolist()]
        places = int(generator.integers(10, 500))
        found.append(Network(0, tuple(conv(a, b, places) for a, b in itertools.pairwise(widths))))
    return found


def truth(network: Network) -> float:
    """Known costs: 1 us an operator, 0.5 ns a multiply-add, 2 ns a number read, and 3 us the image's convolution."""
    rest = network.operations[1:]
    return 3 + len(rest) + sum(0.0005 * each.macs + 0.002 * each.taken for each in rest)


def test_known_costs_are_found_again_on_networks_that_were_not_seen() -> None:
    seen, unseen = networks(80), networks(40, seed=1)
    model = fitted(seen, [truth(each) for each in seen])
    errors = [abs(model(each) / truth(each) - 1) for each in unseen]
    assert np.median(errors) < 0.001
    assert max(errors) < 0.02


def test_no_coefficient_is_negative_and_those_of_zero_are_left_out() -> None:
    known = networks(40)
    noisy = [
        truth(each) * factor for each, factor in zip(known, np.random.default_rng(2).normal(1, 0.1, 40), strict=True)
    ]
    assert all(each > 0 for each in fitted(known, noisy).coefficients.values())


def test_channels_that_do_not_fill_a_block_are_features_of_their_own() -> None:
    even, odd = (features(Network(0, (conv(16, outputs, 10),))) for outputs in (32, 24))
    assert "conv: not written in blocks of 16" not in even
    assert odd["conv: not written in blocks of 16"] == 1
    assert odd["conv: multiply-adds in blocks of 16"] == 9 * 16 * 32 * 10, "24 channels are computed as 32"
    assert odd["conv: multiply-adds in blocks of 8"] == 9 * 16 * 24 * 10
    assert "first conv: operators" in features(Network(0, (conv(1, 8, 10),)))


def test_what_is_foretold_comes_from_a_model_that_has_not_seen_it() -> None:
    known = networks(40)
    costs = np.array([truth(each) for each in known])
    told = foretold(known, costs, seed=5)
    order = np.random.default_rng(5).permutation(40)
    for fold in range(FOLDS):
        asked = set(order[fold::FOLDS].tolist())
        others = [number for number in range(40) if number not in asked]
        model = fitted([known[number] for number in others], costs[others])
        np.testing.assert_allclose(
            [told[n] for n in sorted(asked)], [model(known[n]) for n in sorted(asked)], rtol=1e-5
        )


def test_with_few_networks_nothing_is_said() -> None:
    assert len(foretold(networks(19), np.ones(19), seed=0)) == 0


def test_a_feature_that_the_model_has_not_seen_costs_nothing() -> None:
    assert CostModel({"add: operators": 1.0})(Network(0, (conv(8, 8, 10),))) == 0
