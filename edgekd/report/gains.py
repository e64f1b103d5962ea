"""What distillation gained over the same student without a teacher, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.config.networks import CONTROL
from edgekd.records.evaluation import Evaluation, Paired
from edgekd.records.screening import FP32

JUDGED = {
    "better": "",
    "worse": ": the untaught student is better",
    None: ": nothing that the test samples can show",
}


def gains(evaluation: Evaluation) -> Iterator[str]:
    """A line for each file that has an untaught counterpart, and one for what ships if only that has none; no line for
    a run without a control."""
    for pair in evaluation.pairs:
        if pair.reference == f"{CONTROL}.{pair.model}":
            yield f"distillation gained {_gain(pair)} in {pair.model}{JUDGED[pair.verdict]}"
    shipped, models = evaluation.shipped, evaluation.models
    if f"{CONTROL}.{FP32}" in models and f"{CONTROL}.{shipped}" not in models:
        yield f"what distillation gained in {shipped} is not known: the untaught student has no such file"


def _gain(pair: Paired) -> str:
    low, high = pair.drop_interval
    return f"{-100 * pair.drop:+z.2f} points of accuracy [{-100 * high:+z.2f}, {-100 * low:+z.2f}]"
