from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgekd.report.progress import LogProgress, TerminalProgress, progress_for


def test_a_log_gets_a_line_a_note_and_no_control_characters() -> None:
    stream = io.StringIO()
    progress = progress_for(Console(file=stream, width=40))
    assert isinstance(progress, LogProgress)
    with progress.task("teacher", 4) as advance:
        for epoch in range(4):
            advance(note=f"epoch {epoch // 2 + 1}/2, with a note that is longer than the line is wide")
    progress.say("teacher: done [in] 3 s")
    lines = stream.getvalue().splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["  teacher 1/4", "  teacher 3/4", "teacher: done [in] 3 s"]
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_bar_with_its_note_which_goes_when_the_task_ends() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    progress = progress_for(console)
    assert isinstance(progress, TerminalProgress)
    with progress.task("teacher", 4) as advance:
        advance(2, note="epoch 1/2")
        assert progress.bars is not None
        (bar,) = progress.bars.tasks
        assert (bar.completed, bar.total, bar.fields["note"]) == (2, 4, "epoch 1/2")
        with progress.task("inner", 1) as inner:
            inner()
            assert len(progress.bars.tasks) == 2
        assert len(progress.bars.tasks) == 1
    assert progress.bars is None
    assert "epoch 1/2" in stream.getvalue()


def test_a_failing_task_takes_its_bar_with_it() -> None:
    progress = TerminalProgress(Console(file=io.StringIO(), force_terminal=True))
    with pytest.raises(KeyboardInterrupt), progress.task("teacher", 4):
        raise KeyboardInterrupt
    assert progress.bars is None
