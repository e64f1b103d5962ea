from __future__ import annotations

from edgekd.records.levels import LevelsRecord
from edgekd.records.release import Agreement, Flip
from edgekd.report.levels import told

SAME = Agreement(reference="all", samples=64, flipped=0, flips=(), largest_difference=0.0)
OTHER = SAME.model_copy(
    update={"flipped": 2, "flips": (Flip(sample=3, expected=1, found=2, margin=0.25, found_margin=0.5),)}
)


def record(**agreements: Agreement) -> LevelsRecord:
    return LevelsRecord.model_validate(
        {"target": "local", "model": "int8_qdq", "level": "all", "samples": 64, "agreements": agreements}
    )


def test_levels_that_agree_are_told_in_one_line() -> None:
    assert told(record(none=SAME, basic=SAME)) == (
        "int8_qdq answers 64 validation samples alike under every other optimisation level than all"
    )
    assert not record(none=SAME).differs


def test_a_level_that_differs_is_told_with_the_widest_margin() -> None:
    assert told(record(none=OTHER, basic=SAME)) == (
        "int8_qdq answers some of 64 validation samples otherwise than under optimisation all: "
        "under none 2 (margins up to 0.25)"
    )
    assert record(none=OTHER).differs


def test_a_level_under_which_the_file_does_not_run_is_told() -> None:
    refused = record(none=SAME).model_copy(update={"refused": {"layout": "unknown"}})
    assert told(refused).endswith("than all; it does not run under layout")
