"""The model card: what the model is, what it learned from, how well it does, and where that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgekd.records.bundle import Manifest, TargetEvidence
from edgekd.records.check import Check
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord

CLASSES_SHOWN = 20


@dataclass(frozen=True)
class Story:
    """What only the pipeline knows, one sentence each: the data, the training, and known limits."""

    data: tuple[str, ...]
    training: tuple[str, ...]
    limits: tuple[str, ...]


def model_card(manifest: Manifest, story: Story) -> str:
    """The card as Markdown."""
    told = (("Data", story.data), ("Training", story.training))
    sections = [
        f"# {manifest.name}\n\nVerdict of the release gate: **{manifest.outcome.value}**.",
        "## Model\n\n" + _table(("", ""), _model_rows(manifest)),
    ]
    sections += [f"## {title}\n\n{_bullets(lines)}" for title, lines in told if lines]
    for name, evidence in manifest.targets.items():
        sections.append(_target(name, evidence, manifest.contract.classes))
    sections.append("## Limits\n\n" + _bullets((*_general_limits(manifest), *story.limits)))
    sections.append(
        "## Use\n\n"
        "    python3 verify.py              # is this bundle whole, does this machine compute the same?\n"
        "    python3 predict.py image.png   # label and confidence\n\n"
        "Both need python3, numpy and onnxruntime, nothing else; `manifest.json` says everything above to programs. "
        "`predict.cpp` does the same as predict.py in C++ on ONNX Runtime's C API; its first lines say how to build it."
    )
    return "\n\n".join(sections) + "\n"


def _model_rows(manifest: Manifest) -> list[tuple[str, str]]:
    image, facts, classes = manifest.contract.image, manifest.model, manifest.contract.classes
    names = ", ".join(classes) if len(classes) <= CLASSES_SHOWN else f"{len(classes)} classes, named in manifest.json"
    runtime = f"ONNX Runtime {facts.runtime} or newer" if facts.runtime else "a current ONNX Runtime"
    return [
        ("file", f"`{manifest.model_file}`, {facts.size_bytes:,} bytes, {manifest.scheme}"),
        ("parameters", f"{facts.parameters:,}"),
        ("runs on", f"{runtime} (opset {facts.opset}, IR {facts.ir_version})"),
        ("input", f"`{image.name}`: {image.dtype} {image.layout}, {image.channels} × {image.height} × {image.width}"),
        ("preprocessing", f"(pixel / 255 − mean) / std, mean {_numbers(image.mean)}, std {_numbers(image.std)}"),
        ("output", f"`{manifest.contract.output}`: one number a class: {names}"),
    ]


def _target(name: str, evidence: TargetEvidence, classes: Sequence[str]) -> str:
    session = evidence.session
    parts = [
        f"## On {name}: {evidence.outcome.value}",
        f"{session.provider}, threads: {session.threads}, optimisation: {session.optimisation}.",
    ]
    if evidence.checks:
        parts.append(_checks(evidence.checks))
    if evidence.accuracy is not None:
        parts.append(_accuracy(evidence.accuracy))
        parts.append(_by_class(evidence.accuracy, classes))
    if evidence.latency is not None:
        parts.append(_latency(evidence.latency))
    return "\n\n".join(parts)


def _checks(checks: Iterable[Check]) -> str:
    return _table(
        ("check", "limit", "observed", "outcome", "why"),
        [
            (
                check.name,
                f"{check.limit:g}",
                "–" if check.observed is None else f"{check.observed:g}",
                check.outcome.value,
                check.why,
            )
            for check in checks
        ],
    )


def _accuracy(evaluation: Evaluation) -> str:
    rows = [
        (
            model,
            f"{each.accuracy.correct:,} of {each.accuracy.total:,}",
            _percent(each.accuracy.value),
            _between(each.accuracy_interval, _percent),
            _percent(each.agreement / each.accuracy.total),
        )
        for model, each in evaluation.models.items()
    ]
    head = ("model", "right", "accuracy", "interval", "agrees with the teacher")
    return f"Accuracy on {evaluation.images:,} test images, 95 % interval:\n\n" + _table(head, rows)


def _by_class(evaluation: Evaluation, classes: Sequence[str]) -> str:
    counts = [each.accuracy for each in evaluation.models.values()]

    def worst_first(number: int) -> float:
        return counts[-1].per_class_correct[number] / max(1, counts[-1].per_class_total[number])

    shown: Sequence[int] = range(len(classes))
    title = "Right by class"
    if len(classes) > CLASSES_SHOWN:
        shown = sorted(shown, key=worst_first)[:CLASSES_SHOWN]
        title = f"Right by class, the {CLASSES_SHOWN} worst of {len(classes)}; manifest.json has them all"
    rows = [
        (classes[number], *(f"{each.per_class_correct[number]} of {each.per_class_total[number]}" for each in counts))
        for number in shown
    ]
    return f"{title}:\n\n" + _table(("class", *evaluation.models), rows)


def _latency(latency: LatencyRecord) -> str:
    rows = [
        (
            model.name,
            f"p{100 * percentile.share:g}",
            _microseconds(percentile.value_s),
            "–" if percentile.interval_s is None else _between(percentile.interval_s, _microseconds),
            f"{model.samples:,}",
        )
        for model in latency.models
        for percentile in model.percentiles
    ]
    comparisons = [
        f"{each.model} is {each.speedup:.2f} times as fast as {each.baseline}"
        + ("" if each.speedup_interval is None else f" ({_between(each.speedup_interval, '{:.2f}'.format)})")
        for each in latency.comparisons
    ]
    table = _table(("model", "percentile", "time", "interval", "inferences"), rows)
    told = f"Latency of one image, {100 * latency.confidence:g} % intervals:\n\n{table}"
    return f"{told}\n\n{_bullets(comparisons)}" if comparisons else told


def _general_limits(manifest: Manifest) -> Iterable[str]:
    image = manifest.contract.image
    yield (
        "The accuracy holds for images like the test images; nothing in the model notices an image of another kind, "
        "and each is given one of the classes."
    )
    yield "The confidence is the softmax of the logits and was not calibrated."
    yield f"Images must come as {image.width}×{image.height} pixels, resized as the training images were."
    yield "Times hold for the named machine and settings; another processor can rank models otherwise."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:,.1f} µs"


def _between(interval: tuple[float, float], shown: Callable[[float], str]) -> str:
    return f"{shown(interval[0])} to {shown(interval[1])}"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
