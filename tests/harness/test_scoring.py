from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from edgekd.harness.scoring import count_correct, evaluate, gain_over_seeds, paired, wilson


def test_the_wilson_interval_has_its_published_values() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81/263, 15/148, 0/20 and 1/29."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, total), interval in published.items():
        assert wilson(successes, total) == pytest.approx(interval, abs=5e-5)


def test_the_paired_interval_has_the_values_of_its_formula() -> None:
    """Bonett and Price 2012 by hand: n = 40, lost 12, gained 2: (13 - 3)/42 ± 1.95996·sqrt((16/42 - (10/42)²)/42)."""
    reference = np.array([True] * 32 + [False] * 8)
    model = np.array([True] * 20 + [False] * 12 + [True] * 2 + [False] * 6)
    pair = paired("m", "r", model, reference)
    assert (pair.both_right, pair.only_reference_right, pair.only_model_right, pair.both_wrong) == (20, 12, 2, 6)
    assert pair.drop == pytest.approx(0.25)
    assert pair.drop_interval == pytest.approx((0.065877, 0.410314), abs=1e-5)
    assert pair.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)


def test_the_paired_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    chances = np.array([0.93, 0.03, 0.01, 0.03])  # both right, lost, gained, both wrong: a true drop of 0.02
    covered = 0
    for cell in (rng.choice(4, 400, p=chances) for _ in range(1500)):
        low, high = paired("m", "r", (cell == 0) | (cell == 2), cell <= 1).drop_interval
        covered += low <= 0.02 <= high
    assert 0.93 <= covered / 1500 <= 0.985


def test_equal_answers_differ_by_nothing_but_leave_room_for_chance() -> None:
    right = np.array([True] * 90 + [False] * 10)
    pair = paired("m", "r", right, right)
    assert (pair.drop, pair.p_value) == (0.0, 1.0)
    assert pair.drop_interval[0] < 0 < pair.drop_interval[1]


def test_accuracy_is_counted_by_class() -> None:
    counted = count_correct(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), classes=4)
    assert (counted.correct, counted.total) == (3, 4)
    assert counted.per_class_correct == (1, 1, 1, 0)
    assert counted.per_class_total == (1, 1, 2, 0)


def test_an_evaluation_compares_the_pairs_sample_by_sample_and_all_with_the_reference() -> None:
    labels = np.array([0, 1, 0, 1], dtype=np.int64)
    one_hot = np.eye(2, dtype=np.float32)
    result = evaluate(
        "here",
        {"fp32": one_hot[[0, 1, 1, 1]], "teacher": one_hot[[0, 1, 0, 0]], "small": one_hot[[0, 1, 1, 0]]},
        labels,
        classes=2,
        reference="teacher",
        shipped="small",
        pairs=[("small", "teacher"), ("small", "fp32")],
    )
    assert (result.reference, result.shipped, result.samples) == ("teacher", "small", 4)
    assert {name: each.accuracy.correct for name, each in result.models.items()} == {
        "teacher": 3,
        "fp32": 3,
        "small": 2,
    }
    assert {name: each.agreement for name, each in result.models.items()} == {"teacher": 4, "fp32": 2, "small": 3}
    assert [(each.model, each.reference) for each in result.pairs] == [("small", "teacher"), ("small", "fp32")]
    against_fp32 = result.pair("small", "fp32")
    assert (against_fp32.only_reference_right, against_fp32.only_model_right) == (1, 0)
    assert against_fp32.drop == 0.25
    assert result.pair("small", "teacher").only_reference_right == 1


def test_a_gain_over_seeds_is_students_t_of_the_differences() -> None:
    taught, untaught = [0.95, 0.96, 0.94, 0.97], [0.93, 0.95, 0.94, 0.94]
    found = gain_over_seeds(taught, untaught, step=0.01)
    expected = ttest_rel(taught, untaught)
    assert found.mean == pytest.approx(0.015)
    assert found.std == pytest.approx(np.std([0.02, 0.01, 0.0, 0.03], ddof=1))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))
    half = t.ppf(0.975, 3) * found.std / 2
    assert found.interval == pytest.approx((0.015 - half, 0.015 + half))


def test_differences_that_are_the_same_may_be_so_by_chance() -> None:
    assert gain_over_seeds([0.9, 0.8], [0.9, 0.8], step=0.01).p_value == 1.0
    ahead = gain_over_seeds([0.9, 0.8], [0.89, 0.79], step=0.01)  # by one sample of 100, twice
    error = 0.01 / 12**0.5 / 2**0.5
    assert ahead.std == pytest.approx(0, abs=1e-12)
    assert ahead.p_value == pytest.approx(2 * t.sf(0.01 / error, 1))
    assert ahead.p_value > 0.1
    assert ahead.interval == pytest.approx((0.01 - t.ppf(0.975, 1) * error, 0.01 + t.ppf(0.975, 1) * error))
    far = gain_over_seeds([0.95] * 5, [0.9] * 5, step=0.0001)
    assert far.verdict == "better"


def test_one_pair_is_not_enough() -> None:
    with pytest.raises(ValueError, match="one training"):
        gain_over_seeds([0.9], [0.8], step=0.01)
