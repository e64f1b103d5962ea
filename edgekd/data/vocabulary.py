"""Which pieces of words a model knows: the entries of a vocabulary file, and those of them that training texts use."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekd.data.modalities.text.inputs import CONTINUATION, Tokenizer, accepted, tokenizer_of
from edgekd.data.samples import Rows

SIZE = 8000
LONGEST = 256
"""Of an input whose length nobody said."""
STEP = 8
FEW = 4096  # texts that are looked at in one go
LONGEST_WORD = 100
FITS = "a vocab.txt of WordPiece with [PAD] first, or a folder with one or with such a tokenizer.json, as BERT has them"


class Vocabulary(NamedTuple):
    """Of WordPiece. accents: whether they are kept."""

    entries: tuple[str, ...]
    lowercase: bool = True
    accents: bool = False
    longest_word: int = LONGEST_WORD

    def preprocessing(self, *, first: int = -1, last: int = -1, bytes_at: int = -1) -> dict[str, Any]:
        """Of an input of its entries; see `Tokenizer`."""
        return {
            "lowercase": self.lowercase,
            "accents": self.accents,
            "vocabulary": list(self.entries),
            "continuation": CONTINUATION,
            "unknown": self.entries.index("[UNK]"),
            "bytes": bytes_at,
            "first": first,
            "last": last,
            "longest_word": self.longest_word,
        }


def specs_for(samples: Rows, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The specs of `ids`, and of `pieces` where there is a vocabulary file.

    settings: `vocabulary_file`: path or None; `size`: how many pieces are kept; `length`, `pieces_length`: of the
    inputs, None: the longest training text's, up to LONGEST.

    Raises:
        ValueError: no texts, or the file does not fit; with a hint on a second line.
    """
    file, size = settings.get("vocabulary_file"), settings.get("size") or SIZE
    full = None if file is None else read_vocabulary(Path(file))
    whole = None if full is None else _framed(full)
    splitting = tokenizer_of(Vocabulary(("[PAD]", "[UNK]")).preprocessing() if whole is None else whole)
    words = Counter(word for text in _texts(samples) for word in splitting.words(text))
    kept = _frequent(words, size) if full is None else _used(words, splitting, full.entries, size)
    cut = _with_bytes(kept, full or Vocabulary(()))
    specs = [_spec("ids", cut, settings.get("length"), samples)]
    if whole is not None:
        specs.append(_spec("pieces", whole, settings.get("pieces_length"), samples))
    return specs


def read_vocabulary(path: Path) -> Vocabulary:
    """
    path: a vocab.txt, a tokenizer.json, or a folder with one of them. What a vocab.txt leaves open is taken from a
    tokenizer_config.json beside it.

    Raises:
        ValueError: it cannot be read or does not fit; with a hint on a second line.
    """
    found = path
    if path.is_dir():
        names = ("tokenizer.json", "vocab.txt")
        found = next((path / name for name in names if (path / name).is_file()), path)
        if found == path:
            raise ValueError(f"{path} holds neither tokenizer.json nor vocab.txt\nexpected {FITS}")
    try:
        vocabulary = _from_json(found) if found.suffix == ".json" else _from_lines(found)
    except UnicodeDecodeError:
        raise ValueError(f"{found} is no UTF-8 text\nexpected {FITS}") from None
    except OSError as error:
        raise ValueError(f"cannot read {error.filename or found}: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{found} is damaged, or no tokenizer.json\nexpected {FITS}") from None
    missing = [each for each in ("[UNK]", "[CLS]", "[SEP]") if each not in vocabulary.entries]
    if missing or vocabulary.entries[0] != "[PAD]":
        lacking = f"it has no {missing[0]}" if missing else f"its first entry is {vocabulary.entries[0]!r}"
        raise ValueError(f"{found} does not fit: {lacking}\nexpected {FITS}")
    return vocabulary


def _from_lines(path: Path) -> Vocabulary:
    entries = tuple(line.rstrip() for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"))
    whole, beside = path.with_name("tokenizer.json"), path.with_name("tokenizer_config.json")
    if whole.is_file() and not beside.is_file():
        return Vocabulary(entries, *_case(_object(whole).get("normalizer") or {}))
    rules = _object(beside) if beside.is_file() else {}
    lowercase = rules.get("do_lower_case", True) is not False
    return Vocabulary(entries, lowercase, _keeps_accents(rules.get("strip_accents"), lowercase))


def _from_json(path: Path) -> Vocabulary:
    """Of the library `tokenizers`."""
    content = _object(path)
    model, before, split = (content.get(key) or {} for key in ("model", "normalizer", "pre_tokenizer"))
    wanted: Sequence[tuple[str, Any, Any]] = (
        ("model", model.get("type"), "WordPiece"),
        ("unknown word", model.get("unk_token"), "[UNK]"),
        ("prefix", model.get("continuing_subword_prefix"), CONTINUATION),
        ("normalizer", before.get("type"), "BertNormalizer"),
        ("pre-tokenizer", split.get("type"), "BertPreTokenizer"),
        ("clean_text", before.get("clean_text", True), True),
        ("handle_chinese_chars", before.get("handle_chinese_chars", True), True),
    )
    for what, found, fits in wanted:
        if found != fits:
            raise ValueError(f"{path} does not fit: its {what} is {found!r}, not {fits!r}\nexpected {FITS}")
    numbers = {number: entry for entry, number in model["vocab"].items()}
    if sorted(numbers) != list(range(len(numbers))):
        raise ValueError(f"{path} does not fit: the numbers of its entries have gaps\nexpected {FITS}")
    longest = model.get("max_input_chars_per_word", LONGEST_WORD)
    entries = tuple(numbers[number] for number in range(len(numbers)))
    if type(longest) is not int or longest < 1 or not all(isinstance(each, str) for each in entries):
        raise ValueError(f"{path} does not fit: an entry is no text, or the longest word no number\nexpected {FITS}")
    return Vocabulary(entries, *_case(before), longest)


def _case(normalizer: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether words are written small, and whether their accents stay."""
    lowercase = normalizer.get("lowercase", True) is not False
    return lowercase, _keeps_accents(normalizer.get("strip_accents"), lowercase)


def _keeps_accents(strip: bool | None, lowercase: bool) -> bool:
    """BERT takes them off where it writes everything small, unless it is told otherwise."""
    return not (lowercase if strip is None else strip)


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}\nexpected {FITS}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not an object of JSON\nexpected {FITS}")
    return content


def _framed(full: Vocabulary) -> dict[str, Any]:
    return full.preprocessing(first=full.entries.index("[CLS]"), last=full.entries.index("[SEP]"))


def _with_bytes(kept: Sequence[str], rules: Vocabulary) -> dict[str, Any]:
    marks = ("[PAD]", "[UNK]")
    single = [f"<0x{byte:02X}>" for byte in range(256)]
    return rules._replace(entries=(*marks, *single, *kept)).preprocessing(bytes_at=len(marks))


def _frequent(words: Counter[str], size: int) -> list[str]:
    """The words that are there twice at least, the most frequent first."""
    found = [word for word, count in words.items() if count > 1]
    return sorted(found, key=lambda word: (-words[word], word))[:size]


def _used(words: Counter[str], splitting: Tokenizer, entries: Sequence[str], size: int) -> list[str]:
    """The pieces that words are made of, the most frequent first; words that have none count for nothing."""
    counts: Counter[int] = Counter()
    for word, count in words.items():
        for number in splitting.pieces(word):
            counts[number] += count
    del counts[splitting.unknown]
    return [entries[number] for number in sorted(counts, key=lambda each: (-counts[each], each))[:size]]


def _spec(name: str, preprocessing: dict[str, Any], length: int | None, samples: Rows) -> dict[str, Any]:
    if length is None:
        tokenizer = tokenizer_of(preprocessing)
        longest = max(len(tokenizer.numbers(text, LONGEST)) for text in _texts(samples))
        length = -(-longest // STEP) * STEP
    return {"name": name, "dtype": "int32", "shape": [length], "varies": True, "preprocessing": preprocessing}


def _texts(samples: Rows) -> Iterator[str]:
    for start in range(0, max(1, len(samples)), FEW):
        for each in accepted(samples[start : start + FEW]).tolist():
            yield each.decode()
