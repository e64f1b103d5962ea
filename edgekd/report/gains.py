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
    """A line for each file that has an untaught counterpart, one for each variant, and one for what ships if only that
    has no counterpart; no line for a run without control and variants."""
    for pair in evaluation.pairs:
        if pair.reference == f"{CONTROL}.{pair.model}":
            yield f"distillation gained {_gain(pair)} in {pair.model}{JUDGED[pair.verdict]}"
    for name, model in evaluation.models.items():
        variant, _, file = name.partition(".")
        if file and variant != CONTROL:
            against = [each for each in evaluation.pairs if each.model == name]
            yield f"{variant}: {model.accuracy.value:.2%} in {file}, " + " and ".join(map(_beside, against))
    shipped, models = evaluation.shipped, evaluation.models
    if f"{CONTROL}.{FP32}" in models and f"{CONTROL}.{shipped}" not in models:
        yield f"what distillation gained in {shipped} is not known: the untaught student has no such file"


def _beside(pair: Paired) -> str:
    other = "the untaught student" if pair.reference.startswith(CONTROL) else "the student"
    return f"{_gain(pair)} beside {other}"


def _gain(pair: Paired) -> str:
    low, high = pair.drop_interval
    return f"{-100 * pair.drop:+z.2f} points of accuracy [{-100 * high:+z.2f}, {-100 * low:+z.2f}]"
