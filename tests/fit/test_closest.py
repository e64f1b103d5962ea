"""Which shape comes closest where none is within the budget."""

from __future__ import annotations

from edgekd.config.fit import Budget, Costs
from edgekd.fit.closest import nothing_within
from edgekd.records.pricing import PricedFile
from tests.fit.pipelines import conv, priced

UNMADE = PricedFile(candidate="int8_qdq", size_bytes=0, unfit="cannot be made: too odd")


def test_files_that_cannot_be_made_or_run_are_not_close() -> None:
    slow, slower = priced(conv(8), 6e-3, 2000, unfit="slow"), priced(conv(16), 9e-3, 4000, unfit="slow")
    none_runs = slower.model_copy(update={"files": {"here": (UNMADE,)}, "unfit": "here: cannot be made"})
    one_runs = slow.model_copy(update={"files": {"here": (UNMADE, *slow.files["here"])}})
    error = nothing_within([none_runs, slower, one_runs], Budget(p50_ms=5))
    assert "the closest, {use: conv, width: 8, depth: 1, stages: 2}, has 6.00 ms on here" in error.what
    assert error.hint is not None
    assert error.hint.startswith("p50_ms 6.0 would do")
    assert "here: cannot be made" in nothing_within([none_runs], Budget(p50_ms=5)).what


def test_the_hint_names_the_number_that_holds_on_each_target() -> None:
    """A target with a number of its own does not heed the one for all."""
    shape = priced(conv(8), 6e-3, 2000, unfit="slow")
    (file,) = shape.files["here"]
    slower = file.model_copy(update={"p50_s": 9e-3, "interval_s": (9e-3, 9e-3)})
    shape = shape.model_copy(update={"files": {"here": (file,), "there": (slower,), "board": (slower,)}})
    own = {"there": Costs(p50_ms=7), "board": Costs(model_bytes=1000)}
    error = nothing_within([shape], Budget(p50_ms=5, model_bytes=3000, targets=own))
    assert "6.00 ms on here, 9.00 ms on there, 9.00 ms on board, 2,000 bytes as int8_weights" in error.what
    assert error.hint is not None
    assert error.hint.startswith("p50_ms 9.0, targets.there.p50_ms 9.0, targets.board.model_bytes 2,000 would do")
