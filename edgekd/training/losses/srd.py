"""A projector and batch norm on both sides: the simple recipe of Miles and Mikolajczyk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class SimpleRecipe(FeatureLoss):
    """2 · log Σ |BN(W·s) - BN(t)|⁴ over batch and features, s and t embeddings; maps are averaged over space.

    W is a learned linear layer, BN batch norm without scale and shift. The logarithm makes the size of the gradient
    independent of that of the differences, and the fourth power lets the largest ones count most. The customary weight
    is 1 (the 2 is the authors'), beside `kd` with temperature 1 and weight 1. Meant for the last layer before the
    classifier.

    Twice the batch adds 2 · log 2 and leaves the gradients as they are. A batch of 1 has
    no spread: it is worth a constant and teaches nothing.

    Source: Miles and Mikolajczyk 2024, Understanding the Role of the Projector in Knowledge Distillation, the LogSum
    distance with α = 4.
    """

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from edgekd.training.losses.parts import embedded, embedded_size
        from edgekd.training.losses.projectors import Embedding, Fitted

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG001 - it reads no labels
            return srd_loss(student, embedded(teacher))

        return Fitted(Embedding(embedded_size(student), embedded_size(teacher)), compare)


def srd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """2 · log(Σ |BN(s) - BN(t)|⁴ + 1e-8), summed over batch and features; student, teacher: (N, D).

    BN: each feature minus its mean over the batch, divided by √(variance + 1e-4), the authors' number. The 1e-8, which
    they lack, keeps the value finite where student and teacher agree; the gradient is 0 there.
    """

    def normalised(vectors: Tensor) -> Tensor:
        centred = vectors - vectors.mean(0)
        return centred * (centred.pow(2).mean(0) + 1e-4).rsqrt()

    return 2 * ((normalised(student) - normalised(teacher)).pow(4).sum() + 1e-8).log()
