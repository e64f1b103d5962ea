from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekd.training.optimizers.base import set_learning_rate

from .conftest import CLASSES, OPTIONS, copies, give_gradients, method, network, parameters, part


def test_its_steps_are_those_of_the_paper_in_float64() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, with the schedule's learning rate as factor of the decay too."""
    model, objective = network(), part()
    optimizer = method("adamw").build(model, objective, OPTIONS, classes=CLASSES)
    learned = parameters(model, objective)
    expected = [each.double().numpy() for each in copies(learned)]
    first = [np.zeros_like(each) for each in expected]
    second = [np.zeros_like(each) for each in expected]
    for step in range(1, 6):
        rate = 0.01 / step
        set_learning_rate(optimizer, rate)
        give_gradients(learned, step)
        for index, each in enumerate(learned):
            assert each.grad is not None
            gradient = each.grad.double().numpy()
            first[index] = 0.9 * first[index] + 0.1 * gradient
            second[index] = 0.999 * second[index] + 0.001 * gradient**2
            mean, spread = first[index] / (1 - 0.9**step), second[index] / (1 - 0.999**step)
            decay = 0.1 if each.ndim > 1 else 0.0
            expected[index] -= rate * (mean / (np.sqrt(spread) + 1e-8) + decay * expected[index])
        optimizer.step()
    for each, wanted in zip(learned, expected, strict=True):
        np.testing.assert_allclose(each.detach().numpy(), wanted, rtol=1e-5, atol=1e-7)


def test_the_fused_step_is_the_plain_one_to_rounding() -> None:
    """What edgekd 0.1 trained with: torch's own AdamW, one parameter after the other."""
    ours, theirs = network(), network()
    optimizer = method("adamw").build(ours, nn.Module(), OPTIONS, classes=CLASSES)
    weights = [each for each in theirs.parameters() if each.ndim > 1]
    others = [each for each in theirs.parameters() if each.ndim <= 1]
    plain = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=0.01, foreach=False
    )
    for seed in range(20):
        give_gradients(list(ours.parameters()), seed)
        give_gradients(list(theirs.parameters()), seed)
        optimizer.step()
        plain.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)
