"""After a verdict that is no pass it is said what would change it, with numbers that do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgekd.config.pipeline import ReleaseSection
from edgekd.harness.scoring import drop_interval, evaluate, wilson
from edgekd.records.check import Check, Outcome
from edgekd.records.evaluation import Evaluation, Paired
from edgekd.records.screening import ChoiceRecord, Screened, ScreeningRecord, Verdict
from edgekd.release.gate import accuracy_checks, at_most, no_candidate, unreached
from edgekd.stages.levers import Found, levers


def evaluation(student_wrong: int, fp32_wrong: int, samples: int = 200) -> Evaluation:
    """With a teacher that is always right."""
    labels = np.arange(samples) % 2
    right = np.eye(2, dtype=np.float32)[labels]
    logits = {"teacher": right, "fp32": right.copy(), "int8": right.copy()}
    logits["fp32"][:fp32_wrong] = 1 - right[:fp32_wrong]
    logits["int8"][:student_wrong] = 1 - right[:student_wrong]
    pairs = [("int8", "teacher"), ("fp32", "teacher")]
    return evaluate("here", logits, labels, 2, reference="teacher", shipped="int8", pairs=pairs)


def told(section: ReleaseSection, found: Evaluation) -> tuple[Check, list[str]]:
    (check,) = accuracy_checks(section, found)
    return check, list(levers(Found((check,), found, None, None, None)))


def number(line: str, before: str) -> float:
    match = re.search(rf"{re.escape(before)} ?([\d.,]+\d)", line)
    assert match, line
    return float(match[1].replace(",", ""))


def test_of_an_undecided_drop_the_limit_and_the_number_of_samples_that_pass() -> None:
    found = evaluation(student_wrong=2, fp32_wrong=0)
    check, lines = told(ReleaseSection(max_accuracy_drop=0.02), found)
    assert check.outcome is Outcome.UNDECIDED
    loosest = number(lines[0], "release.max_accuracy_drop:")
    assert told(ReleaseSection(max_accuracy_drop=loosest), found)[0].outcome is Outcome.PASS
    assert told(ReleaseSection(max_accuracy_drop=loosest - 0.0002), found)[0].outcome is Outcome.UNDECIDED
    needed = int(number(lines[1], "about"))
    assert drop_interval(0.01 * needed, 0, needed)[1] <= 0.02 < drop_interval(0.01 * (needed - 2), 0, needed - 2)[1]
    assert "(there are 200)" in lines[1]
    assert lines[2].startswith("accuracy_drop: fp32 has 0 [")
    assert "would pass:" in lines[2]


def test_of_a_failed_drop_no_number_of_samples_and_who_is_to_blame() -> None:
    check, lines = told(ReleaseSection(max_accuracy_drop=0.02), evaluation(student_wrong=40, fp32_wrong=38))
    assert check.outcome is Outcome.FAIL
    assert not any("test samples would pass" in line for line in lines)
    assert "would not pass either: train the student" in lines[1]


@pytest.mark.parametrize("option", ["min_agreement", "min_accuracy"])
def test_of_a_share_the_same(option: str) -> None:
    found = evaluation(student_wrong=2, fp32_wrong=0)
    check, lines = told(ReleaseSection.model_validate({option: 0.98}), found)
    assert check.outcome is Outcome.UNDECIDED
    loosest = number(lines[0], f"release.{option}:")
    assert told(ReleaseSection.model_validate({option: loosest}), found)[0].outcome is Outcome.PASS
    needed = int(number(lines[1], "about"))
    assert wilson(int(0.99 * needed), needed)[0] >= 0.98


def screening(*candidates: tuple[str, int, float | None]) -> ScreeningRecord:
    def screened(name: str, size: int, drop: float | None) -> Screened:
        pair = None
        if drop is not None:
            pair = Paired(
                model=name, reference="fp32", both_right=0, only_reference_right=0, only_model_right=0, both_wrong=0,
                drop=drop, drop_interval=(0, 1), p_value=1,
            )  # fmt: skip
        return Screened(
            name=name, size_bytes=size, session={}, samples=100, accuracy=0.9, against_fp32=pair, p50_s=None,
            instructions=None,
        )  # fmt: skip

    return ScreeningRecord(
        target="here", validation_samples=100, cost="none", seconds=0, confidence=0.95, comparisons=(),
        candidates=tuple(screened(*each) for each in candidates),
    )  # fmt: skip


def test_where_no_candidate_may_ship_the_limit_of_the_least_bad_and_the_file_without_loss() -> None:
    seen = screening(("fp32", 4000, None), ("a", 1000, 0.0149), ("b", 900, 0.2))
    why = {"fp32": "not asked for in quantize.candidates", "a": "loses 1.49 points", "b": "loses 20 points"}
    choice = ChoiceRecord(
        target="here", chosen="fp32", session={}, objective="size", max_accuracy_drop=0.003, unfit="none",
        candidates=tuple(Verdict(name=name, ships=False, why=each) for name, each in why.items()),
    )  # fmt: skip
    lines = list(levers(Found((no_candidate("none"),), None, None, seen, choice)))
    assert lines == [
        "candidate: quantize.max_accuracy_drop: 0.0149 would let a ship (1,000 bytes)",
        "candidate: fp32 in quantize.candidates would ship without loss (4,000 bytes)",
    ]


def test_of_a_file_that_is_too_large_the_smallest_candidate() -> None:
    check = at_most("model_bytes", 800, 1000, (1000, 1000), "")
    lines = list(levers(Found((check,), None, None, screening(("fp32", 4000, None), ("a", 900, 0.1)), None)))
    assert lines[0] == "model_bytes: limits.model_bytes: 1000 would pass with what was measured"
    assert "by a factor of 1.25" in lines[1]
    assert lines[2] == "model_bytes: the smallest candidate is a with 900 bytes"


def test_what_passed_needs_no_lever_and_what_was_not_reached_another_run() -> None:
    passed = at_most("model_bytes", 800, 700, (700, 700), "")
    (line,) = levers(Found((passed, unreached()), None, None, None, None))
    assert line.startswith("reached: run again")
