"""Texts become the numbers that BERT's own tokenizer gives them, and no text is lost in a vocabulary that was cut."""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities import text
from edgekd.data.modalities.base import contract_for, specs_of
from edgekd.data.modalities.text import inputs, specify
from edgekd.data.modalities.text.inputs import Tokenizer, accepted, feed, read, tokenizer_of

MODEL = "models/all-MiniLM-L6-v2"
ANY = st.text(
    # of what is not assigned yet `tokenizers` knows the small letters already; its tables of the composed are older
    st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\0\U00011938"),
    max_size=60,
)
WORDS = (
    *("the", "Playing", "naïve", "CAFÉ", "don't", "ΑΣ", "Σ", "İ", "ǅ", "漢字かな", "e\u0301", "🙂👍🏽", "ﬁ", "한국어"),
    *("[CLS]", "##s", "<0x41>", "a\u0300\u0301b", "٣", "…", "$5.00"),
)
PARTS = st.sampled_from([*WORDS, "\u200d", "\ufeff", "\x85", "\u2028", "\t", "\u3000", "x" * 100, "y" * 101])
TEXTS = st.one_of(ANY, st.lists(PARTS, max_size=12).map(" ".join), st.lists(PARTS, max_size=8).map("".join))


@cache
def lines_of(folder: Path) -> tuple[str, ...]:
    """All sentences of SST-2 and TREC."""
    files = {path: "latin-1" if path.name.startswith("TREC") else "utf-8" for path in sorted(folder.iterdir())}
    found = [line for path, code in files.items() for line in path.read_text(encoding=code).split("\n") if line]
    return tuple(line.split(" ", 1)[1] for line in found)


@pytest.fixture(scope="session")
def sentences(edgekd_data: Path) -> tuple[str, ...]:
    if not (edgekd_data / "text").is_dir():
        pytest.skip("no folder text in EDGEKD_DATA")
    return lines_of(edgekd_data / "text")


@pytest.fixture(scope="session")
def bert(edgekd_data: Path) -> Path:
    if not (edgekd_data / MODEL / "vocab.txt").is_file():
        pytest.skip(f"no {MODEL} in EDGEKD_DATA")
    return edgekd_data / MODEL


@pytest.fixture(scope="session")
def official(bert: Path) -> Any:
    """The library's tokenizer, which takes marks such as [CLS] in a text for text."""
    transformers = pytest.importorskip("transformers")
    return transformers.BertTokenizerFast.from_pretrained(str(bert), split_special_tokens=True)


@pytest.fixture(scope="session")
def specs(sentences: tuple[str, ...], bert: Path) -> list[dict[str, Any]]:
    """Of the first 2000 sentences, cut to 3000 pieces."""
    tokenizer = {"vocabulary_file": str(bert), "size": 3000, "length": 40, "pieces_length": 32}
    return specify(accepted(sentences[:2000]), {"tokenizer": tokenizer})


def test_every_sentence_has_the_numbers_of_the_official_tokenizer(
    sentences: tuple[str, ...], specs: list[dict[str, Any]], official: Any
) -> None:
    fed = feed(accepted(sentences), specs)["pieces"]
    wanted = official(list(sentences), padding="max_length", truncation=True, max_length=32, return_tensors="np")
    assert len(sentences) > 15_000
    assert (np.count_nonzero(fed, axis=1) == 32).sum() > 1000  # that are cut off
    np.testing.assert_array_equal(fed, wanted["input_ids"])


@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
@settings(max_examples=400)
def test_whatever_the_text_it_has_the_numbers_of_the_official_tokenizer(
    texts: list[str], specs: list[dict[str, Any]], official: Any
) -> None:
    tokenizer = tokenizer_of(specs[1]["preprocessing"])
    for length in (512, 7):
        wanted = official(texts, truncation=True, max_length=length)["input_ids"]
        assert [tokenizer.numbers(each, length) for each in texts] == wanted


def test_every_character_is_in_a_word_as_the_library_has_it() -> None:
    """But for the letters and compositions that ANY leaves out."""
    tokenizers = pytest.importorskip("tokenizers")
    clean, split = tokenizers.normalizers.BertNormalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
    own = Tokenizer(["[PAD]", "[UNK]"], **{key: each for key, each in _of(["[UNK]"]).items() if key != "vocabulary"})
    known = [code for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    known.remove(0x11938)
    assert len(known) > 250_000
    for start in range(0, len(known), 5000):
        text = " ".join(f"a{chr(code)}b" for code in known[start : start + 5000])
        assert own.words(text) == [word for word, _ in split.pre_tokenize_str(clean.normalize_str(text))]


@pytest.mark.parametrize(("lowercase", "strip"), [(True, False), (False, True), (False, False)])
def test_case_and_accents_can_be_kept_as_the_official_tokenizer_does(bert: Path, lowercase: bool, strip: bool) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    official = tokenizers.BertWordPieceTokenizer(str(bert / "vocab.txt"), lowercase=lowercase, strip_accents=strip)
    own = tokenizer_of(
        {**_of([*(bert / "vocab.txt").read_text().split("\n")[:-1]]), "lowercase": lowercase, "accents": not strip}
    )
    for each in ("Crème Brûlée", "ÀÉ naïve ΑΣ", "e\u0301 été", "The İstanbul"):
        assert own.numbers(each, 99) == official.encode(each, add_special_tokens=False).ids


def _of(vocabulary: list[str]) -> dict[str, Any]:
    rules = {"lowercase": True, "accents": False, "continuation": "##", "bytes": -1, "first": -1, "last": -1}
    return {**rules, "vocabulary": vocabulary, "unknown": vocabulary.index("[UNK]"), "longest_word": 100}


def decoded(numbers: list[int], rules: dict[str, Any]) -> list[str]:
    """The words that the numbers of a cut vocabulary stand for, by what the contract says of them."""
    words: list[bytes] = []
    for number in numbers:
        entry = rules["vocabulary"][number]
        if rules["bytes"] <= number < rules["bytes"] + 256:
            words[-1] += bytes([int(entry[1:-1], 16)])
        elif entry.startswith("##"):
            words[-1] += entry[2:].encode()
        else:
            words.append(b"" if number == rules["unknown"] else entry.encode())
    return [each.decode() for each in words]


@given(each=TEXTS)
@settings(max_examples=400)
def test_a_cut_vocabulary_loses_nothing_and_its_words_are_those_of_the_whole_one(
    each: str, specs: list[dict[str, Any]]
) -> None:
    cut, whole = (spec["preprocessing"] for spec in specs)
    words = tokenizer_of(whole).words(each)
    numbers = tokenizer_of(cut).numbers(each, 10**6)
    assert 0 not in numbers
    if not words:
        assert numbers == [1]
        return
    assert decoded(numbers, cut) == words
    begun = [number for number in tokenizer_of(whole).numbers(each, 10**6)[1:-1] if not _goes_on(number, whole)]
    assert len(begun) == len(words)


def _goes_on(number: int, rules: dict[str, Any]) -> bool:
    return str(rules["vocabulary"][number]).startswith("##")


def test_the_numbers_of_a_small_vocabulary_are_those_that_the_rules_give() -> None:
    marks = ["[PAD]", "[UNK]", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(
        [*marks, "play", "##ing", "##i", "!"],
        **{key: value for key, value in _of(marks).items() if key not in ("vocabulary", "bytes")},
        bytes=2,
    )
    play, ing, i, mark = range(258, 262)
    assert tokenizer.numbers("Playing!", 9) == [play, ing, mark]
    assert tokenizer.numbers("played", 9) == [play, 2 + ord("e"), 2 + ord("d")]
    assert tokenizer.numbers("é", 9) == [1, 2 + ord("e")]
    assert tokenizer.numbers("漢i", 9) == [1, 2 + 0xE6, 2 + 0xBC, 2 + 0xA2, 1, 2 + ord("i")]
    assert tokenizer.numbers("äiix", 9) == [1, 2 + ord("a"), i, i, 2 + ord("x")]
    assert tokenizer.numbers("playing playing", 3) == [play, ing, play]
    assert tokenizer.numbers("\u200b", 9) == [1]


def test_texts_are_cut_off_or_filled_up_with_zeros() -> None:
    spec = {"name": "ids", "shape": [4], "preprocessing": _of(["[PAD]", "[UNK]", "a"])}
    assert feed(accepted(["a b", "a a a a a"]), [spec])["ids"].tolist() == [[2, 1, 0, 0], [2, 2, 2, 2]]
    framed = {**spec, "preprocessing": {**spec["preprocessing"], "first": 7, "last": 8}}  # type: ignore[dict-item]
    assert feed(accepted(["a", "a a a a a"]), [framed])["ids"].tolist() == [[7, 2, 8, 0], [7, 2, 2, 8]]
    assert feed(accepted(["a"]), [spec])["ids"].dtype == np.int32


def test_a_contract_that_is_read_again_feeds_the_same_and_names_no_file(sentences: tuple[str, ...], bert: Path) -> None:
    samples = accepted(sentences[:50])
    contract = contract_for("text", samples, ("a", "b"), {"tokenizer": {"vocabulary_file": str(bert)}})
    again = json.loads(json.dumps(specs_of(contract)))
    assert str(bert) not in json.dumps(again)
    assert [(each.name, each.dtype, each.varies) for each in contract.inputs] == [
        ("ids", "int32", True),
        ("pieces", "int32", True),
    ]
    for name, fed in feed(samples, specs_of(contract)).items():
        np.testing.assert_array_equal(feed(samples, again)[name], fed)
    assert list(feed(samples, again[:1])) == ["ids"]


def test_many_vocabularies_in_turn_are_not_mixed_up() -> None:
    rules = [_of(["[PAD]", "[UNK]", *(f"w{number}" for number in range(turn))]) for turn in range(1, 12)]
    for _ in range(2):
        assert [tokenizer_of(each).numbers("w0 w5", 9) for each in rules] == [
            [2, 7 if turn > 5 else 1] for turn in range(1, 12)
        ]


@pytest.mark.parametrize("given_texts", [["a", "b\u00e9"], [b"a", "b\u00e9".encode()], np.array(["a", "b\u00e9"])])
def test_str_and_bytes_become_utf8(given_texts: Any) -> None:
    found = accepted(given_texts)
    assert found.dtype == "S3"
    assert found.tolist() == [b"a", b"b\xc3\xa9"]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (["a", " \n"], "text 1 (counted from 0): the text is empty"),
        (["a", "\u3000"], "the text is empty"),
        (["a\0b"], "the character 0 at byte 1"),
        ([b"ab\xe9"], "not UTF-8: byte 2 (counted from 0) is 0xe9"),
        (["\ud800"], "half of a surrogate pair"),
        ([["a", "b"]], "is not an array of texts"),
        ([1, 2], "is not an array of texts"),
        ([], "is not an array of texts"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(wrong: Any, what: str) -> None:
    with pytest.raises(ValueError) as error:
        accepted(wrong)
    first, hint = str(error.value).split("\n")
    assert what in first
    assert hint


def test_one_text_that_would_make_all_others_as_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MOST_BYTES", 100)
    assert len(accepted(["a" * 33, "b", "c"])) == 3
    with pytest.raises(ValueError, match=r"text 1 \(counted from 0\) has 34 bytes"):
        accepted(["b", "a" * 34, "c"])


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_file_is_read_line_by_line(tmp_path: Path, before: bytes, end: bytes, last: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(before + end.join([b"one", "zwei \u2028 \x0b drei".encode()]) + (end if last else b""))
    assert read(path, []).tolist() == [b"one", "zwei \u2028 \x0b drei".encode()]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"a\n\nb\n", ":2: the text is empty"),
        (b"a\nb\xe9c\n", ":2: not UTF-8: byte 1 (counted from 0) is 0xe9"),
        (b"a\n\xef\xbb\n", ":2: not UTF-8: byte 0"),
        (b"a\0\n", ":1: the character 0 at byte 1"),
        (b"", "no text in it"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_line_and_byte(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt") as error:
        read(tmp_path / "a.txt", [])
    assert what in str(error.value)
    assert "\n" not in str(error.value)


def test_an_array_that_holds_no_texts_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"cannot read .*a\.npy: float64 \(3,\) is not an array of texts$"):
        read(tmp_path / "a.npy", [])
    with pytest.raises(ValueError, match="not a regular file"):
        read(tmp_path, [])


def test_texts_know_no_shift() -> None:
    with pytest.raises(ValueError, match="noise is for images\ntexts take none"):
        text.shifted(accepted(["a"]), [], "noise", 0.1, 0)


def test_words_are_hidden_or_replaced_and_both_are_not_more_than_all() -> None:
    specs = specify(accepted(["a b", "a b"]))
    assert text.augmentation(AugmentOptions(mask=0.5, replace=0.5), specs) is not None
    with pytest.raises(ValueError, match="mask and replace are 1.1 of the words together\n"):
        text.augmentation(AugmentOptions(mask=0.5, replace=0.6), specs)


def test_the_card_tells_inputs_and_rules() -> None:
    (spec,) = specify(accepted(["a b", "a b"]), {"tokenizer": {"length": 5}})
    facts = dict(text.facts([spec]))
    assert facts["input"].startswith("`ids`: int32 (N, 5)")
    assert "lower case, accents off" in facts["preprocessing"]
    assert "260 entries" in facts["preprocessing"]
    assert "UTF-8 bytes" in facts["preprocessing"]


def test_lines_that_would_take_more_memory_than_there_is_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each text takes as much room as the longest one."""
    monkeypatch.setattr(inputs, "MOST_BYTES", 10_000)
    (tmp_path / "lines.txt").write_text("a" * 500 + "\nshort" * 30)
    with pytest.raises(ValueError, match=r"lines\.txt: text 0 \(counted from 0\) has 500 bytes"):
        read(tmp_path / "lines.txt", [])
