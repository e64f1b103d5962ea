from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities import vector
from edgekd.data.modalities.base import contract_for, feeds_for

ROWS = np.random.default_rng(0).normal([5, -300, 1e-6], [2, 50, 1e-7], (400, 3)).astype(np.float32)
SPECS = vector.specify(ROWS)


def test_features_are_standardised_on_the_training_rows_whatever_their_scale() -> None:
    contract = contract_for("vector", ROWS, ("a", "b"))
    assert contract.shape == (3,)
    fed = feeds_for(contract, ROWS)["features"]
    assert fed.dtype == np.float32
    assert fed.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-4)
    assert fed.std(axis=0) == pytest.approx([1, 1, 1], abs=1e-4)


def test_feeding_is_what_the_specs_say() -> None:
    spec = {"name": "features", "shape": [2], "preprocessing": {"mean": [1.0, -2.0], "std": [0.5, 4.0]}}
    assert vector.feed(np.array([[2, 2]], np.float32), [spec])["features"].tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30])
def test_a_constant_feature_is_kept_with_a_standard_deviation_of_one(value: float) -> None:
    rows = ROWS.copy()
    rows[:, 1] = value
    (spec,) = vector.specify(rows)
    assert spec["preprocessing"]["std"][1] == 1.0
    fed = vector.feed(rows, [spec])["features"]
    assert np.isfinite(fed).all()
    assert np.abs(fed[:, 1]).max() <= 1e-6 * abs(value)


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "uint8", "bool"])
def test_all_kinds_of_numbers_become_float32(kind: str) -> None:
    found = vector.accepted(np.array([[0, 1], [1, 0]], dtype=kind))
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "wrong", [np.zeros(3), np.zeros((2, 3, 4)), np.zeros((0, 3)), np.zeros((3, 0)), [["a", "b"]], [[None, 1.0]]]
)
def test_what_is_no_array_of_features_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"is not an array of features\nexpected numbers \(N, F\)"):
        vector.accepted(wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_value_that_is_missing_or_infinite_is_told_by_row_and_column(value: float) -> None:
    rows = np.zeros((5, 4))
    rows[3, 2] = value
    with pytest.raises(ValueError, match=rf"row 3, column 2 is {value} \(both counted from 0\)".replace("+", r"\+")):
        vector.accepted(rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "1,2,3.5\n4,5,6\n"),
        ("header.csv", "a,b,c\n1,2,3.5\n4,5,6"),
        ("blanks.txt", "# a b c\n  1 2\t3.5\r\n\n4   5 6\n"),
        ("semicolons.csv", "\ufeff1 ; 2; 3.5\n4;5;6\n"),
        ("exponents.csv", "1e0,+2,35e-1\n4,5,6\n"),
    ],
)
def test_rows_of_numbers_are_read_from_text(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    rows = vector.read(tmp_path / name, SPECS)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1, 2, 3.5], [4, 5, 6]]


def test_one_row_or_several_are_read_from_an_array_file(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.array([1, 2, 3]))
    np.save(tmp_path / "two.npy", ROWS[:2])
    assert vector.read(tmp_path / "one.npy", SPECS).tolist() == [[1, 2, 3]]
    np.testing.assert_array_equal(vector.read(tmp_path / "two.npy", SPECS), ROWS[:2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n1,2\n", "line 2 holds 2 numbers, the model takes 3"),
        ("1,,3\n", r"line 1, column 1 \(counted from 0\): '' is no number"),
        ("1,2,3,\n", r"line 1, column 3 \(counted from 0\): '' is no number"),
        ("1,2,3\n1,x,3\n", r"line 2, column 1 \(counted from 0\): 'x' is no number"),
        ("a,b,3\n1,2,3\n", "line 1, column 0"),
        ("1,nan,3\n", r"row 0, column 1 is nan"),
        ("a,b,c\n", "no row of numbers in it"),
        ("", "no row of numbers in it"),
    ],
)
def test_what_is_wrong_with_a_text_file_is_told_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        vector.read(path, SPECS)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_hold_no_fitting_numbers_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\xff\xfe")
    np.save(tmp_path / "wide.npy", np.zeros((2, 4)))
    np.save(tmp_path / "nan.npy", np.array([1, np.nan, 2]))
    np.save(tmp_path / "text.npy", np.array(["a", "b", "c"]))
    (tmp_path / "empty.npy").write_bytes(b"")
    for name, words in {
        "a.png": "neither text nor .npy",
        "wide.npy": r"the array is \(2, 4\), the model takes \(3,\) or \(N, 3\)",
        "nan.npy": "row 0, column 1 is nan",
        "text.npy": "is not an array of features",
        "empty.npy": "cannot read",
        "gone.csv": "No such file or directory",
    }.items():
        with pytest.raises((OSError, ValueError), match=words) as error:
            vector.read(tmp_path / name, SPECS)
        assert str(tmp_path / name) in str(error.value)


def test_without_noise_nothing_is_to_be_done() -> None:
    assert vector.augmentation(AugmentOptions(), SPECS) is None


def test_an_option_that_features_have_no_use_for_is_named() -> None:
    with pytest.raises(ValueError, match="rows have no use for 'shift'\none of noise"):
        vector.augmentation(AugmentOptions(shift=1, noise=0.1), SPECS)


def test_noise_is_normal_with_the_given_standard_deviation() -> None:
    augment = vector.augmentation(AugmentOptions(noise=0.25), SPECS)
    assert augment is not None
    assert vector.numbers(SPECS) == 3
    before = torch.ones(20_000, 3)
    after = augment({"features": before}, np.random.default_rng(0).random((20_000, 3)))["features"]
    assert torch.equal(before, torch.ones(20_000, 3))
    assert after.dtype == torch.float32
    noise = (after - before).numpy()
    assert noise.mean(axis=0) == pytest.approx([0, 0, 0], abs=0.01)
    assert noise.std(axis=0) == pytest.approx([0.25, 0.25, 0.25], abs=0.01)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.05
    assert np.mean(np.abs(noise) < 0.25) == pytest.approx(0.6827, abs=0.01)  # of a normal distribution


def test_a_number_of_zero_is_no_infinite_noise() -> None:
    augment = vector.augmentation(AugmentOptions(noise=1.0), SPECS)
    assert augment is not None
    assert augment({"features": torch.zeros(1, 3)}, np.zeros((1, 3)))["features"].isfinite().all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 33))
def test_the_noise_of_a_row_depends_on_its_own_numbers_alone(seed: int, batch: int) -> None:
    generator = np.random.default_rng(seed)
    augment = vector.augmentation(AugmentOptions(noise=0.3), SPECS)
    assert augment is not None
    rows, numbers = torch.from_numpy(ROWS[:40]), generator.random((40, 3))
    whole = augment({"features": rows}, numbers)["features"]
    order = generator.permutation(40)
    parts = [
        augment({"features": rows[order[at : at + batch]]}, numbers[order[at : at + batch]])["features"]
        for at in range(0, 40, batch)
    ]
    assert torch.equal(torch.cat(parts), whole[order])
