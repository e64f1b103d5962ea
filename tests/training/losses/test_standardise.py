"""Logit standardisation, which every term that compares answers has as an option."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.losses.parts import standardised

from .conftest import VALUES, built, lesson, loss, tensor
from .drawn import Said, divergence, example, said, softmax


@pytest.mark.parametrize("temperature", [1, 2])
def test_kd_has_the_published_values(temperature: float) -> None:
    term = built(loss("kd", standardise=True), temperature=temperature)
    expected = VALUES[f"kd_logit_standardized_T{temperature}"]
    assert float(term(lesson())) == pytest.approx(expected, abs=1e-10)


def test_it_is_what_each_samples_own_mean_and_deviation_give() -> None:
    drawn = example()

    def scores(row: list[float]) -> list[float]:
        return [(each - statistics.mean(row)) / statistics.stdev(row) for each in row]

    total = sum(
        4 * divergence(softmax(scores(teacher), 2), softmax(scores(student), 2)) / 5
        for student, teacher, _ in drawn.rows
    )
    assert float(built(loss("kd", standardise=True, temperature=2))(drawn.lesson)) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("temperature", [1, 2])
def test_the_deviation_of_the_classes_as_if_there_were_no_others_gives_another_value(temperature: float) -> None:
    def biased(logits: torch.Tensor) -> torch.Tensor:
        return (logits - logits.mean(1, keepdim=True)) / logits.std(1, correction=0, keepdim=True)

    value = float(soft_target_loss(biased(tensor("S")), biased(tensor("T")), temperature))
    assert value != pytest.approx(VALUES[f"kd_logit_standardized_T{temperature}"], rel=1e-2)


@given(drawn=said(), scale=st.floats(0.1, 10), offset=st.floats(-20, 20))
def test_each_samples_offset_and_positive_factor_change_nothing(drawn: Said, scale: float, offset: float) -> None:
    assume(drawn.deviation > 0.1)  # beside 1e-7, which is added to it
    ramp = torch.linspace(0.5, 1, len(drawn.labels), dtype=torch.float64)[:, None]
    term = built(loss("kd", standardise=True, temperature=2))
    once = float(term(drawn.lesson))
    moved = Said(scale * ramp * drawn.student + offset * ramp, drawn.teacher / ramp - offset, drawn.labels)
    assert float(term(moved.lesson)) == pytest.approx(once, rel=1e-4, abs=1e-6)
    assert torch.allclose(standardised(moved.student), standardised(drawn.student), atol=1e-4)


@given(drawn=said())
def test_what_comes_out_has_mean_0_and_deviation_1(drawn: Said) -> None:
    assume(drawn.deviation > 0.1)
    found = standardised(drawn.student)
    assert torch.allclose(found.mean(1), torch.zeros(len(found), dtype=torch.float64), atol=1e-9)
    assert torch.allclose(found.std(1), torch.ones(len(found), dtype=torch.float64), atol=1e-4)
