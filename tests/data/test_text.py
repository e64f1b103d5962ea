"""The user's own texts: lines, tables and folders, and one clear line for each fault in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.config.check import check
from edgekd.config.source import Source
from edgekd.data.modalities.base import contract_for
from edgekd.data.samples import UNLABELLED, LabelledData, Split
from edgekd.data.text import Text
from edgekd.errors import ConfigError
from edgekd.progress import Silent

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s"]
KINDS = ["lines.txt", "lines.all", "table.csv", "semicolons.csv", "table.tsv", "objects.jsonl", "folder"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(count: int, first: int = 0) -> list[tuple[str, str]]:
    """Label and text."""
    return [
        (("bad", "good")[n % 2], f'film "{n}", {("bad", "good")[n % 2]}; naïve') for n in range(first, first + count)
    ]


def made(folder: Path, kind: str, told: list[tuple[str, str]]) -> Path:
    """A file or folder of that kind, with these labels and texts."""
    path = folder / kind
    if kind == "folder":
        for number, (label, text) in enumerate(told):
            write(path / label / f"{number:03}.txt", f"{text}\n")
        write(path / "good" / "readme.md", "no text")
        write(path / "good" / ".hidden.txt", "no text")
        return path
    if path.suffix == ".jsonl":
        lines = [json.dumps({"id": 1, "label": label, "text": text}) for label, text in told]
    elif path.suffix == ".tsv":
        lines = ["text\tlabel", *(f"{text}\t{label}" for label, text in told)]
    elif path.suffix == ".csv":
        mark = ";" if kind == "semicolons.csv" else ","
        quoted = [(label, text.replace('"', '""')) for label, text in told]
        lines = [f"id{mark}label{mark}text", *(f'7{mark}{label}{mark}"{text}"' for label, text in quoted)]
    else:
        lines = [f"{label} {text}" for label, text in told]
    return write(path, "\n".join(lines) + "\n")


def dataset(path: Path, **options: object) -> Text:
    return Text.model_validate({"use": "text", "train": str(path), **options})


def load(path: Path, **options: object) -> LabelledData:
    return dataset(path, **options).load(Silent())


def texts_of(split: Split) -> list[str]:
    return [each.decode() for each in np.asarray(split.samples).tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_and_labels_come_from_each_kind_of_file(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, rows(20))
    other = made(tmp_path / "test", kind, rows(6, 20))
    data = load(path, test=str(other))
    assert data.classes == ("bad", "good")
    for split, told in ((data.train, rows(20)), (data.test, rows(6, 20))):
        found = [(data.classes[label], text) for label, text in zip(split.labels, texts_of(split), strict=True)]
        assert sorted(found) == sorted(told)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("test", [0.2, 4, "2e-1"])
def test_a_stratified_share_or_number_becomes_the_test_split_always_the_same(
    tmp_path: Path, kind: str, test: object
) -> None:
    path = made(tmp_path, kind, rows(20))
    data = load(path, test=test)
    assert np.bincount(data.test.labels).tolist() == [2, 2]
    assert sorted([*texts_of(data.train), *texts_of(data.test)]) == sorted(text for _, text in rows(20))
    assert texts_of(load(path, test=test).test) == texts_of(data.test)


def test_columns_have_the_names_that_the_options_say(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "stars,review,text\n" + "".join(f"{n % 3},r {n},x\n" for n in range(12)))
    data = load(path, text="review", label="stars", test=3)
    assert data.classes == ("0", "1", "2")
    assert all(each.startswith("r ") for each in texts_of(data.train))
    lines = "".join(json.dumps({"stars": n % 3, "review": f"r {n}"}) + "\n" for n in range(12))
    assert load(write(tmp_path / "a.jsonl", lines), text="review", label="stars", test=3).classes == ("0", "1", "2")


def test_classes_are_sorted_as_numbers_where_all_of_them_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "".join(f"{label} text {n}\n" for n, label in enumerate(["10", "9", "100"] * 4)))
    data = load(path, test=3)
    assert data.classes == ("9", "10", "100")
    for text, label in zip(texts_of(data.train), data.train.labels, strict=True):
        assert ["10", "9", "100"][int(text.split()[1]) % 3] == data.classes[label]


def test_windows_lines_a_byte_order_mark_and_tabs_are_read(tmp_path: Path) -> None:
    content = "\ufeff" + "".join(f"{label}\t{text}\r\n" for label, text in rows(8))
    data = load(write(tmp_path / "a.txt", content), test=2)
    assert data.classes == ("bad", "good")
    assert set(texts_of(data.train)) < {text for _, text in rows(8)}


def test_a_cell_of_several_lines_is_one_text_and_nothing_is_quoted_in_tsv(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'label,text\na,"one\ntwo"\nb,three\na,"4"\nb,5\n')
    assert (
        b"one\ntwo"
        in np.asarray(load(path, test=2).train.samples).tolist() + np.asarray(load(path, test=2).test.samples).tolist()
    )
    path = write(tmp_path / "a.tsv", 'label\ttext\na\t"open\nb\tnot" closed\na\tx\nb\ty\n')
    data = load(path, test=2)
    assert {'"open', 'not" closed'} < {*texts_of(data.train), *texts_of(data.test)}


def test_another_encoding_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "".join(f"{n % 2} caf\u00e9 {n}\n" for n in range(8)).encode("latin-1"))
    assert all("café" in each for each in texts_of(load(path, encoding="latin-1").train))


HEAD = "a one\nb two\n"


@pytest.mark.parametrize(
    ("name", "content", "line", "what", "hint"),
    [
        ("a.txt", f"{HEAD}\nc x\n", 3, "the text is empty", "leave this one out"),
        ("a.txt", f"{HEAD}c\n", 3, "the text is empty", "leave this one out"),
        ("a.txt", f"{HEAD}a caf".encode() + b"\xe9\n", 3, "not UTF-8: byte 5 of the line", "`encoding: latin-1`"),
        ("a.txt", b"\xef\xbb\xbfa \xe9\n", 1, "not UTF-8: byte 5 of the line (counted from 0) is 0xe9", "UTF-8"),
        ("a.txt", f"{HEAD}a x\0y\n", 3, "a character 0 is in it", "save it as text in UTF-8"),
        ("a.txt", "a one\n".encode("utf-16"), 1, "a character 0 is in it: no text, or in UTF-16", "UTF-8"),
        ("a.csv", "label,text\na,x\nb, \n", 3, "the text is empty", "leave this one out"),
        ("a.csv", "label,text\na,x\n,y\n", 3, "column 'label': the label is missing", "fill it in"),
        ("a.csv", "label,txt\na,x\n", 2, "no column 'text'", "did you mean 'txt'?"),
        ("a.csv", "label,text\na,x\nb,y,z\n", 3, "3 cells in this row, but 2 columns", "quote cells"),
        (
            "a.csv",
            'label,text\na,x\nb,"y\nc,z\n',
            3,
            "the row that begins here is no CSV: unexpected end of data",
            "close its quotes",
        ),
        ("a.csv", "text,text\na,x\n", 1, "two columns are named 'text'", "name of its own"),
        ("a.tsv", "label\ttext\na\tx\nb\n", 3, "1 cells in this row, but 2 columns", "quote"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": "x"}\n', 2, "no column 'label'", "one of text"),
        (
            "a.jsonl",
            '{"text": "x", "label": 1}\n{"text": x}\n',
            2,
            "not JSON: Expecting value at character 9",
            "object",
        ),
        ("a.jsonl", '{"text": "x", "text": "y"}\n', 1, "not JSON: 'text' is there twice", "object"),
        ("a.jsonl", '{"text": NaN, "label": 1}\n', 1, "not JSON: NaN is no value of JSON", "object"),
        ("a.jsonl", '["x", 1]\n', 1, "the line holds no object", "object"),
        ("a.jsonl", "\n", 1, "not JSON", "object"),
        ("a.jsonl", '{"text": null, "label": 1}\n', 1, "column 'text': null is no text", "whole number"),
        ("a.jsonl", '{"text": "x", "label": 1.5}\n', 1, "column 'label': 1.5 is no text", "whole number"),
        ("a.jsonl", '{"text": "x", "label": true}\n', 1, "column 'label': true is no text", "whole number"),
        ("a.jsonl", '{"text": "x\\u0000y", "label": 1}\n', 1, "a character 0 is in the text", "leave this one out"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}\n', 1, "half of a surrogate pair", "leave this one out"),
        ("a.jsonl", "[" * 200_000 + "\n", 1, "not JSON", "object"),
    ],
)
def test_a_fault_is_told_with_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, line: int, what: str, hint: str | None
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert error.value.where == f"{path}:{line}"
    assert what in error.value.what
    assert "\n" not in error.value.what
    assert hint is None if error.value.hint is None else str(hint) in error.value.hint


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"a/1.txt": b"x", "b/2.txt": b"ok\ncaf\xe9"}, "not UTF-8: byte 3 of the line"),
        ({"a/1.txt": b"x", "b/2.txt": b" \n"}, "the text is empty"),
        ({"a/1.txt": b"x", "2.txt": b"x"}, "2.txt is in no class folder"),
        ({"a/1.md": b"x"}, "holds no texts"),
        ({"a/1.txt": b"x"}, "only one class, 'a'"),
    ],
)
def test_a_fault_in_a_folder_is_told_with_the_file(tmp_path: Path, content: dict[str, bytes], what: str) -> None:
    for name, each in content.items():
        write(tmp_path / "folder" / name, each)
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "folder")
    assert what in str(error.value)
    if "b/2.txt" in content:
        line = ":2" if b"\n" in content["b/2.txt"] and what.startswith("not") else ""
        assert error.value.where == f"{tmp_path}/folder/b/2.txt{line}"


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", ""), ("a.csv", "label,text\n"), ("a.csv", ""), ("a.jsonl", "")]
)
def test_a_file_without_texts_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ConfigError, match="holds no texts") as error:
        load(path)
    assert str(path) in error.value.what


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_only_the_test_texts_have_is_told_with_its_place(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind, rows(8))
    other = made(tmp_path / "test", kind, [*rows(2, 8), ("ugly", "no class")])
    with pytest.raises(ConfigError, match="the label 'ugly' does not occur in the training file") as error:
        load(path, test=str(other))
    line = 3 if kind.startswith(("lines", "objects")) else 4
    assert error.value.where == (f"{other}/ugly/002.txt" if kind == "folder" else f"{other}:{line}")
    assert error.value.hint == "the classes are bad, good"


@pytest.mark.parametrize("kind", ["plain.txt", "table.csv", "objects.jsonl", "folder"])
def test_texts_without_labels_are_all_unlabelled_and_none_is_a_test(tmp_path: Path, kind: str) -> None:
    if kind == "plain.txt":
        path = write(tmp_path / kind, "first text\nsecond\n")
    elif kind == "folder":
        path = write(tmp_path / kind / "1.txt", "first text").parent
        write(path / "deep/2.txt", "second")
    else:
        path = write(tmp_path / kind, "text\nfirst text\nsecond\n")
        if kind == "objects.jsonl":
            write(path, '{"text": "first text"}\n{"text": "second"}\n')
    data = load(path, label=None)
    assert sorted(texts_of(data.train)) == ["first text", "second"]
    assert data.train.labels.tolist() == [UNLABELLED] * 2
    assert (len(data.test), data.classes) == (0, ())


def faults(path: Path, **options: object) -> list[tuple[str, str | None]]:
    """What is wrong with a dataset as a pipeline file has it: each fault and its hint."""
    source = Source(path.with_name("pipe.yaml"), {"use": "text", "train": path.name, **options}, {})  # type: ignore[dict-item]
    with pytest.raises(ConfigError) as error:
        check(Text, source)
    return [(each.what, each.hint) for each in (error.value, *error.value.others)]


def test_options_that_do_not_fit_are_told_before_anything_is_read(tmp_path: Path) -> None:
    path = made(tmp_path, "lines.txt", rows(8))
    copy = write(tmp_path / "copy.txt", path.read_bytes())
    assert faults(path, train="gone.txt") == [("train: no such file or folder: gone.txt", None)]
    assert faults(path, test="gone.txt") == [("test: no such file or folder: gone.txt", None)]
    ((what, _),) = faults(path, test=copy.name)
    assert what == "test: copy.txt has the same content as `train`: a test on what was learned says nothing"
    ((what, hint),) = faults(path, text="review")
    assert "`text` and `label` are columns, and lines.txt has none" in what
    assert ".csv, .tsv, .jsonl" in str(hint)
    other = made(tmp_path / "test", "lines.txt", rows(8, 8))
    ((what, _),) = faults(path, label=None, test=str(other))
    assert "texts without labels are no test" in what
    for wrong in (True, None, 0, -1, 5.7, "5.7", float("inf"), ["a"]):
        ((what, _),) = faults(path, test=wrong)
        assert what.startswith("test: expected a share (below 1) or number of texts, or a file")
    assert faults(path, encoding="utf-16")[0][0].startswith("encoding: ")


def test_a_vocabulary_is_checked_with_the_other_options(tmp_path: Path) -> None:
    path = made(tmp_path, "lines.txt", rows(8))
    write(tmp_path / "words.txt", "good\nbad\n")
    ((what, hint),) = faults(path, tokenizer={"vocabulary": "words.txt"})
    assert what.startswith("tokenizer.vocabulary: ")
    assert "words.txt does not fit: it has no [UNK]" in what
    assert "vocab.txt of WordPiece" in str(hint)
    assert faults(path, tokenizer={"vocabulary": "gone"})[0][0].endswith("no such file or folder: gone")
    ((what, _),) = faults(path, tokenizer={"pieces_length": 8})
    assert "`pieces_length` is of a vocabulary, and there is none" in what


def test_the_tokenizer_options_reach_the_contract(tmp_path: Path) -> None:
    path = made(tmp_path, "lines.txt", rows(20))
    write(tmp_path / "model/vocab.txt", "\n".join(ENTRIES) + "\n")
    options = {"vocabulary": "model", "size": 2, "length": 5, "pieces_length": 7}
    source = Source(tmp_path / "pipe.yaml", {"use": "text", "train": path.name, "tokenizer": options}, {})  # type: ignore[dict-item]
    data = check(Text, source).load(Silent())
    contract = contract_for("text", data.train.samples, data.classes, data.reading)
    assert [(each.name, each.shape) for each in contract.inputs] == [("ids", (5,)), ("pieces", (7,))]
    kept = contract.inputs[0].preprocessing["vocabulary"]
    assert isinstance(kept, list)
    assert kept[258:] == ["film", "good"]  # as frequent as "bad", and before it
    plain = load(path, tokenizer={"size": 3})
    (only,) = contract_for("text", plain.train.samples, plain.classes, plain.reading).inputs
    assert only.name == "ids"
    assert len(only.preprocessing["vocabulary"]) == 258 + 3  # type: ignore[arg-type]


def test_identity_follows_texts_and_vocabulary_and_not_their_places(tmp_path: Path) -> None:
    path = made(tmp_path, "lines.txt", rows(20))
    vocabulary = write(tmp_path / "vocab.txt", "\n".join(ENTRIES) + "\n")
    before = dataset(path, tokenizer={"vocabulary": str(vocabulary)}).identity()
    assert str(tmp_path) not in json.dumps(before)
    path, vocabulary = path.rename(tmp_path / "moved.txt"), vocabulary.rename(tmp_path / "vocabulary.txt")
    assert dataset(path, tokenizer={"vocabulary": str(vocabulary)}).identity() == before
    changes: tuple[dict[str, object], ...] = (
        {"tokenizer": {"vocabulary": str(vocabulary), "size": 9}},
        {"tokenizer": {}},
        {"test": 0.3},
        {"test": str(made(tmp_path / "test", "lines.txt", rows(4, 20)))},
        {"label": None},
    )
    identities = [before, *(dataset(path, **options).identity() for options in changes)]
    write(tmp_path / "tokenizer_config.json", '{"do_lower_case": false}')
    identities.append(dataset(path, tokenizer={"vocabulary": str(vocabulary)}).identity())
    write(path, path.read_bytes() + b"good one more\n")
    identities.append(dataset(path).identity())
    assert len({json.dumps(each) for each in identities}) == len(identities)
    folder = made(tmp_path, "folder", rows(4))
    known = dataset(folder).identity()
    write(folder / "good/notes.md", "other")
    assert dataset(folder).identity() == known
    write(folder / "good/more.txt", "one more")
    assert dataset(folder).identity() != known
