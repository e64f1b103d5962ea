"""Files of vocabularies that are damaged, or of another kind, are one line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekd.data.vocabulary import read_vocabulary

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "word", "##s"]


def tokenizer(**changes: Any) -> dict[str, Any]:
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "vocab": {entry: number for number, entry in enumerate(ENTRIES)},
        **changes.pop("model", {}),
    }
    return {
        "model": model,
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        **changes,
    }


def test_an_honest_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer()))
    assert read_vocabulary(tmp_path).entries == tuple(ENTRIES)


@pytest.mark.parametrize(
    "content",
    [
        {"model": "WordPiece"},
        {**tokenizer(), "model": {k: v for k, v in tokenizer()["model"].items() if k != "vocab"}},
        tokenizer(model={"vocab": ENTRIES}),
        tokenizer(model={"vocab": {"a": 0, "b": "1"}}),
        tokenizer(model={"max_input_chars_per_word": "x"}),
        tokenizer(normalizer=[1]),
        tokenizer(model={"vocab": {"a": 0, "b": 2}}),
        [],
    ],
    ids=range(8),
)
def test_one_that_does_not_fit_is_told_with_what_fits(content: object, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="tokenizer.json") as error:
        read_vocabulary(path)
    what, _, hint = str(error.value).partition("\n")
    assert what.startswith(str(path))
    assert hint.startswith("expected a vocab.txt of WordPiece")


def test_one_that_is_nested_without_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="expected a vocab.txt"):
        read_vocabulary(tmp_path)


def test_a_list_of_pieces_keeps_the_rules_that_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(ENTRIES))
    assert read_vocabulary(tmp_path / "vocab.txt").lowercase
    cased = tokenizer(normalizer={"type": "BertNormalizer", "lowercase": False})
    (tmp_path / "tokenizer.json").write_text(json.dumps(cased))
    found = read_vocabulary(tmp_path / "vocab.txt")
    assert (found.lowercase, found.accents) == (False, True)
