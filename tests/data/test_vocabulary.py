"""Which pieces are kept, how long inputs are, and which vocabulary files fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekd.data.modalities.text import accepted, feed
from edgekd.data.vocabulary import Vocabulary, read_vocabulary, specs_for

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "##ed", "the", "sing", "."]
FIRST_PIECE = 258  # after two marks and 256 bytes


def vocab_file(folder: Path, entries: list[str] = ENTRIES) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(entries) + "\n", encoding="utf-8")
    return path


def tokenizer_file(folder: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> Path:
    content: dict[str, Any] = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 50,
            "vocab": {entry: number for number, entry in enumerate(ENTRIES)},
        },
    }
    change(content)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def kept(texts: list[str], **settings: object) -> list[str]:
    vocabulary: list[str] = specs_for(accepted(texts), settings)[0]["preprocessing"]["vocabulary"]
    assert vocabulary[:3] == ["[PAD]", "[UNK]", "<0x00>"]
    assert vocabulary[FIRST_PIECE - 1] == "<0xFF>"
    return vocabulary[FIRST_PIECE:]


def test_without_a_file_the_words_that_occur_twice_are_kept_the_most_frequent_first() -> None:
    texts = ["Zoo, zoo and bee", "the bee and the zoo", "once"]
    assert kept(texts) == ["zoo", "and", "bee", "the"]
    assert kept(texts, size=2) == ["zoo", "and"]
    assert kept(["once more"]) == []


def test_of_a_file_the_pieces_that_training_texts_use_are_kept_by_frequency_then_place(tmp_path: Path) -> None:
    file = str(vocab_file(tmp_path))
    texts = ["playing the sing", "The playing.", "playzzz zzz"]
    assert kept(texts, vocabulary_file=file) == ["play", "##ing", "the", "sing", "."]
    assert kept(texts, vocabulary_file=file, size=3) == ["play", "##ing", "the"]


def test_the_second_input_has_the_whole_vocabulary_in_its_order(tmp_path: Path) -> None:
    ids, pieces = specs_for(accepted(["playing the", "sings"]), {"vocabulary_file": str(vocab_file(tmp_path))})
    assert (ids["name"], pieces["name"]) == ("ids", "pieces")
    rules = pieces["preprocessing"]
    assert rules["vocabulary"] == ENTRIES
    assert [rules[key] for key in ("unknown", "first", "last", "bytes")] == [1, 2, 3, -1]
    assert feed(accepted(["playing the", "sings"]), [pieces])["pieces"].tolist() == [
        [2, 5, 6, 8, 3, 0, 0, 0],
        [2, 1, 3, 0, 0, 0, 0, 0],
    ]


def test_a_length_that_nobody_said_is_that_of_the_longest_text_in_steps_of_eight_up_to_256() -> None:
    def length(words: int, **settings: object) -> object:
        return specs_for(accepted(["a", "a " * words]), settings)[0]["shape"]

    assert [length(words) for words in (1, 8, 9, 256, 300)] == [[8], [8], [16], [256], [256]]
    assert length(300, length=301) == [301]


def test_a_folder_or_file_of_either_kind_is_read(tmp_path: Path) -> None:
    whole = Vocabulary(tuple(ENTRIES))
    assert read_vocabulary(vocab_file(tmp_path)) == whole
    assert read_vocabulary(tmp_path) == whole
    tokenizer = tokenizer_file(tmp_path)
    assert read_vocabulary(tokenizer) == read_vocabulary(tmp_path) == whole._replace(longest_word=50)


def test_both_files_of_a_real_model_say_the_same(edgekd_data: Path) -> None:
    folder = edgekd_data / "models/all-MiniLM-L6-v2"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    found = read_vocabulary(folder / "vocab.txt")
    assert found == read_vocabulary(folder / "tokenizer.json") == read_vocabulary(folder)
    assert len(found.entries) == 30522


@pytest.mark.parametrize(
    ("rules", "lowercase", "accents"),
    [
        ({}, True, False),
        ({"do_lower_case": False}, False, True),
        ({"do_lower_case": False, "strip_accents": True}, False, False),
        ({"strip_accents": False}, True, True),
    ],
)
def test_case_and_accents_are_as_the_configuration_beside_it_says(
    tmp_path: Path, rules: dict[str, object], lowercase: bool, accents: bool
) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(rules))
    found = read_vocabulary(vocab_file(tmp_path))
    assert (found.lowercase, found.accents) == (lowercase, accents)


def bpe(content: dict[str, Any]) -> object:
    return content["model"].update(type="BPE")


def gap(content: dict[str, Any]) -> object:
    return content["model"]["vocab"].pop("play")


def other_words(content: dict[str, Any]) -> object:
    return content.update(pre_tokenizer={"type": "Whitespace"})


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda folder: folder, "holds neither tokenizer.json nor vocab.txt"),
        (lambda folder: folder / "gone.txt", "cannot read .*gone.txt: No such file"),
        (lambda folder: vocab_file(folder, ENTRIES[1:]), r"its first entry is '\[UNK\]'"),
        (lambda folder: vocab_file(folder, [each for each in ENTRIES if each != "[CLS]"]), r"it has no \[CLS\]"),
        (lambda folder: tokenizer_file(folder, bpe), "its model is 'BPE', not 'WordPiece'"),
        (lambda folder: tokenizer_file(folder, gap), "the numbers of its entries have gaps"),
        (lambda folder: tokenizer_file(folder, other_words), "its pre-tokenizer is 'Whitespace'"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused_in_a_line(
    tmp_path: Path, make: Callable[[Path], Path], what: str
) -> None:
    with pytest.raises(ValueError, match=what) as error:
        read_vocabulary(make(tmp_path))
    assert len(str(error.value).split("\n")) <= 2


def test_a_damaged_tokenizer_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model":\n nonsense}')
    with pytest.raises(ValueError, match=r"tokenizer\.json:2: not JSON"):
        read_vocabulary(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="is not an object of JSON"):
        read_vocabulary(path)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is no UTF-8 text"):
        read_vocabulary(tmp_path / "vocab.txt")
