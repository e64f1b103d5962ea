"""What speaks against the evidence is said in words."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.harness.scoring import evaluate
from edgekd.records.evaluation import Evaluation
from edgekd.records.splits import SplitsRecord

CLASSES = ("cat", "dog", "eel")


def evaluation(student: list[int], labels: list[int]) -> Evaluation:
    """With a teacher that is always right."""
    logits = {name: np.eye(3, dtype=np.float32)[rows] for name, rows in (("teacher", labels), ("fp32", student))}
    return evaluate("here", logits, np.array(labels), 3, reference="teacher", shipped="fp32", pairs=())


def test_a_student_that_always_answers_the_same_is_at_chance_and_never_right_on_the_others() -> None:
    labels = [0] * 50 + [1] * 40 + [2] * 10
    at_chance, never = evaluation([0] * 100, labels).doubts(CLASSES)
    assert at_chance == (
        "fp32 is right on 50.00% of the test samples [40.38%, 59.62%], which may be chance: always answering cat is "
        "right on 50.00%"
    )
    assert never == "fp32 is never right on these classes (test samples): dog (40), eel (10)"


@pytest.mark.parametrize("wrong", [0, 3])
def test_nothing_is_said_of_a_good_one(wrong: int) -> None:
    labels = [0] * 50 + [1] * 40 + [2] * 10
    assert not evaluation([1] * wrong + labels[wrong:], labels).doubts(CLASSES)


def test_a_teacher_at_chance_is_told_too_and_a_class_without_samples_is_not_one_of_wrong_answers() -> None:
    labels = [0, 1] * 4
    told = evaluation(labels, labels).model_copy(update={"reference": "fp32"}).doubts(CLASSES)
    assert not told, "eight of eight are no chance, and eel has no sample"
    (told_of_few,) = evaluation([0, 1], [0, 1]).doubts(CLASSES)[:1]
    assert told_of_few.startswith("teacher is right on 100.00% of the test samples [34.24%")


def test_of_the_test_samples_it_is_said_which_repeat_others_and_which_classes_have_few() -> None:
    record = SplitsRecord(
        noun="images", train=900, validation=100, test=200, classes=3, repeated=12, alike=3, compared=188,
        rare={"eel": 0, "dog": 9},
    )  # fmt: skip
    repeated, alike, rare = record.doubts
    assert repeated.startswith("12 of 200 test images are training images too")
    assert alike.startswith("3 of 188 test images are almost equal to a training one")
    assert rare.endswith("eel (0), dog (9)")
    assert not SplitsRecord(noun="images", train=900, validation=100, test=200, classes=3).doubts
