"""Small damage to honest things: bytes, texts and trees of values."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

ODD_TEXTS = [
    "", " ", "\x00", "\x1b[2J", "../..", "/etc/passwd", "a" * 300, "é\u202e", "²", "1e999", "nan", "0x10", "1:30", "~",
    "null", "true", "no_such.py:thing", "\ud800".encode("utf-8", "replace").decode(), "-1", "[", "{a: ", "*x", "&x 1",
]  # fmt: skip
ODD_NUMBERS = [0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.0, 1e308, 1e-308, 2.9999]

odd_scalars = (
    st.sampled_from(ODD_TEXTS)
    | st.sampled_from(ODD_NUMBERS)
    | st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
odd_values = st.recursive(
    odd_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged_bytes(draw: DrawFn, content: bytes, most: int = 3) -> bytes:
    """The bytes after one to `most` flips, cuts, insertions, repetitions or exchanges."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["flip", "cut", "end", "insert", "repeat", "exchange"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "end":
            del data[at:]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=length))
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 4))
        else:
            data[at : at + length] = draw(st.binary(max_size=length))
    return bytes(data)


@st.composite
def damaged_text(draw: DrawFn, text: str) -> str:
    """The text with lines dropped, doubled, moved, indented or with another value."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        kind = draw(st.sampled_from(["drop", "double", "move", "indent", "value", "insert", "bytes"]))
        line = lines[at] if lines else ""
        if kind == "drop":
            del lines[at : at + 1]
        elif kind == "double":
            lines.insert(at, line)
        elif kind == "move":
            lines.insert(draw(st.integers(0, len(lines))), line)
        elif kind == "indent":
            lines[at : at + 1] = [" " * draw(st.integers(0, 6)) + line.strip()]
        elif kind == "value":
            key, colon, _ = line.partition(":")
            lines[at : at + 1] = [f"{key}{colon} {draw(odd_scalars)}"]
        elif kind == "insert":
            lines.insert(at, draw(st.text(max_size=20)))
        else:
            return draw(damaged_bytes(text.encode("utf-8"))).decode("utf-8", "replace")
    return "\n".join(lines) + "\n"


@st.composite
def damaged_tree(draw: DrawFn, tree: Any, most: int = 2) -> Any:
    """The tree of dictionaries and lists with values changed, dropped, doubled or exchanged with others of it."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(tree))
        if not places:
            return draw(odd_values)
        node, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(["value", "value", "drop", "key", "exchange", "wrap"]))
        if kind == "value":
            node[key] = draw(odd_values)
        elif kind == "drop":
            del node[key]
        elif kind == "key" and isinstance(node, dict):
            node[draw(st.text(max_size=8) | st.sampled_from(ODD_TEXTS))] = node.pop(key)
        elif kind == "exchange":
            other, where = places[draw(st.integers(0, len(places) - 1))]
            node[key] = copy.deepcopy(other[where])
        else:
            node[key] = [node[key]]
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of the tree with each of its keys."""
    found: list[tuple[Any, Any]] = []
    level = [tree]
    while level:
        node = level.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            found.append((node, key))
            level.append(value)
    return found
