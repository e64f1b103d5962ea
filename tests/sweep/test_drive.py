"""How many trainings run at once on a machine."""

from __future__ import annotations

import pytest

from edgekd.config.pipeline import load_pipeline
from edgekd.errors import UsageError
from edgekd.pipeline.plan import Plan
from edgekd.stages.assembly import assemble
from edgekd.sweep import drive
from edgekd.sweep.drive import Hands, here
from edgekd.training import execution
from tests.command import DIGITS


@pytest.fixture
def plan() -> Plan:
    """Batches of 64, which are cut in two at most."""
    return assemble(load_pipeline(DIGITS, assignments=["teacher.device=cpu", "distill.device=cpu"]))


@pytest.mark.parametrize(
    ("cores", "hands", "expected"),
    [
        (1, Hands(), (1, None)),
        (2, Hands(), (1, None)),
        (3, Hands(), (1, None)),
        (4, Hands(), (2, 2)),
        (16, Hands(), (8, 2)),
        (2, Hands(count=2), (2, 1)),
        (2, Hands(count=5), (5, 1)),
        (8, Hands(count=2), (2, 4)),
        (8, Hands(cores=1), (8, 1)),
        (8, Hands(count=1, cores=3), (1, 3)),
    ],
)
def test_there_are_as_many_at_once_as_have_cores_of_their_own(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, cores: int, hands: Hands, expected: tuple[int, int | None]
) -> None:
    for module in (execution, drive):
        monkeypatch.setattr(module, "usable_cores", lambda: cores)
    assert here(plan, hands) == expected


def test_more_cores_than_there_are_are_refused(plan: Plan) -> None:
    with pytest.raises(UsageError, match="are more than the"):
        here(plan, Hands(count=2, cores=5000))
