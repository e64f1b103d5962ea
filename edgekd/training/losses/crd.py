"""Contrast with a memory of all training samples: contrastive representation distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class ContrastiveRepresentation(FeatureLoss):
    """Each network's embedding must tell the other's of the same sample from those of other training samples.

    Both layers go through a learned linear layer each to `dimensions` numbers of length 1; maps are averaged over
    space. A bank remembers both networks' embeddings of each training sample, as a mean that each look at the sample
    moves by 1 - `momentum`. The student's embedding is compared with the teacher's bank, and the teacher's with the
    student's: with the sample's own row, and with `negatives` rows, drawn evenly in each step; where there are no more
    than so many, with all others. The term is the sum of both directions of `nce_loss`. No gradient reaches the bank.
    The customary weight is 0.8.

    The bank takes 2 · samples · dimensions floats, in memory and in each checkpoint: 61 MB for 60,000 samples.

    Source: Tian, Krishnan and Isola 2020, Contrastive Representation Distillation, section 3.2, and equation 18 for
    `nce_loss`. There each sample has 16,384 negatives of its own, of other classes; here those of a step are for the
    whole batch, which makes a product of matrices of it (each sample leaves its own row out, so that each other row is
    one with the chance that the loss reckons with); they are fewer, and of all classes, so that it reads no labels.
    """

    dimensions: int = Field(128, ge=1, le=4096, description="length of the embeddings")
    negatives: int = Field(
        1024, ge=1, description="other samples that those of a step are told from; at most all there are"
    )
    temperature: float = Field(0.07, gt=0, le=100, allow_inf_nan=False, description="divides the cosines")
    momentum: float = Field(0.5, ge=0, lt=1, description="what an embedding in the bank keeps when a new one is added")

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:
        from edgekd.training.losses.contrast import Contrast
        from edgekd.training.losses.parts import embedded_size

        if shapes.samples < 2:
            raise ConfigError("there is no other sample to tell one from", hint="it takes two training samples or more")
        return Contrast(
            embedded_size(student),
            embedded_size(teacher),
            shapes.samples,
            dimensions=self.dimensions,
            negatives=self.negatives,
            temperature=self.temperature,
            momentum=self.momentum,
        )


def nce_loss(scores: Tensor, log_normaliser: Tensor, noise: float) -> Tensor:
    """-log(P₀ / (P₀ + c)) - Σₖ log(c / (Pₖ + c)), the mean over the batch, with P = exp(score) / Z.

    scores: cosines divided by the temperature (N, 1 + K), the positive first; one of -inf is none. log_normaliser:
    log Z. noise: c, how many negatives there are for each training sample, K / n. Computed from logarithms: at a
    temperature below 0.0113 exp(score) is more than float32 holds. The authors add 1e-7 to the denominators, which need
    none.

    Source: Gutmann and Hyvärinen 2010, Noise-contrastive estimation; Tian, Krishnan and Isola 2020, equation 18.
    """
    import math

    from torch.nn import functional

    odds = scores - log_normaliser - math.log(noise)
    positive, negative = functional.logsigmoid(odds[:, 0]), functional.logsigmoid(-odds[:, 1:])
    return -(positive + negative.sum(1)).mean()
