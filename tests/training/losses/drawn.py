"""Answers that Hypothesis draws, and softmax one number at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from edgekd.training.lesson import Lesson

from .conftest import lesson


@dataclass(frozen=True)
class Said:
    """student, teacher: logits (N, C), float64; labels: int64 (N,)."""

    student: Tensor
    teacher: Tensor
    labels: Tensor

    @property
    def lesson(self) -> Lesson:
        return lesson(student=self.student, teachers={"teacher": self.teacher}, labels=self.labels)

    @property
    def deviation(self) -> float:
        """The smallest of a sample's logits."""
        return float(torch.cat([self.student, self.teacher]).std(dim=1).min())

    @property
    def rows(self) -> list[tuple[list[float], list[float], int]]:
        return list(zip(self.student.tolist(), self.teacher.tolist(), self.labels.tolist(), strict=True))


@st.composite
def said(draw: st.DrawFn, samples: int = 1, classes: int = 3) -> Said:
    """At least so many samples and classes."""
    shape = draw(st.tuples(st.integers(samples, samples + 4), st.integers(classes, classes + 4)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.3, 2.0, 8.0]))
    student, teacher = (spread * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return Said(student, teacher, torch.randint(shape[1], shape[:1], generator=generator))


def example(samples: int = 5, classes: int = 6, seed: int = 7) -> Said:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        2 * torch.randn(samples, classes, generator=generator, dtype=torch.float64) + 1 for _ in range(2)
    )
    return Said(student, teacher, torch.randint(classes, (samples,), generator=generator))


def softmax(row: Sequence[float], temperature: float = 1) -> list[float]:
    powers = [math.exp(each / temperature) for each in row]
    return [each / sum(powers) for each in powers]


def without(row: Sequence[float], position: int) -> list[float]:
    return [each for number, each in enumerate(row) if number != position]


def divergence(target: Sequence[float], given: Sequence[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(target, given, strict=True))
