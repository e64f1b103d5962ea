from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.reading import RefusedError, parse_json, read_regular

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value).encode("utf-8", "surrogatepass")) == value


@given(st.binary())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(RefusedError):
        parse_json(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b"[NaN]", "has NaN"),
        (b'{"tolerance": Infinity}', "has Infinity"),
        (b"[-Infinity]", "has -Infinity"),
        (b"[" * 200_000, "nested too deep"),
        (b"[" * 101 + b"]" * 101, "nested too deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deep"),
        (b"1" * 5000, "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"", "is not JSON"),
    ],
)
def test_what_parsers_take_and_should_not_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        parse_json(content)


def test_a_file_has_a_most(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(RefusedError, match="larger than"):
        read_regular(path, 4)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    place = tmp_path / "socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    with listener:
        for path in (pipe, Path("/dev/zero")):
            with pytest.raises(RefusedError, match="pipe, a socket or a device"):
                read_regular(path, 10)
        with pytest.raises(OSError, match="socket"):
            read_regular(place, 10)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 10)
