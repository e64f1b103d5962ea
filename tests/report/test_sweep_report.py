"""The table of a sweep on a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from edgekd.records.sweep import SweepRecord, SweepRow, SweepTrial, TrialShipped
from edgekd.report.sweep import print_sweep
from edgekd.sweep.table import compared


def row(
    width: int, *correct: int, failed: str = "", size: int = 1234, targets: tuple[str, ...] = ("here",)
) -> SweepRow:
    shipped = TrialShipped(candidate="int8_weights", size_bytes=size, validation_accuracy=0.5, test_accuracy=0.25)
    return SweepRow(
        setting={"student.model.width": width},
        trials=tuple(
            SweepTrial(
                seed=seed,
                validation_correct=None if failed else each,
                validation_total=None if failed else 1000,
                shipped={} if failed else dict.fromkeys(targets, shipped),
                failed=failed,
            )
            for seed, each in enumerate(correct)
        ),
    )


def shown(*rows: SweepRow, seeds: int, columns: int = 100, targets: tuple[str, ...] = ("here",)) -> str:
    record = SweepRecord(
        name="small",
        pipeline="p.yaml",
        assignments=("distill.epochs=3",),
        keys=("student.model.width",),
        sampler="grid",
        seeds=tuple(range(seeds)),
        until="validate",
        targets=targets,
        rows=compared(rows, targets),
    )
    out = io.StringIO()
    print_sweep(record, Console(file=out, width=columns))
    return out.getvalue()


def widths(text: str) -> list[str]:
    """Of the rows of the table, in their order."""
    return [line.split()[0] for line in text.splitlines() if line.strip() and line.split()[0] in ("4", "6", "8")]


def test_the_best_comes_first_and_what_failed_last_with_its_reason() -> None:
    text = shown(row(4, 900, 902), row(8, 0, 0, failed="it did not converge"), row(6, 950, 953), seeds=2)
    assert widths(text) == ["6", "4", "8"]
    assert "90.10 ± 0.14" in text
    assert "+5.05 [+4.41,+5.69]*" in text
    assert "baseline" in text
    assert "✗ student.model.width=8: it did not converge" in text
    assert "edgekd run p.yaml --set distill.epochs=3 --set student.model.width=6" in text


def test_of_rows_that_are_equal_the_chosen_one_is_the_first() -> None:
    text = shown(row(8, 900, 902), row(6, 902, 900, size=900), row(4, 901, 901), seeds=2)
    assert widths(text) == ["6", "8", "4"]
    assert "best on validation: student.model.width=6" in text


def test_test_accuracy_is_told_of_the_chosen_setting_alone() -> None:
    text = shown(row(4, 900, 902), row(6, 950, 953), seeds=2)
    assert text.count("25.00") == 1
    assert "what it ships on here reaches 25.00 ± 0.00 % of the test samples" in text


def test_test_accuracy_is_told_on_every_target() -> None:
    text = shown(row(4, 900, targets=("here", "board")), seeds=1, targets=("here", "board", "far"))
    assert "what it ships on here reaches 25.00 % of the test samples" in text
    assert "what it ships on board reaches 25.00 % of the test samples" in text
    assert "far" not in text


def test_one_seed_says_nothing_of_noise() -> None:
    text = shown(row(4, 900), row(6, 950), seeds=1)
    assert "ahead" not in text
    assert " ± " not in text


def test_an_interval_is_not_broken_on_a_narrow_terminal() -> None:
    assert "[+4.41,+5.69]" in shown(row(4, 900, 902), row(6, 950, 953), seeds=2, columns=70)
