from __future__ import annotations

import numpy as np
import pytest

from edgekd.training.optimizers.base import set_learning_rate

from .conftest import CLASSES, OPTIONS, copies, give_gradients, method, network, parameters, part


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_its_steps_are_those_of_nesterov_in_float64(momentum: float) -> None:
    model, objective = network(), part()
    optimizer = method("sgd", momentum=momentum).build(model, objective, OPTIONS, classes=CLASSES)
    learned = parameters(model, objective)
    expected = [each.double().numpy() for each in copies(learned)]
    velocity = [np.zeros_like(each) for each in expected]
    for step in range(1, 6):
        set_learning_rate(optimizer, 0.01 / step)
        give_gradients(learned, step)
        for index, each in enumerate(learned):
            assert each.grad is not None
            gradient = each.grad.double().numpy() + (0.1 if each.ndim > 1 else 0.0) * expected[index]
            velocity[index] = momentum * velocity[index] + gradient
            expected[index] -= 0.01 / step * (gradient + momentum * velocity[index])
        optimizer.step()
    for each, wanted in zip(learned, expected, strict=True):
        np.testing.assert_allclose(each.detach().numpy(), wanted, rtol=1e-5, atol=1e-7)
