"""What distillation gained over the same student without a teacher, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.config.networks import CONTROL
from edgekd.records.evaluation import Evaluation, Paired


def gains(evaluation: Evaluation) -> Iterator[str]:
    """A line for each file that has an untaught counterpart; none for a run without a control."""
    for pair in evaluation.pairs:
        if pair.reference == f"{CONTROL}.{pair.model}":
            yield f"distillation gained {_gain(pair)} in {pair.model}{_judged(pair)}"


def _gain(pair: Paired) -> str:
    low, high = pair.drop_interval
    return f"{-100 * pair.drop:+.2f} points of accuracy [{-100 * high:+.2f}, {-100 * low:+.2f}]"


def _judged(pair: Paired) -> str:
    low, high = pair.drop_interval
    if high < 0:
        return ""
    if low > 0:
        return ": the untaught student is better"
    return ": nothing that the test samples can show"
