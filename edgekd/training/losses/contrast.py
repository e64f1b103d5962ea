"""The memory and the learned part of `crd`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgekd.data.tensors import moved
from edgekd.training.lesson import Lesson
from edgekd.training.losses.crd import nce_loss
from edgekd.training.losses.parts import of_unit_length
from edgekd.training.losses.projectors import Embedding


class Contrast(nn.Module):
    """Two embeddings, and a bank of what each gave for each training sample; it is filled in training mode alone."""

    student_bank: Tensor
    teacher_bank: Tensor
    student_log_normaliser: Tensor
    teacher_log_normaliser: Tensor

    def __init__(
        self,
        student: int,
        teacher: int,
        samples: int,
        *,
        dimensions: int,
        negatives: int,
        temperature: float,
        momentum: float,
    ) -> None:
        super().__init__()
        self.samples, self.negatives = samples, min(negatives, samples - 1)
        self.temperature, self.momentum = temperature, momentum
        self.student = Embedding(student, dimensions)
        self.teacher = Embedding(teacher, dimensions)
        for whose in ("student", "teacher"):
            # even over a cube in which a vector has length 1 on average, as the authors begin
            bank = (2 * torch.rand(samples, dimensions) - 1) * math.sqrt(3 / dimensions)
            self.register_buffer(f"{whose}_bank", bank)
            self.register_buffer(f"{whose}_log_normaliser", torch.tensor(math.inf))  # until the first batch

    def forward(self, student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
        mine, theirs = of_unit_length(self.student(student)), of_unit_length(self.teacher(teacher))
        rows = moved(lesson.batch.rows, student.device)
        shown = self._shown(rows)
        value = self._direction(mine, self.teacher_bank[shown], self.student_log_normaliser) + self._direction(
            theirs, self.student_bank[shown], self.teacher_log_normaliser
        )
        if self.training:
            self._remember(self.student_bank, rows, mine)
            self._remember(self.teacher_bank, rows, theirs)
        return value

    def _shown(self, rows: Tensor) -> Tensor:
        """Rows of the bank (N, 1 + K): each sample's own, then K others."""
        count = len(rows)
        if self.negatives == self.samples - 1:
            steps = torch.arange(1, self.samples).expand(count, -1)
        else:
            # on the processor, so that another device draws the same; torch's own generator has a seed for each epoch
            steps = torch.randint(1, self.samples, (count, self.negatives))
        steps = torch.cat([torch.zeros(count, 1, dtype=steps.dtype), steps], dim=1)
        return (rows[:, None] + moved(steps, rows.device)) % self.samples

    def _direction(self, anchors: Tensor, remembered: Tensor, log_normaliser: Tensor) -> Tensor:
        scores = torch.einsum("nd,nkd->nk", anchors, remembered) / self.temperature
        # Z = n · mean exp(score), fixed at the first batch
        found = scores.detach().flatten().logsumexp(0) - math.log(scores.numel() / self.samples)
        settled = torch.where(log_normaliser.isinf(), found, log_normaliser)
        if self.training:
            log_normaliser.copy_(settled)
        return nce_loss(scores, settled, self.samples)

    @torch.no_grad()
    def _remember(self, bank: Tensor, rows: Tensor, latest: Tensor) -> None:
        bank[rows] = of_unit_length(self.momentum * bank[rows] + (1 - self.momentum) * latest)
