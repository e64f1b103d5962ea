"""Nearer to the teacher's embedding of the same sample than to that of another: triplets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class Triplet(FeatureLoss):
    """max(0, |aᵢ - tᵢ|² - |aᵢ - tⱼ|² + margin), the mean over the batch, with one negative j for each sample i.

    The anchor a is the student's layer through a learned linear layer, t the teacher's layer, both of length 1; maps
    are averaged over space. A customary weight is 1.

    Negatives are samples of the batch of another class than the anchor's: the teacher puts those of one class close to
    each other, and to push the student away from them would contradict it. A sample whose label is not known (below 0)
    is a negative for all others, and all others are for it; its own second view (`second_view`) never is. Of mixed
    samples, each label counts by its share. An anchor without a negative costs nothing.

    Source: Schroff, Kalenichenko and Philbin 2015, FaceNet: A Unified Embedding for Face Recognition and Clustering,
    equations 3 and 4. There all three are of one network; here the teacher's stand still, so that the embeddings cannot
    fall together.
    """

    margin: float = Field(0.2, ge=0, le=4, description="by how much the negative must be farther, in squared distance")
    negatives: Literal["semi_hard", "hardest"] = Field(
        "semi_hard",
        description="which negative: the nearest one (hardest), or the nearest of those that are farther than the "
        "positive, and where none is, the farthest (semi_hard)",
    )

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:
        from edgekd.errors import ConfigError
        from edgekd.training.losses.parts import embedded, embedded_size
        from edgekd.training.losses.projectors import Embedding, Fitted

        if shapes.classes < 2:
            raise ConfigError("there is one class, so no sample is a negative", hint="`contrastive` reads no labels")

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            hardest = self.negatives == "hardest"
            targets, strangers = embedded(teacher), lesson.batch.strangers(student.device)
            return lesson.batch.by_label(
                lambda labels: triplet_losses(student, targets, labels, self.margin, strangers, hardest=hardest)
            )

        return Fitted(Embedding(embedded_size(student), embedded_size(teacher)), compare)


def triplet_losses(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    margin: float,
    strangers: Tensor | None = None,
    *,
    hardest: bool,
) -> Tensor:
    """Of each sample i max(0, |sᵢ - tᵢ|² - |sᵢ - tⱼ|² + margin), (N,); student, teacher: embeddings (N, D), which are
    brought to length 1; labels (N,), those below 0 not known. strangers: bool (N, N), which j may be negatives of i; by
    default all others.

    j is the nearest negative; unless `hardest`, the nearest of those that are farther than tᵢ, and where none is, the
    farthest of all, so that an anchor in the wrong place is pulled too. Squared distances have no root, and so a
    gradient at 0.
    """
    import torch

    from edgekd.training.losses.parts import directions

    student, teacher = directions(student, 1), directions(teacher, 1)
    known = labels >= 0
    negative = (labels[:, None] != labels) | ~known | ~known[:, None]
    if strangers is None:
        strangers = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    negative = negative & strangers
    distances = student.pow(2).sum(1, keepdim=True) + teacher.pow(2).sum(1) - 2 * student @ teacher.T
    positive = (student - teacher).pow(2).sum(1)
    # no distance on the sphere is larger than 4, so that one of 4 + margin costs nothing
    nowhere = 4 + margin

    def nearest(among: Tensor) -> Tensor:
        return distances.masked_fill(~among, nowhere).amin(1)

    chosen = nearest(negative)
    if not hardest:
        farther = negative & (distances > positive[:, None])
        farthest = distances.masked_fill(~negative, -1).amax(1)
        chosen = torch.where(farther.any(1), nearest(farther), torch.where(negative.any(1), farthest, nowhere))
    return torch.relu(positive - chosen + margin)
