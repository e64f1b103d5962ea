"""Logits compared by what it costs to carry the student's probabilities to where the teacher's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Compare, SoftenedLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class WassersteinLogits(SoftenedLoss):
    """-p_t[y] log p_s[y] plus `transport` times the Wasserstein distance between the non-target probabilities.

    The customary weight is 1, the customary temperature 8. A step takes memory for samples · classes² · iterations
    numbers, several times: it is for tens of classes, or a hundred.

    Source: Lv, Yang and Li 2024, Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation,
    WKD-L in section 3. Their cost of carrying from class to class is 1 - the similarity (CKA) of two classes' features
    in the teacher, taken once from all training images, or 1 - the cosine of two rows of its last layer. Neither is
    known here, where a teacher may be anything that answers: the cost is 1 - the correlation of two classes' logits
    over the samples, 1 at most (`class_costs.py`), which for a linear last layer is the cosine of the rows in the
    metric of the features' covariance. Their weight falls along a cosine at the end of the training; here it stays.
    """

    transport: float = Field(600.0, ge=0, allow_inf_nan=False, description="factor of the Wasserstein distance")
    regularisation: float = Field(
        0.05,
        ge=0.001,
        le=10,
        description="entropy of the plan that is looked for: the smaller, the nearer to the distance and the slower",
    )
    iterations: int = Field(10, ge=1, le=1000, description="rounds in which the plan is looked for")

    def build(self, shapes: Shapes) -> Term:
        from edgekd.training.losses.class_costs import ClassCosts
        from edgekd.training.losses.distributions import need_three_classes

        need_three_classes(shapes.classes)
        temperature = self.softening()
        costs = {name: ClassCosts(shapes.classes) for name in shapes.teachers if self.hears(name)}

        def comparing(name: str) -> Compare:
            def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
                cost = costs[name](teacher)
                softness = temperature(lesson.progress)

                def per_sample(labels: Tensor) -> Tensor:
                    distance = non_target_distance(
                        student / softness,
                        teacher / softness,
                        labels,
                        cost,
                        regularisation=self.regularisation,
                        iterations=self.iterations,
                    )
                    return target_cross_entropy(student, teacher, labels) + self.transport * distance

                return lesson.batch.by_label(per_sample)

            return compare

        return self.between_each(comparing, [temperature, *costs.values()])


def target_cross_entropy(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """-p_t[y] log p_s[y], (N,); student, teacher: logits (N, C); labels: y, int64 (N,)."""
    from torch.nn import functional

    probability = functional.softmax(teacher, dim=1).gather(1, labels[:, None])[:, 0]
    return probability * functional.cross_entropy(student, labels, reduction="none")


def non_target_distance(
    student: Tensor, teacher: Tensor, labels: Tensor, cost: Tensor, *, regularisation: float, iterations: int
) -> Tensor:
    """`transport_cost` between the softmaxes of all classes but the label's, (N,); logits (N, C); cost: (C, C)."""
    import torch
    from torch.nn import functional

    count = cost.shape[0] - 1
    others = torch.arange(count, device=labels.device).expand(len(labels), count)
    others = others + (others >= labels[:, None])
    return transport_cost(
        functional.log_softmax(student.gather(1, others), dim=1),
        functional.log_softmax(teacher.gather(1, others), dim=1),
        cost[others[:, :, None], others[:, None, :]],
        regularisation=regularisation,
        iterations=iterations,
    )


def transport_cost(source: Tensor, target: Tensor, cost: Tensor, *, regularisation: float, iterations: int) -> Tensor:
    """What Sinkhorn's plan costs that carries exp(source) to exp(target), (N,), never less than the cheapest plan does.

    source, target: logarithms of probabilities (N, K). cost: from each to each, (N, K, K) or what broadcasts to it.

    Potentials f, g in log space: g ← log b - log Σ_i exp(f_i - c_ij/ε), f ← log a - log Σ_j exp(g_j - c_ij/ε), and the
    plan exp(f_i + g_j - c_ij/ε). After a few rounds its columns do not sum to the target yet. The published code, which
    iterates exp(f) and exp(g) themselves, leaves it at that: where costs are large beside ε (1 and 0.05), such a plan
    carries almost nothing and costs almost nothing, whatever the student says. Here what arrives in excess in a
    column is carried to the columns that lack it, in proportion, so that the plan is one between these two.

    Source: Cuturi 2013, Sinkhorn Distances, algorithm 1; the last step: Altschuler et al. 2017, Near-linear time
    approximation algorithms for optimal transport via Sinkhorn iteration, algorithm 2.
    """
    import torch
    from torch.nn import functional

    kernel = -cost / regularisation
    f = torch.zeros_like(source)
    for _ in range(iterations):
        g = target - torch.logsumexp(f[:, :, None] + kernel, dim=1)
        f = source - torch.logsumexp(g[:, None, :] + kernel, dim=2)
    plan = (f[:, :, None] + g[:, None, :] + kernel).exp()
    arrives, wanted = plan.sum(dim=1), target.exp()
    tiny = torch.finfo(plan.dtype).tiny
    excess = functional.relu(arrives - wanted) / arrives.clamp(min=tiny)
    taken = plan * excess[:, None, :]
    lacking = functional.relu(wanted - arrives)
    lacking = lacking / lacking.sum(dim=1, keepdim=True).clamp(min=tiny)
    carried = taken.sum(dim=2)[:, :, None] * lacking[:, None, :]
    return ((plan - taken + carried) * cost).sum(dim=(1, 2))
