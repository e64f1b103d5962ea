"""Text from outside, made fit for a terminal: nothing in it can move the cursor, and it has an end."""

from __future__ import annotations

import unicodedata

LONGEST = 2000  # characters of one line
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # controls, formats (writing direction too), surrogates, line separators


def visible(text: str, longest: int = LONGEST) -> str:
    """The text with control characters as they are written in Python (a line end stays), cut in the middle where it is
    longer."""
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    return "".join(map(_shown, text))


def on_one_line(text: str, longest: int = LONGEST) -> str:
    """The same with line ends written out too, for what stands in a line beside other things: the name of a file."""
    return visible(text, longest).replace("\n", "\\n")


def _shown(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
