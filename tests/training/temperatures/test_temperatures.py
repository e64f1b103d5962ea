from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.config.component import component_class
from edgekd.config.registry import TEMPERATURES
from edgekd.training.losses.base import Loss
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.temperatures.base import Schedule, Temperature, with_temperature
from edgekd.training.temperatures.cosine import Cosine
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.temperatures.linear import Linear


def temperature(use: str, **options: float) -> Temperature:
    """A registered temperature; options that it cannot do without are 3."""
    kind = component_class(TEMPERATURES, use)
    required = {name: 3.0 for name, field in kind.model_fields.items() if field.is_required() and name != "use"}
    made = kind.model_validate({"use": use, **required, **options})
    assert isinstance(made, Temperature)
    return made


def at(schedule: Schedule, progress: float) -> float:
    return float(torch.as_tensor(schedule(progress), dtype=torch.float64).detach())


@pytest.mark.parametrize("use", TEMPERATURES.members)
def test_every_temperature_is_positive_and_finite_from_the_first_step_to_the_last(use: str) -> None:
    schedule = temperature(use).build()
    values = [at(schedule, step / 100) for step in range(101)]
    assert all(0 < value <= 1000 for value in values)
    assert values == [at(schedule, step / 100) for step in range(101)]


@pytest.mark.parametrize("use", TEMPERATURES.members)
def test_every_temperatures_options_are_known_without_torch(use: str) -> None:
    module = TEMPERATURES.members[use].partition(":")[0]
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("use", TEMPERATURES.members)
@pytest.mark.parametrize("value", [0, -1, 1001, float("inf"), float("nan")])
def test_no_temperature_takes_an_option_that_makes_none(use: str, value: float) -> None:
    for name, field in component_class(TEMPERATURES, use).model_fields.items():
        if field.is_required() and name != "use":
            with pytest.raises(ValidationError):
                temperature(use, **{name: value})


def test_a_fixed_temperature_stays() -> None:
    schedule = Fixed(use="fixed", value=4).build()
    assert [schedule(progress) for progress in (0.0, 0.3, 1.0)] == [4, 4, 4]


def test_a_linear_temperature_goes_from_start_to_end() -> None:
    schedule = Linear(use="linear", start=8, end=2).build()
    assert [schedule(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([8, 6.5, 5, 2])


def test_a_cosine_temperature_goes_from_start_to_end_and_fastest_half_way() -> None:
    schedule = Cosine(use="cosine", start=8, end=2).build()
    half = math.sqrt(0.5)
    expected = [8, 5 + 3 * half, 5, 5 - 3 * half, 2]
    assert [schedule(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(expected, rel=1e-12)
    assert (schedule(0.0), schedule(1.0)) == (8, 2)


@given(start=st.floats(0.1, 1000), end=st.floats(0.1, 1000), early=st.floats(0, 1), late=st.floats(0, 1))
def test_a_cosine_temperature_stays_between_its_ends_and_goes_one_way(
    start: float, end: float, early: float, late: float
) -> None:
    schedule = Cosine(use="cosine", start=start, end=end).build()
    early, late = sorted((early, late))
    least, largest = sorted((start, end))
    slack = 1e-12 * largest
    values = [at(schedule, early), at(schedule, late)]
    assert all(least - slack <= each <= largest + slack for each in values)
    assert (values[1] - values[0]) * (end - start) >= -slack * largest


def test_the_sections_temperature_goes_to_the_softened_terms_that_set_none() -> None:
    own, default = Fixed(use="fixed", value=2), Linear(use="linear", start=8, end=2)
    losses: list[Loss] = [
        CrossEntropy(use="cross_entropy"),
        SoftTargets(use="kd", weight=3, network="teacher"),
        SoftTargets(use="kd", temperature=own),
    ]
    labels, without, with_own = with_temperature(losses, default)
    assert labels is losses[0]
    assert without == SoftTargets(use="kd", weight=3, network="teacher", temperature=default)
    assert with_own is losses[2]
    assert losses[1] == SoftTargets(use="kd", weight=3, network="teacher")  # what the user wrote stays


def test_a_bare_number_is_a_fixed_temperature() -> None:
    assert SoftTargets.model_validate({"use": "kd", "temperature": 5}).temperature == Fixed(use="fixed", value=5)


class Halving(Temperature):
    """All that a new temperature takes, beside its line in the registry."""

    times: int

    def build(self) -> Schedule:
        return lambda progress: 8.0 * 0.5 ** (self.times * progress)


def test_a_new_temperature_is_one_class_and_one_line_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEMPERATURES.members, "halving", f"{__name__}:Halving")
    loss = SoftTargets.model_validate({"use": "kd", "temperature": {"use": "halving", "times": 3}})
    assert loss.softening()(1.0) == 1.0
