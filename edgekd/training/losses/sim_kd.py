"""A student that reuses its teacher's classifier learns the features that the classifier was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PrivateAttr

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Loss, Taps, Term

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.models.reuse import Reuse


class ReusedFeatures(Loss):
    """Mean squared error between the projector's output and the features that the reused classifier was trained on.

    For a network with `classifier`, which says whose it is; the layers are found by themselves. Where both networks
    have maps, and the mean over space is what the teacher's classifier reads, maps are compared, the larger ones
    averaged to the smaller size; else vectors. The customary use is this term alone: no labels, and no logits.

    Source: Chen et al. 2022, Knowledge Distillation with the Reused Teacher Classifier, section 3. There it is the
    squared norm of the difference; here, as in the authors' code, the mean over all elements.
    """

    _network: str = PrivateAttr("")
    _taps: Taps = PrivateAttr(Taps())

    @property
    def taught(self) -> bool:
        return True

    @property
    def taps(self) -> Taps:
        return self._taps

    def hears(self, teacher: str) -> bool:
        return teacher == self._network  # of an ensemble the first, whose classifier it is

    def reusing(self, network: str, reuse: Reuse) -> ReusedFeatures:
        found = self.model_copy()
        found._network = network
        found._taps = Taps(student=(reuse.projector,), teacher=(reuse.features,))
        return found

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - the projector is made to fit, in the student
        from torch.nn import functional

        from edgekd.training.losses.parts import embedded, same_size

        (mine,), (theirs,) = self._taps.student, self._taps.teacher

        def term(lesson: Lesson) -> Tensor:
            student, teacher = lesson.student.taps[mine], lesson.teachers[self._network].taps[theirs]
            if student.ndim == teacher.ndim == 4:
                return functional.mse_loss(*same_size(student, teacher))
            return functional.mse_loss(embedded(student), embedded(teacher))

        return term
