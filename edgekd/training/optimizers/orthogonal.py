"""Muon's step. torch.optim.Muon takes matrices only, one by one, and computes them in bfloat16 on every processor,
which is slow on those without instructions for it; here convolutions are flattened and equal shapes share a product."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from edgekd.training.optimizers.base import Group

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x³ and x⁵, chosen for the slope at 0: five times applied, they bring every singular value of 0.01
to 1 into 0.68 to 1.14, in place of 1."""
ROUNDS = 5


class OrthogonalMomentum(Optimizer):
    """Nesterov momentum, made orthogonal, for the weights of `hidden`; AdamW for `others`.

    A weight (out, in, ...) counts as the matrix (out, in · ...). In which order the columns are taken does not matter,
    nor does the memory format: permuted columns have the same singular values and give the same step, permuted.

    W ← (1 - ηλ) W - 0.2 η √max(rows, columns) · U Vᵀ, with U S Vᵀ the mean gradient: an orthogonal matrix has elements
    of root mean square 1 / √max(rows, columns), and a step of AdamW is of about 0.2 (Liu et al. 2025, section 2.2), so
    a learning rate means the same in all groups and may be one that was found with AdamW. Jordan's own factor
    √max(1, rows / columns) asks for a rate of its own, several times as large; that the weights are brought to a fixed
    norm before each step, as in his record for CIFAR-10, asks for batch norm after every layer.
    """

    def __init__(self, hidden: Group, others: Sequence[Group], *, momentum: float) -> None:
        self._others = AdamW(list(others), fused=True)
        groups = [{**hidden, "momentum": momentum}, *self._others.param_groups]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # takes no closure
        assert closure is None
        hidden, *others = self.param_groups
        self._step(hidden)
        # load_state_dict replaces both
        self._others.param_groups, self._others.state = others, self.state
        self._others.step()

    def _step(self, group: Group) -> None:
        rate, momentum = group["lr"], group["momentum"]
        ahead: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            mean = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
            matrix = weight.grad.lerp(mean, momentum).flatten(1)
            ahead[len(matrix), matrix.shape[1]].append((weight, matrix))
        for shape, entries in ahead.items():
            size = 0.2 * rate * math.sqrt(max(shape))
            directions = orthogonalised(torch.stack([matrix for _, matrix in entries]))
            for (weight, _), direction in zip(entries, directions, strict=True):
                weight.mul_(1 - rate * group["weight_decay"]).sub_(direction.view(weight.shape), alpha=size)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Of each matrix U S Vᵀ about U Vᵀ: the same singular vectors, singular values near 1; (N, rows, columns) both.

    The iteration X ← (a + bG + cG²) X with G = X Xᵀ, of which only G, as small as the shorter side, is iterated: every
    factor is a polynomial in the first G, so they commute, G becomes (a + bG + cG²) G (a + bG + cG²), and X is
    multiplied once with the product of all. For a 3 x 3 convolution that is under half of the operations. It squares
    singular values, for which bfloat16 has too few digits and float32 has enough.

    Source: Jordan et al. 2024 (the iteration); https://tridao.me/blog/2026/gram-newton-schulz (its form in G).
    """
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    # the Frobenius norm bounds the largest singular value; a matrix of zeros stays one
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(wide.dtype).tiny)
    a, b, c = QUINTIC
    gram = wide @ wide.mT
    product = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device).expand_as(gram)
    for left in reversed(range(ROUNDS)):
        rest = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        product = torch.baddbmm(product, rest, product, beta=a)
        if left:
            half = torch.baddbmm(gram, rest, gram, beta=a)
            gram = torch.baddbmm(half, half, rest, beta=a)
    result: Tensor = product @ wide
    return result.mT if tall else result
