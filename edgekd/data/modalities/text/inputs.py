"""Texts on a device, and in training too: reads text files and makes a model's inputs of texts.

This one file does it everywhere; a bundle has it as `inputs.py`. Beside numpy it needs nothing to be imported, and
Python 3.9 runs it. Words and pieces are those of BERT; vocabulary and rules stand in the contract.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgekd.data.modalities.base import Feeds, Spec

PADDING = 0
CONTINUATION = "##"
MOST_BYTES = 2**33  # of all texts: each takes as much room as the longest one
MOST_WORDS = 2**17  # whose pieces are remembered
MOST_TOKENIZERS = 8  # that are remembered
CHANGED = {0x166D: "Po", 0x1734: "Mn", 0x111C9: "Po"}
LATE = (
    "61d 7fd 890-8e2 9fd-9fe a76 afa-aff b55 c04-c3c c77 c84 d00 d3b-d3c d81 eba ece 180f-1886 1abf-1ace 1b7d-1b7e "
    "1df6-1dfb 2e43-2e5d a82c a8c5 a8ff a9bd 10d24-10f89 11070-11074 110c2-110cd 111cf 1123e-11241 1133b 11438-1145e "
    "11660-1166c 116b9 1182f-11fff 12ff1-13455 16e97-16f4f 16fe2-16fe4 1cf00-1cf46 1e000-1e4ef 1e944-1e95f"
)
"""Characters whose category Unicode changed, and ranges whose marks, signs and punctuation it has since version 9 only:
they are parts of words here, as in the library `tokenizers`, so that a word is the same whatever Unicode a Python
knows."""
IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
"""Each is a word by itself."""


def accepted(samples: Any) -> NDArray[np.bytes_]:
    """UTF-8, dtype S (N,), of an array or list of str or bytes.

    Raises:
        ValueError: they are none, or one is empty, not UTF-8 or holds the character 0.
    """
    given = np.asarray(samples) if not isinstance(samples, (list, tuple)) else np.array(samples, dtype=object)
    texts = given.tolist() if given.ndim == 1 else []
    if not any(isinstance(each, (str, bytes)) for each in texts):
        raise ValueError(f"{given.dtype} {given.shape} is not an array of texts\nexpected str or UTF-8 bytes (N,)")
    coded = []
    for row, text in enumerate(texts):
        if not isinstance(text, (str, bytes)):
            raise ValueError(
                f"text {row} (counted from 0) is of type {type(text).__name__}\n"
                "give str or UTF-8 bytes, or leave the row out"
            )
        try:
            coded.append(text.encode() if isinstance(text, str) else text)
            what = _wrong(coded[-1])
        except UnicodeEncodeError:
            what = "half of a surrogate pair in it"
        if what:
            raise ValueError(f"text {row} (counted from 0): {what}\ngive UTF-8 texts, none empty, or leave the row out")
    longest = max(map(len, coded))
    if longest * len(coded) > MOST_BYTES:
        row = max(range(len(coded)), key=lambda each: len(coded[each]))
        raise ValueError(
            f"text {row} (counted from 0) has {longest:,} bytes, and each of the {len(coded):,} would take as many\n"
            "cut the longest texts: the input holds a few hundred words at most"
        )
    return given if given.dtype.kind == "S" else np.array(coded, dtype=f"S{longest}")


def feed(samples: NDArray[np.bytes_], specs: Sequence[Spec]) -> Feeds:
    """The entries' numbers by input, int32 (N, L), cut off after L and filled up with 0; samples: UTF-8, dtype S."""
    texts = [each.decode() for each in samples.tolist()]
    feeds: Feeds = {}
    for spec in specs:
        (length,) = spec["shape"]
        tokenizer = tokenizer_of(spec["preprocessing"])
        filled = np.full((len(texts), length), PADDING, np.int32)
        for row, text in enumerate(texts):
            found = tokenizer.numbers(text, length)
            filled[row, : len(found)] = found
        feeds[spec["name"]] = filled
    return feeds


def read(path: Path, specs: Sequence[Spec]) -> NDArray[np.bytes_]:  # noqa: ARG001 - texts of every length will do
    """UTF-8, dtype S (N,): the lines of a text file, a sample each, or an .npy file of texts (N,).

    Raises:
        OSError, ValueError: it cannot be read, or a line is empty or not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        if path.suffix.lower() == ".npy":
            return _read_npy(path)
        content = path.read_bytes()
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    lines = content[3 if content.startswith(b"\xef\xbb\xbf") else 0 :].split(b"\n")
    if not lines[-1]:
        lines.pop()  # what is behind the end of the last line
    if not lines:
        raise ValueError(f"cannot read {path}: no text in it")
    for number, line in enumerate(lines, 1):
        what = _wrong(line)
        if what:
            raise ValueError(f"{path}:{number}: {what}")
    try:
        return accepted([line.rstrip(b"\r") for line in lines])
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


class Tokenizer:
    """Texts to numbers of entries.

    vocabulary: the entries by their number; those that begin with `continuation` go on with a word. lowercase: or keep
    the case; accents: keep them, or take off all nonspacing marks. unknown: the number of a word of which a part is
    not there, or that has more than `longest_word` characters. bytes: the number of the first of 256 entries for
    bytes, or -1; with them no part is missing: what is not there comes as the UTF-8 bytes of its characters, after
    `unknown` at the beginning of a word, so that each word begins with what is neither byte nor continuation, and
    `longest_word` counts for nothing. first, last: the number that every text begins or ends with, or -1.
    """

    def __init__(
        self,
        vocabulary: Iterable[str],
        *,
        lowercase: bool,
        accents: bool,
        continuation: str,
        unknown: int,
        bytes: int,  # noqa: A002 - its name in the contract
        first: int,
        last: int,
        longest_word: int,
    ) -> None:
        self.lowercase, self.accents = lowercase, accents
        self.unknown, self.bytes, self.first, self.last = unknown, bytes, first, last
        self.longest_word = longest_word
        self._begin: dict[str, int] = {}
        self._goes_on: dict[str, int] = {}
        for number, entry in enumerate(vocabulary):
            if entry.startswith(continuation):
                self._goes_on[entry[len(continuation) :]] = number
            else:
                self._begin[entry] = number
        self._longest = max(map(len, (*self._begin, *self._goes_on, "")))
        self._known: dict[str, list[int]] = {}

    def words(self, text: str) -> list[str]:
        """As BERT's basic tokenizer has them: apart by blanks, each sign of punctuation and each ideograph by itself.

        Source: Devlin et al. 2019, BERT, and its `tokenization.py`; where they differ, the library `tokenizers`.
        """
        if not self.accents:
            text = unicodedata.normalize("NFD", text)
        if self.lowercase:  # letter by letter: Python alone knows of a sigma at the end of a word
            text = text.replace("Σ", "σ").lower()
        return text.translate(_APART if self.accents else _BARE).split()

    def pieces(self, word: str) -> list[int]:
        """The numbers of the longest entries that a word is made of, from its beginning on."""
        found = self._known.get(word)
        if found is None:
            found = self._split(word)
            if len(word) <= self.longest_word:
                if len(self._known) >= MOST_WORDS:
                    self._known.clear()
                self._known[word] = found
        return found

    def numbers(self, text: str, length: int) -> list[int]:
        """At most `length` of them. Of a text without any word `unknown`, if there is neither first nor last: no text
        is all padding."""
        room = length - (self.first >= 0) - (self.last >= 0)
        found: list[int] = []
        for word in self.words(text):
            found += self.pieces(word)
            if len(found) >= room:
                break
        first = [self.first] if self.first >= 0 else []
        last = [self.last] if self.last >= 0 else []
        return first + found[:room] + last or [self.unknown]

    def _split(self, word: str) -> list[int]:
        if self.bytes < 0 and len(word) > self.longest_word:
            return [self.unknown]
        found: list[int] = []
        at = 0
        while at < len(word):
            entries = self._goes_on if at else self._begin
            for end in range(min(len(word), at + self._longest), at, -1):
                number = entries.get(word[at:end])
                if number is not None:
                    found.append(number)
                    at = end
                    break
            else:
                if self.bytes < 0:
                    return [self.unknown]
                found += [self.unknown] if at == 0 else []
                found += [self.bytes + each for each in word[at].encode()]
                at += 1
        return found


def tokenizer_of(preprocessing: Mapping[str, Any]) -> Tokenizer:
    """What the preprocessing of an input says; made once, for that takes as long as many texts."""
    for rules, tokenizer in _MADE:
        if rules is preprocessing or rules == preprocessing:
            return tokenizer
    made = Tokenizer(**preprocessing)
    _MADE[MOST_TOKENIZERS - 1 :] = []
    _MADE.insert(0, (preprocessing, made))
    return made


_MADE: list[tuple[Mapping[str, Any], Tokenizer]] = []
"""The newest first."""


class _Characters(dict[int, str]):
    """What `str.translate` makes of each character, found out when it first comes."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self.rule = rule

    def __missing__(self, code: int) -> str:
        found = self[code] = self.rule(chr(code))
        return found


def _category(char: str) -> str:
    """Of Unicode, but for CHANGED and LATE."""
    code = ord(char)
    if any(first <= code <= last for first, last in _ranges()):
        return "Cn"
    return CHANGED.get(code) or unicodedata.category(char)


@functools.lru_cache(maxsize=1)
def _ranges() -> tuple[tuple[int, int], ...]:
    ends = [each.split("-") for each in LATE.split()]
    return tuple((int(each[0], 16), int(each[-1], 16)) for each in ends)


def _apart(char: str) -> str:
    """A character of a word, or with blanks around it, or a blank, or nothing."""
    kind, code = _category(char), ord(char)
    if char in "\t\n\r" or kind[0] == "Z":
        return " "
    if char in "\0\ufffd" or kind in ("Cc", "Cf", "Co", "Cs"):
        return ""
    sign = kind[0] == "P" or (code < 128 and not char.isalnum())  # of ASCII all signs are punctuation
    alone = sign or any(first <= code <= last for first, last in IDEOGRAPHS)
    return f" {char} " if alone else char


_APART = _Characters(_apart)
_BARE = _Characters(lambda char: "" if _category(char) == "Mn" else _apart(char))


def _wrong(text: bytes) -> str:
    """What makes this no text, or ""."""
    if b"\0" in text:
        return f"the character 0 at byte {text.index(0)} (counted from 0)"
    try:
        return "" if text.decode().strip() else "the text is empty"
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte {error.start} (counted from 0) is 0x{text[error.start]:02x}"


def _read_npy(path: Path) -> NDArray[np.bytes_]:
    try:  # mapped, so that a shape that the file does not hold asks for no memory
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # a damaged header makes numpy's reader raise anything
        raise ValueError(" ".join(str(error).split()) or "not an .npy file") from error
    if not isinstance(array, np.ndarray):
        raise ValueError("not an .npy file")
    try:
        return accepted(array[np.newaxis] if array.ndim == 0 else np.array(array))
    except ValueError as error:
        raise ValueError(str(error).splitlines()[0]) from None
