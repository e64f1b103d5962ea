"""What a source names is found once, and remembered by its content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import python

PARSES = (
    "import ast, sys; from edgekd.closure import closure; from edgekd.mentions import mentions\n"
    "parsed = []; parse = ast.parse\n"
    "def counting(content): parsed.append(content); return parse(content)\n"
    "ast.parse = counting\n"
    "found = closure('edgekd.training.lesson')\n"
    "print(len(parsed), sorted(found))\n"
)


def run(program: str, cache: Path) -> str:
    return python(program, XDG_CACHE_HOME=str(cache))


def test_a_second_process_parses_nothing_and_finds_the_same(tmp_path: Path) -> None:
    first, _, found = run(PARSES, tmp_path).partition(" ")
    assert int(first) >= 1
    assert run(PARSES, tmp_path) == f"0 {found}"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"reader": 1, "known": {}}', b'{"reader": "x"}', b"[" * 100000])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, damage: bytes) -> None:
    whole = run(PARSES, tmp_path)
    (tmp_path / "edgekd" / "mentions.json").write_bytes(damage)
    assert run(PARSES, tmp_path) == whole
    assert run(PARSES, tmp_path).startswith("0 "), "it was written anew"


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "edgekd").write_text("a file in the folder's place")
    assert run(PARSES, tmp_path) == run(PARSES, tmp_path)


def test_a_changed_source_is_parsed_again(tmp_path: Path) -> None:
    program = (
        "from edgekd.mentions import mentions, remember\n"
        "print(sorted(mentions(b'import {}', 'a').imports), sorted(mentions(b'from . import x', '{}').imports))\n"
        "remember()\n"
    )
    assert run(program.format("one", "here"), tmp_path) == "['one'] ['here', 'here.x']\n"
    assert run(program.format("two", "there"), tmp_path) == "['two'] ['there', 'there.x']\n"


def test_lanes_may_parse_at_the_same_time() -> None:
    program = (
        "import gc, sys, threading, time; from pathlib import Path; from edgekd.mentions import mentions\n"
        "sys.setswitchinterval(1e-6); gc.set_threshold(50); gc.callbacks.append(lambda *_: time.sleep(0))\n"
        "sources = [path.read_bytes() for path in sorted(Path('edgekd').rglob('*.py'))[:30]]\n"
        "ended = []\n"
        "def look(number): ended.append([mentions(source, f'nobodys{number}') for source in sources])\n"
        "threads = [threading.Thread(target=look, args=(number,)) for number in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "assert len(ended) == 4\n"
    )
    python(program)
