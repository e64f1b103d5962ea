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
    student's: with the row of the sample, and with `negatives` others, drawn evenly; where there are no more than so
    many, with all. The term is the sum of both directions of `nce_loss`. No gradient reaches the bank. The customary
    weight is 0.8.

    The bank takes 2 · samples · dimensions floats, in memory and in each checkpoint: 61 MB for 60,000 samples; a step
    takes 2 · batch · negatives · dimensions more.

    Source: Tian, Krishnan and Isola 2020, Contrastive Representation Distillation, section 3.2 and the appendix on its
    implementation (equation 18 is `nce_loss`). There 16,384 negatives are of other classes; here they are fewer, of all
    classes, and never the sample itself, so that it needs no labels.
    """

    dimensions: int = Field(128, ge=1, le=4096, description="length of the embeddings")
    negatives: int = Field(1024, ge=1, description="other samples that each one is told from; at most all there are")
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


def nce_loss(scores: Tensor, log_normaliser: Tensor, samples: int) -> Tensor:
    """-log(P₀ / (P₀ + K/n)) - Σₖ log((K/n) / (Pₖ + K/n)), the mean over the batch, with P = exp(score) / Z.

    scores: cosines divided by the temperature (N, 1 + K), the positive first; log_normaliser: log Z; samples: n, over
    which the noise is even. Computed from logarithms: at a temperature below 0.0113 exp(score) is more than float32
    holds. The authors add 1e-7 to the denominators, which need none.

    Source: Gutmann and Hyvärinen 2010, Noise-contrastive estimation; Tian, Krishnan and Isola 2020, equation 18.
    """
    import math

    from torch.nn import functional

    odds = scores - log_normaliser - math.log((scores.shape[1] - 1) / samples)
    positive, negative = functional.logsigmoid(odds[:, 0]), functional.logsigmoid(-odds[:, 1:])
    return -(positive + negative.sum(1)).mean()
