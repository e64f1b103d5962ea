"""Rounding with gradients, against loops over single numbers."""

from __future__ import annotations

import math

import numpy as np
import torch

from edgekd.models.eight_bits.arithmetic import (
    Arithmetic,
    Levels,
    Operation,
    RoundedActivation,
    RoundedBias,
    RoundedWeight,
)
from edgekd.models.eight_bits.network import RANGES_FASTER, EightBitNetwork
from edgekd.models.eight_bits.rounding import rounded_activation, rounded_weight, weight_step


def test_an_activation_is_rounded_half_to_even_and_saturates_and_zero_stays_zero() -> None:
    values = torch.tensor([-9.0, -0.75, -0.25, 0.0, 0.25, 0.75, 1.25, 999.0])

    given = rounded_activation(values, torch.tensor(0.5), zero_point=4, lowest=0, highest=255)

    assert given.tolist() == [-2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 125.5]


def test_the_gradient_of_a_step_is_that_of_lsq() -> None:
    values = torch.tensor([-3.0, -0.3, 0.1, 0.62, 40.0], requires_grad=True)
    step = torch.tensor(0.25, requires_grad=True)

    rounded_activation(values, step, zero_point=2, lowest=0, highest=20).sum().backward()  # type: ignore[no-untyped-call]  # torch gives no type

    expected = 0.0
    for value in values.tolist():
        whole = value / 0.25
        inside = -2 <= whole <= 18
        expected += round(whole) - whole if inside else math.copysign(2 if value < 0 else 18, value)
    assert step.grad is not None
    assert values.grad is not None
    np.testing.assert_allclose(step.grad, expected, rtol=1e-5)
    assert values.grad.tolist() == [0, 1, 1, 1, 0]


def test_the_step_of_a_weight_is_its_largest_number_over_the_largest_level_by_channel() -> None:
    weights = torch.tensor([[0.5, -1.27], [0.0, 0.0], [0.1, 0.03]])

    step = weight_step(weights, axis=0, largest=127)
    given = rounded_weight(weights, step, axis=0)

    np.testing.assert_allclose(step, [0.01, 1.0, 0.1 / 127], rtol=1e-6)  # of nothing, the quantizer's step is 1
    expected = np.array([[0.5, -1.27], [0.0, 0.0], [0.1, round(0.03 * 1270) / 1270]])
    np.testing.assert_allclose(given, expected, rtol=1e-6)
    assert weight_step(weights, axis=None, largest=64).item() == torch.tensor(1.27).div(64).item()


def one_layer() -> Arithmetic:
    """A Gemm of two features: its input in steps of 0.5, its weights in steps of their largest number over 127."""
    return Arithmetic(
        inputs=("x",),
        output="logits",
        operations=(Operation("Gemm", ("x8", "w8", "b8"), ("logits",), {}),),
        constants={"w": np.array([[1.27, 0.1], [-0.5, 0.004]], np.float32), "b": np.array([0.101, 0.0], np.float32)},
        learned=("w", "b"),
        levels={"x": Levels(0.5, 0, 0, 255)},
        activations={"x8": RoundedActivation("x", "x")},
        weights={"w8": RoundedWeight("w", None, 127)},
        biases={"b8": RoundedBias("b", "x", "w8")},
    )


def test_a_layer_is_computed_of_what_is_rounded() -> None:
    network = EightBitNetwork(one_layer())

    given = network(torch.tensor([[1.1, -3.0], [0.7, 2.0]]))

    # 1.1 -> 1.0, -3 -> 0 (no level is below), 0.7 -> 0.5; weights 1.27 0.1 / -0.5 0.0; the bias in steps of 0.005: 0.1
    np.testing.assert_allclose(given.detach(), [[1.27 + 0.1, 0.1], [0.635 - 1.0 + 0.1, 0.05]], atol=1e-6)


def test_weights_biases_and_ranges_are_learned() -> None:
    network = EightBitNetwork(one_layer())
    network(torch.tensor([[1.1, 3.0], [0.7, 200.0]])).square().sum().backward()

    assert all(each.grad is not None and bool(each.grad.abs().sum() > 0) for each in network.parameters())
    assert network.ranges() == {"x": (0.0, 127.5)}
    with torch.no_grad():
        network.stretch.fill_(math.log(2) / RANGES_FASTER)
    np.testing.assert_allclose(network.ranges()["x"], (0.0, 255.0), rtol=1e-6)
    assert sorted(network.constants()) == ["b", "w"]


def test_a_range_that_is_fixed_is_not_learned() -> None:
    network = EightBitNetwork(one_layer(), fixed={"x"})
    with torch.no_grad():
        network.stretch.fill_(math.log(2) / RANGES_FASTER)

    assert network.ranges() == {"x": (0.0, 127.5)}
