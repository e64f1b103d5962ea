from __future__ import annotations

import pytest

from edgekd.report.candidates import in_lines


@pytest.mark.parametrize(
    ("name", "room", "lines"),
    [
        ("int8_qdq_signed_per_tensor", 30, ["int8_qdq_signed_per_tensor"]),
        ("int8_qdq_signed_per_tensor", 17, ["int8_qdq_signed_", "per_tensor"]),
        ("int8_weights_nchw", 17, ["int8_weights_nchw"]),
        ("fp32", 2, ["fp32"]),
        ("", 10, [""]),
    ],
)
def test_a_name_is_folded_where_its_words_end(name: str, room: int, lines: list[str]) -> None:
    assert in_lines(name, room).split("\n") == lines
