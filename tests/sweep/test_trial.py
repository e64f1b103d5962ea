"""The parts of a trial."""

from __future__ import annotations

import pytest

from edgekd.config.pipeline import load_pipeline
from edgekd.errors import UsageError
from edgekd.pipeline.plan import Plan
from edgekd.stages.assembly import assemble
from edgekd.sweep.job import Job, decided_by
from edgekd.sweep.settings import check_settings, sweep_of
from edgekd.sweep.trial import PARTS, Trial, needed_plan
from tests.command import DIGITS

SELECT = "distill.select={trials: 2, space: {temperature: [2, 4]}}"


def plan(*assignments: str, until: str = "validate") -> Plan:
    return needed_plan(assemble(load_pipeline(DIGITS, assignments=assignments)), until)


def test_what_is_learned_from_is_shared_and_what_times_anything_comes_last() -> None:
    trial = Trial(0, plan(SELECT, "quantize.candidates=[fp32, int8_weights]"))
    parts = {part: [node.id for node in trial.part(part)] for part in PARTS}
    assert parts["data"] == ["data"]
    assert parts["teachers"] == ["train@teacher"]
    assert parts["student"][:3] == ["select", "train@student", "train@control"]
    assert "quantize@int8_weights" in parts["student"]
    assert parts["measured"] == ["screen@local", "choose@local", "remake@control.local", "validate@local"]
    assert sum(map(len, parts.values())) == len(trial.plan.nodes)
    assert not any(node.stage.alone for part in PARTS[:-1] for node in trial.part(part))


def test_a_sweep_that_only_trains_has_nothing_to_measure() -> None:
    trial = Trial(0, plan(until="train"))
    assert not trial.part("measured")
    assert [node.id for node in trial.part("student")] == ["train@student", "train@control"]


def test_the_key_of_a_job_is_what_decides_it_and_not_how_many_cores_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(*assignments: str) -> str:
        teachers = Trial(0, plan(*assignments)).up_to("teachers")
        return Job("", "teachers", teachers, {}, decided_by(teachers, {})).key

    first = key()
    assert key("distill.temperature=7") == first
    assert key("teacher.epochs=41") != first
    assert key("seed=1") != first
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert key() == first


def test_a_trial_ends_after_its_student() -> None:
    pipeline = load_pipeline(DIGITS)
    section = sweep_of(pipeline, {"distill.temperature": [2, 4]}, {})
    with pytest.raises(UsageError, match="ends before the student is trained"):
        check_settings(pipeline, section, "data")
