from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import StageError
from edgekd.visible import HIDDEN, LONGEST, on_one_line, visible


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(each) for each in shown if each != "\n"} & HIDDEN


def test_what_is_plain_stays_as_it_is() -> None:
    assert visible("µ 12 % – läuft\n日本語") == "µ 12 % – läuft\n日本語"


def test_a_name_with_line_ends_stays_in_its_line() -> None:
    assert on_one_line("a\nb\r\u2028\x85c") == "a\\nb\\r\\u2028\\x85c"


def test_a_long_text_has_an_end() -> None:
    assert len(visible("x" * 100_000)) < LONGEST + 60
    assert visible("ab" * 50_000).startswith("abab")


def test_a_boards_words_cannot_clear_the_screen() -> None:
    assert str(StageError("said \x1b[2J\x07", where="board\u202e")) == "board\\u202e: said \\x1b[2J\\x07"
