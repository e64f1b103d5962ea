from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.config.check import check
from edgekd.config.source import Source
from edgekd.data.csv import Csv
from edgekd.data.samples import LabelledData
from edgekd.errors import ConfigError
from edgekd.progress import Silent


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rows(count: int, first: int = 0) -> str:
    """Two features that tell which row it is, and a label: odd or even."""
    numbers = range(first, first + count)
    return "".join(f"{number},{number / 4},{'odd' if number % 2 else 'even'}\n" for number in numbers)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "table.csv", f"count,quarter,kind\n{rows(20)}")


def dataset(path: Path, **options: object) -> Csv:
    return Csv.model_validate({"use": "csv", "path": str(path), "label": "kind", **options})


def load(path: Path, **options: object) -> LabelledData:
    return dataset(path, **options).load(Silent())


def test_features_labels_and_classes_come_as_they_stand(table: Path) -> None:
    component = dataset(table)
    assert component.modality == "vector"
    data = component.load(Silent())
    assert data.classes == ("even", "odd")
    assert data.train.samples.dtype == np.float32
    assert data.train.samples.shape == (16, 2)
    for part in (data.train, data.test):
        counts = np.asarray(part.samples)[:, 0]
        np.testing.assert_array_equal(np.asarray(part.samples)[:, 1], counts / 4)
        np.testing.assert_array_equal(part.labels, counts % 2)
    assert sorted([*np.asarray(data.train.samples)[:, 0], *np.asarray(data.test.samples)[:, 0]]) == list(range(20))


def test_a_stratified_share_or_number_becomes_the_test_split_always_the_same(table: Path) -> None:
    assert np.bincount(load(table).test.labels).tolist() == [2, 2]
    assert np.bincount(load(table, test=8).test.labels).tolist() == [4, 4]
    np.testing.assert_array_equal(load(table).test.samples, load(table).test.samples)


def test_a_file_of_its_own_may_be_the_test_split_with_its_columns_in_another_order(table: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "test.csv", "kind,note,quarter,count\nodd,x,25.25,101\neven,y,25.5,102\n")
    data = load(table, test_path=str(other))
    assert len(data.train) == 20
    assert np.asarray(data.test.samples).tolist() == [[101, 25.25], [102, 25.5]]
    assert data.test.labels.tolist() == [1, 0]


@pytest.mark.parametrize("label", ["kind", 2, -1])
def test_the_label_is_named_or_counted(table: Path, label: str | int) -> None:
    assert load(table, label=label).classes == ("even", "odd")


def test_ignored_columns_are_no_features_and_may_hold_anything(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,kind,x,when\n" + "".join(f"n{n},{n % 2},{n},\n" for n in range(10)))
    data = load(path, ignore=["id", 3], test=2)
    assert data.train.samples.shape == (8, 1)
    assert data.classes == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "100"], ("9", "10", "100")),
        (["-1", "0.5", "-0.25"], ("-1", "-0.25", "0.5")),
        (["b", "10", "9"], ("10", "9", "b")),
        (["none", "yes", "na"], ("na", "none", "yes")),
    ],
)
def test_classes_are_sorted_as_numbers_where_all_of_them_are(
    tmp_path: Path, labels: list[str], classes: tuple[str, ...]
) -> None:
    path = write(tmp_path / "a.csv", "x,kind\n" + "".join(f"{n},{labels[n % 3]}\n" for n in range(12)))
    data = load(path, test=3)
    assert data.classes == classes
    for sample, label in zip(np.asarray(data.train.samples)[:, 0], data.train.labels, strict=True):
        assert classes[label] == labels[int(sample) % 3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_found_from_the_first_line(tmp_path: Path, delimiter: str, end: str) -> None:
    text = f"\ufeffcount, quarter,kind\n{rows(20)}\n".replace(",", delimiter).replace("\n", end)
    assert load(write(tmp_path / "a.csv", text)).train.samples.shape == (16, 2)


def test_another_delimiter_can_be_named(tmp_path: Path) -> None:
    text = f"count,quarter,kind\n{rows(20)}".replace(",", ":")
    assert load(write(tmp_path / "a.csv", text), delimiter=":").train.samples.shape == (16, 2)


HEAD = "x,y,kind\n1,2,a\n3,4,b\n"


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        (f"{HEAD}5,,a\n", 4, "column 'y': the value is missing", "leave the row out"),
        (f"{HEAD}\nNA,6,a\n", 5, "column 'x': the value is missing", "fill it in"),
        (f"{HEAD}5,nan,a\n", 4, "column 'y': the value is missing", "fill it in"),
        (f"{HEAD}5,6,\n", 4, "column 'kind': the value is missing", "fill it in"),
        (f"{HEAD}5,tall,a\n", 4, "column 'y': 'tall' is not a finite number", "`ignore: [y]`"),
        (f"{HEAD}5,inf,a\n", 4, "column 'y': 'inf' is not a finite number", "ignore"),
        (f"{HEAD}5,1e40,a\n", 4, "column 'y': '1e40' is not a finite number", "ignore"),
        (f"{HEAD}5,6\n", 4, "2 cells in this row, but 3 columns", "delimiter"),
        (f"{HEAD}5,6,a,7\n", 4, "4 cells in this row, but 3 columns", "delimiter"),
        (f'{HEAD}5,6,"a\n7,8,b\n9,10,a\n', 4, "the row that begins here is no CSV", "close its quotes"),
        (f'{HEAD}5,6,"a"b\n', 4, "the row that begins here is no CSV", "close its quotes"),
        ('x,y,"kind\n1,2,a\n3,4,b\n', 1, "the row that begins here is no CSV", "close its quotes"),
    ],
)
def test_a_fault_in_a_row_is_told_with_file_line_and_column(
    tmp_path: Path, text: str, line: int, words: str, hint: str
) -> None:
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert error.value.where == f"{path}:{line}"
    assert words in error.value.what
    assert hint in str(error.value.hint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3\n4,5,6\n", "the first line holds numbers"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "the first line holds numbers"),
        ("x,,kind\n1,2,a\n", r"column number 1 \(from 0\) has no name"),
        ("x,x,kind\n1,2,a\n", "two columns are named 'x'"),
        ("kind\na\nb\n", "only one column in the first line"),
        ("", "only one column in the first line"),
        ("x,kind\n", "holds no rows below its first line"),
        ("x,kind\n1,a\n2,a\n", "only one class, 'a'"),
        ("x,y\n1,a\n2,b\n", "has no column 'kind'"),
    ],
)
def test_a_file_without_fitting_columns_or_rows_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(ConfigError, match=words) as error:
        load(path)
    assert str(path) in error.value.what


def test_columns_named_by_whole_numbers_are_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"0,1,kind\n{rows(20)}")
    assert load(path).train.samples.shape == (16, 2)
    assert load(path, ignore=["0"]).train.samples.shape == (16, 1)


def test_a_column_that_is_not_there_is_told_with_the_nearest(table: Path) -> None:
    with pytest.raises(ConfigError, match="no column 'kimd'") as error:
        load(table, label="kimd")
    assert error.value.hint == "did you mean 'kind'?"
    with pytest.raises(ConfigError, match="no column number 3") as error:
        load(table, ignore=[3])
    assert "3 columns" in str(error.value.hint)


def test_a_label_that_only_the_test_file_has_is_told_with_its_line(table: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "test.csv", "count,quarter,kind\n1,2,odd\n3,4,strange\n")
    with pytest.raises(ConfigError, match="the label 'strange' does not occur in the training file") as error:
        load(table, test_path=str(other))
    assert error.value.where == f"{other}:3"
    assert error.value.hint == "the classes are even, odd"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"count,kind\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="is no UTF-8 text"):
        load(tmp_path / "a.csv")


def test_all_columns_ignored_leave_no_features(table: Path) -> None:
    with pytest.raises(ConfigError, match="no column is left for features"):
        load(table, ignore=["count", "quarter"])


def test_the_path_is_meant_from_the_file_that_names_it_then_from_the_data_folder(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"use": "csv", "path": "table.csv", "label": "kind"}
    source = Source(tmp_path / "pipe.yaml", content, {("path",): 7})  # type: ignore[arg-type]
    assert len(check(Csv, source).load(Silent()).train) == 16
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path))
    assert len(check(Csv, source, folder=tmp_path / "other").load(Silent()).train) == 16
    monkeypatch.delenv("EDGEKD_DATA")
    with pytest.raises(ConfigError, match="no such file: table.csv") as error:
        check(Csv, source, folder=tmp_path / "other")
    assert error.value.where == f"{tmp_path}/pipe.yaml:7"


def test_two_words_for_the_test_split_are_refused(table: Path) -> None:
    other = write(table.with_name("test.csv"), f"count,quarter,kind\n{rows(4, 20)}")
    with pytest.raises(ValueError, match="`test` and `test_path` both say"):
        dataset(table, test=0.3, test_path=str(other))


def faults(path: Path, **options: object) -> list[tuple[str, str | None]]:
    """What is wrong with a dataset as a pipeline file has it: each fault and its hint."""
    source = Source(path.with_name("pipe.yaml"), {"use": "csv", "path": path.name, "label": "kind", **options}, {})  # type: ignore[dict-item]
    with pytest.raises(ConfigError) as error:
        check(Csv, source)
    return [(each.what, each.hint) for each in (error.value, *error.value.others)]


@pytest.mark.parametrize("copied", [False, True])
def test_a_test_file_of_the_same_content_is_refused(table: Path, copied: bool) -> None:
    same = write(table.with_name("copy.csv"), table.read_text()) if copied else table
    ((what, hint),) = faults(table, test_path=same.name)
    assert what == f"test_path: {same.name} has the same content as `path`: a test on what was learned says nothing"
    assert hint == "give a file of other rows, or leave `test_path` out: a share of `path` becomes the test split"


def test_a_test_file_of_the_same_size_is_none_of_the_same_content(table: Path) -> None:
    other = write(table.with_name("test.csv"), table.read_text().replace("0,0.0,even", "8,8.0,even"))
    assert other.stat().st_size == table.stat().st_size
    assert len(load(table, test_path=str(other)).test) == 20


@pytest.mark.parametrize("label", [True, 1.5, None, ["kind"]])
def test_a_column_is_a_name_or_a_whole_number_and_all_else_is_one_fault(table: Path, label: object) -> None:
    what = f"expected the name of a column, or its number, found {label!r}"
    assert faults(table, label=label) == [(f"label: {what}", None)]
    assert faults(table, ignore=["count", label]) == [(f"ignore.1: {what}", None)]


@pytest.mark.parametrize("option", ["test", "validation"])
@pytest.mark.parametrize("amount", [True, "some", None, float("inf")])
def test_a_share_or_number_is_a_number_and_all_else_is_one_fault(table: Path, option: str, amount: object) -> None:
    assert faults(table, **{option: amount}) == [(f"{option}: expected a number, found {amount!r}", None)]


@pytest.mark.parametrize("option", ["test", "validation", "labelled"])
def test_a_share_is_below_one_and_a_number_is_whole(table: Path, option: str) -> None:
    assert faults(table, **{option: 5.7}) == [
        (f"{option}: expected a share (below 1) or a whole number, found 5.7", None)
    ]


def test_a_share_may_be_written_as_yaml_takes_for_text(table: Path) -> None:
    assert len(load(table, test="2e-1").test) == 4


def test_labels_that_are_the_same_number_are_one_class(table: Path, tmp_path: Path) -> None:
    spellings = ["1", "2.50", "1.0", "2.5", "01", "25e-1"]
    path = write(tmp_path / "a.csv", "x,kind\n" + "".join(f"{n},{spellings[n % 6]}\n" for n in range(24)))
    other = write(tmp_path / "b.csv", "x,kind\n30,2.500\n31,+1\n")
    data = load(path, test_path=str(other))
    assert data.classes == ("1", "2.5")
    assert data.train.labels.tolist() == [0, 1] * 12
    assert data.test.labels.tolist() == [1, 0]


def test_numbers_that_only_float_takes_for_equal_are_two_classes(tmp_path: Path) -> None:
    labels = ["9007199254740992", "9007199254740993"]
    path = write(tmp_path / "a.csv", "x,kind\n" + "".join(f"{n},{labels[n % 2]}\n" for n in range(12)))
    assert load(path, test=2).classes == tuple(labels)


def test_labels_stay_as_they_are_written_where_one_is_no_number(tmp_path: Path) -> None:
    labels = ["1", "1.0", "inf"]
    path = write(tmp_path / "a.csv", "x,kind\n" + "".join(f"{n},{labels[n % 3]}\n" for n in range(12)))
    assert load(path, test=3).classes == ("1", "1.0", "inf")


@pytest.mark.parametrize("label", ["3", "odd"])
def test_a_label_of_the_test_file_that_is_no_class_is_told_where_classes_are_numbers(
    tmp_path: Path, label: str
) -> None:
    path = write(tmp_path / "a.csv", "x,kind\n1,1\n2,2\n")
    other = write(tmp_path / "b.csv", f"x,kind\n3,{label}\n")
    with pytest.raises(ConfigError, match=f"the label '{label}' does not occur in the training file"):
        load(path, test_path=str(other))


def test_identity_follows_the_rows_and_not_the_place(table: Path, tmp_path: Path) -> None:
    before = dataset(table).identity()
    moved = table.rename(tmp_path / "moved.csv")
    assert dataset(moved).identity() == before
    assert dataset(moved, ignore=["count"]).identity() != before
    other = write(tmp_path / "test.csv", f"count,quarter,kind\n{rows(4, 20)}")
    assert dataset(moved, test_path=str(other)).identity() != before
    write(moved, f"count,quarter,kind\n{rows(22)}")
    assert dataset(moved).identity() != before
