from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.memory import keep, recall


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "edgekd"


def test_what_is_kept_is_recalled_and_nothing_else_is_left(cache: Path) -> None:
    assert recall("facts.json") == {}
    keep("facts.json", {"a": [1, "ü"]})
    keep("facts.json", {"b": None})
    assert recall("facts.json") == {"b": None}
    assert [path.name for path in cache.iterdir()] == ["facts.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_damaged_is_nothing(cache: Path, damage: bytes) -> None:
    keep("facts.json", {"a": 1})
    (cache / "facts.json").write_bytes(damage)
    assert recall("facts.json") == {}


def test_a_folder_that_cannot_be_written_stops_nobody(cache: Path) -> None:
    cache.write_text("a file in the folder's place")
    keep("facts.json", {"a": 1})
    assert recall("facts.json") == {}
