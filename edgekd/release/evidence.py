"""What the model card says of accuracy and latency on one target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgekd.config.networks import CONTROL
from edgekd.records.evaluation import Evaluation, Paired
from edgekd.records.latency import Comparison, LatencyRecord
from edgekd.release.markdown import bullets, table

CLASSES_SHOWN = 20


def accuracy(evaluation: Evaluation, classes: Sequence[str], noun: str) -> list[str]:
    """The paragraphs about accuracy; `noun`: many samples, in words."""
    rows = [
        (
            f"{model} (ships)" if model == evaluation.shipped else model,
            f"{each.accuracy.correct:,} of {each.accuracy.total:,}",
            _percent(each.accuracy.value),
            _between(each.accuracy_interval, _percent),
            _percent(each.agreement / each.accuracy.total),
        )
        for model, each in evaluation.models.items()
    ]
    head = ("model", "right", "accuracy", "interval", f"agrees with {evaluation.reference}")
    told = [f"Accuracy on {evaluation.samples:,} test {noun}, 95 % intervals:\n\n" + table(head, rows)]
    if evaluation.pairs:
        told.append(f"Two models on the same {noun}:\n\n" + _pairs(evaluation.pairs))
    gains = [_gain(each) for each in evaluation.pairs if each.reference.startswith(f"{CONTROL}.")]
    doubts = evaluation.doubts(classes)
    told += [bullets(each) for each in (gains, doubts) if each]
    return [*told, _by_class(evaluation, classes)]


def latency(record: LatencyRecord) -> list[str]:
    """The paragraphs about latency."""
    rows = [
        (
            model.name,
            f"p{100 * percentile.share:g}",
            _microseconds(percentile.value_s),
            "–" if percentile.interval_s is None else _between(percentile.interval_s, _microseconds),
            f"{model.samples:,}",
        )
        for model in record.models
        for percentile in model.percentiles
    ]
    head = ("model", "percentile", "time", "interval", "inferences")
    told = [f"Latency of one inference, {100 * record.confidence:g} % intervals:\n\n" + table(head, rows)]
    if record.lengths:
        cut = ", ".join(f"{count} of `{name}`" for name, count in record.lengths.items())
        told.append(f"Inputs were as long as 90 % of the validation samples need: {cut}.")
    if record.comparisons:
        told.append(bullets(_comparison(each) for each in record.comparisons))
    return told


def _pairs(pairs: Iterable[Paired]) -> str:
    rows = [
        (
            each.model,
            each.reference,
            _points(each.drop),
            _between(each.drop_interval, _points),
            f"{each.only_reference_right:,}",
            f"{each.only_model_right:,}",
        )
        for each in pairs
    ]
    head = ("model", "against", "points lost", "interval", "right there only", "right here only")
    return table(head, rows)


def _gain(pair: Paired) -> str:
    """What the teacher was good for, told of a model and its untaught twin."""
    gain, low, high = -pair.drop, -pair.drop_interval[1], -pair.drop_interval[0]
    shown = f"{_points(gain)} points over the same student without a teacher ({_points(low)} to {_points(high)})"
    if pair.verdict == "better":
        return f"{pair.model}: distillation gained {shown}."
    if pair.verdict == "worse":
        return f"{pair.model}: distillation did harm: {shown}."
    return f"{pair.model}: distillation gained nothing that can be told from chance: {shown}."


def _by_class(evaluation: Evaluation, classes: Sequence[str]) -> str:
    shipped = evaluation.models[evaluation.shipped].accuracy
    counts = [each.accuracy for each in evaluation.models.values()]

    def worst_first(number: int) -> float:
        return shipped.per_class_correct[number] / max(1, shipped.per_class_total[number])

    shown: Sequence[int] = range(len(classes))
    title = "Right by class"
    if len(classes) > CLASSES_SHOWN:
        shown = sorted(shown, key=worst_first)[:CLASSES_SHOWN]
        title = f"Right by class, the {CLASSES_SHOWN} worst of {len(classes)}; manifest.json has them all"
    rows = [
        (classes[number], *(f"{each.per_class_correct[number]} of {each.per_class_total[number]}" for each in counts))
        for number in shown
    ]
    return f"{title}:\n\n" + table(("class", *evaluation.models), rows)


def _comparison(each: Comparison) -> str:
    interval = each.speedup_interval
    shown = "" if interval is None else f" ({_between(interval, '{:.2f}'.format)})"
    return f"{each.model} is {each.speedup:.2f} times as fast as {each.baseline}{shown}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(share: float) -> str:
    return f"{100 * share:z.2f}"


def _microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:,.1f} µs"


def _between(interval: tuple[float, float], shown: Callable[[float], str]) -> str:
    return f"{shown(interval[0])} to {shown(interval[1])}"
