"""The memory and the learned part of `crd`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgekd.data.tensors import moved
from edgekd.training.lesson import Lesson
from edgekd.training.losses.crd import nce_loss
from edgekd.training.losses.parts import directions
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
        mine, theirs = directions(self.student(student), 1), directions(self.teacher(teacher), 1)
        rows = moved(lesson.batch.rows, student.device)
        others = moved(self._drawn(), student.device)
        value = self._direction(mine, self.teacher_bank, rows, others, self.student_log_normaliser)
        value = value + self._direction(theirs, self.student_bank, rows, others, self.teacher_log_normaliser)
        if self.training:
            looks = lesson.batch.looks
            for look in range(looks):  # one after the other: a row that is written twice at once has either value
                self._remember(self.student_bank, rows[look::looks], mine[look::looks])
                self._remember(self.teacher_bank, rows[look::looks], theirs[look::looks])
        return value

    def _drawn(self) -> Tensor:
        """Rows of the bank for a step: on the processor, so that another device draws the same, from torch's own
        generator, which has a seed for each epoch."""
        if self.negatives == self.samples - 1:
            return torch.arange(self.samples)
        return torch.randperm(self.samples)[: self.negatives]

    def _direction(self, anchors: Tensor, bank: Tensor, rows: Tensor, others: Tensor, log_normaliser: Tensor) -> Tensor:
        own = (anchors * bank[rows]).sum(1, keepdim=True)
        told = (anchors @ bank[others].T).masked_fill(rows[:, None] == others, -math.inf)
        scores = torch.cat([own, told], dim=1) / self.temperature
        # Z = n · mean exp(score), fixed at the first batch, without asking the device whether it is this one
        shown = scores.isfinite().sum(dtype=scores.dtype)
        found = scores.detach().flatten().logsumexp(0) - shown.log() + math.log(self.samples)
        settled = torch.where(log_normaliser.isinf(), found, log_normaliser)
        if self.training:
            log_normaliser.copy_(settled)
        return nce_loss(scores, settled, self.negatives / self.samples)

    @torch.no_grad()
    def _remember(self, bank: Tensor, rows: Tensor, latest: Tensor) -> None:
        bank[rows] = directions(self.momentum * bank[rows] + (1 - self.momentum) * latest, 1)
