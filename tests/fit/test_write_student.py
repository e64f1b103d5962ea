"""The student's model in a pipeline file: what changes, and that nothing else does."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import yaml
from pydantic import JsonValue

from edgekd.errors import ConfigError
from edgekd.fit.write_student import MARKER, check_place, with_model, write_student, wrote
from tests.command import REPOSITORY

MODEL: dict[str, JsonValue] = {"use": "conv", "width": 16, "depth": 1, "stages": 4, "growth": 1.0, "blocks": [3, 4]}
NOTE = ("edgekd fit p.yaml on 2026-01-01", "the most accurate")

BLOCK = """\
# a pipeline
name: x   # its name
student:
  # how large it is
  model:
    use: conv
    width: 9   # narrow
    # of each stage
    depth: 2
    stride: 2  # of the stem
    blocks:
      - 1   # first
      - 2

  start: null
distill: {losses: [{use: kd}],   epochs: 3}
"""


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), n=0)
    return [each for each in lines if each[0] in "+-" and not each.startswith(("+++", "---"))]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "pipelines").glob("*.yaml")), ids=lambda path: path.stem)
def test_in_every_shipped_pipeline_only_the_models_line_changes(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    write_student(copy, copy, MODEL, NOTE, unchanged=check_place(copy, copy))
    before, after = path.read_text(), copy.read_text()
    lines = changed(before, after)
    assert [each[0] for each in lines].count("-") == 1
    assert [each[0] for each in lines].count("+") == 3
    assert yaml.safe_load(after) == {
        **yaml.safe_load(before),
        "student": {**yaml.safe_load(before)["student"], "model": MODEL},
    }


def test_a_comment_beside_the_model_stays_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("name: x\nstudent:\n  model: {use: conv, width: 9} # of 9 channels\n")
    assert write_student(path, path, MODEL, NOTE, unchanged=check_place(path, path)) == [5]
    assert path.read_text().splitlines()[4] == (
        "  model: {use: conv, width: 16, depth: 1, stages: 4, growth: 1.0, blocks: [3, 4]} # of 9 channels"
    )


def test_of_a_model_in_lines_each_line_that_says_the_same_stays() -> None:
    after = with_model(BLOCK, {"use": "conv", "width": 16, "depth": 2, "blocks": [1, 2], "growth": 1.0}, NOTE)
    assert changed(BLOCK, after) == [
        f"+  {MARKER}: edgekd fit p.yaml on 2026-01-01\n",
        f"+  {MARKER}: the most accurate\n",
        "-    width: 9   # narrow\n",
        "+    width: 16   # narrow\n",
        "-    stride: 2  # of the stem\n",
        "+    growth: 1.0\n",
    ]


def test_a_value_in_lines_is_replaced_whole() -> None:
    after = with_model(BLOCK, {"use": "conv", "width": 9, "depth": 2, "stride": 2, "blocks": [3]}, NOTE)
    assert yaml.safe_load(after)["student"]["model"] == {
        "use": "conv",
        "width": 9,
        "depth": 2,
        "stride": 2,
        "blocks": [3],
    }
    assert "width: 9   # narrow" in after


def test_another_architecture_in_lines() -> None:
    after = with_model(BLOCK, {"use": "mlp", "hidden": [8, 8]}, NOTE)
    assert yaml.safe_load(after)["student"] == {"model": {"use": "mlp", "hidden": [8, 8]}, "start": None}
    assert "# of each stage" in after
    assert "# of the stem" not in after


def test_the_note_of_an_earlier_search_is_replaced() -> None:
    once = with_model(BLOCK, MODEL, NOTE)
    twice = with_model(once, MODEL, ("another",))
    assert twice.count(MARKER) == 1
    assert twice == with_model(BLOCK, MODEL, ("another",))


@pytest.mark.parametrize(
    "text",
    [
        "name: x\r\nstudent:\r\n  model: {use: conv, width: 9}\r\ndata: {use: digits}\r\n",
        "name: x\r\nstudent:\r\n  model:\r\n    use: conv\r\n    width: 9\r\ndata: {use: digits}\r\n",
        "\ufeffname: x\nstudent: {model: {use: conv}}\n",
        "name: x\nstudent: {model: {use: conv}}",
        "name: x\nstudent:\n  model:\n    use: conv",
        "{name: x, student: {start: null, model: {use: conv, width: 9}}, data: {use: digits}}\n",
        "name: größe ☃\nstudent:\n  model: {use: conv} # ☃\n",
        "name: x\nstudent:\n    start: null\n    model: {use: conv,\n        width: 9,   # narrow\n        depth: 2}\n",
        "name: x\n'student':\n  \"model\":   {use: conv}\n",
        "name: x\nstudent:\n  model: !!map {use: conv}\n",
        "name: x\nstudent:\n  model: {use: conv, width: 9}\n...\n",
        "name: x\nstudent:\n\n\n  model:\n\n    use: conv\n\n\n",
    ],
)
def test_hostile_layouts_keep_every_other_line_and_say_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(text.encode())
    before = yaml.safe_load(text)
    write_student(path, path, MODEL, NOTE, unchanged=check_place(path, path))
    after = path.read_bytes().decode()
    assert yaml.safe_load(after) == {**before, "student": {**before["student"], "model": MODEL}}
    assert after.count("\r\n") in (0, after.count("\n"))
    if "narrow" in text:
        assert "# narrow" in after


@pytest.mark.parametrize(
    "text",
    [
        "name: x\nteacher: {model: &m {use: conv}}\nstudent: {model: *m}\n",
        "name: x\nstudent:\n  model: &m {use: conv}\nteacher: {model: *m}\n",
        "name: x\nbase: &b {model: {use: conv}}\nstudent:\n  <<: *b\n",
        "name: x\nstudent: null\n",
        "name: x\n",
    ],
)
def test_what_shares_its_text_or_is_not_there_is_refused_with_what_to_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_place(path, path)
    assert "model: {use: conv" in str(caught.value.hint)
    assert path.read_text() == text


def test_a_file_that_changed_meanwhile_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(BLOCK)
    before = check_place(path, path)
    path.write_text(BLOCK + "# more\n")
    with pytest.raises(ConfigError, match="has changed"):
        write_student(path, path, MODEL, NOTE, unchanged=before)
    assert path.read_text() == BLOCK + "# more\n"


def test_mode_and_link_stay_and_a_new_file_has_the_mode_of_the_old(tmp_path: Path) -> None:
    real, link, new = tmp_path / "real.yaml", tmp_path / "p.yaml", tmp_path / "new.yaml"
    real.write_text(BLOCK)
    real.chmod(0o664)
    link.symlink_to(real)
    write_student(link, new, MODEL, NOTE, unchanged=check_place(link, new))
    assert real.read_text() == BLOCK
    write_student(link, link, MODEL, NOTE, unchanged=check_place(link, link))
    assert link.is_symlink()
    assert real.read_text() == new.read_text() != BLOCK
    assert real.stat().st_mode & 0o777 == new.stat().st_mode & 0o777 == 0o664


def test_a_note_cannot_leave_its_comment() -> None:
    after = with_model(BLOCK, MODEL, ("--set x='a\nseed: 7'",))
    assert "seed" not in yaml.safe_load(after)


def test_only_what_a_search_for_this_pipeline_wrote_is_its_own(tmp_path: Path) -> None:
    path, to = tmp_path / "p.yaml", tmp_path / "q.yaml"
    path.write_text(BLOCK)
    write_student(path, to, MODEL, NOTE, unchanged=check_place(path, to))
    assert wrote(path, to)
    path.write_text(BLOCK + "fit: {budget: {p50_ms: 1}}\n")
    assert wrote(path, to), "another budget"
    other = tmp_path / "other.yaml"
    other.write_text(to.read_text().replace("name: x ", "name: y "))
    assert not wrote(path, other), "another pipeline, with a student that was found for it"
    other.write_text(BLOCK)
    assert not wrote(path, other), "no search wrote it"
    other.write_text(f"{MARKER}: [")
    assert not wrote(path, other)
