"""A run on the terminal: one table a person understands at once, the checks, the verdict, and where the run is."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.records.check import Check, Outcome
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.model import ModelFacts
from edgekd.records.release import Agreement
from edgekd.records.run import RunRecord

MARKS = {Outcome.PASS: ("✓", "green"), Outcome.FAIL: ("✗", "red"), Outcome.UNDECIDED: ("?", "yellow")}


def print_run(record: RunRecord, folder: Path, console: Console) -> None:
    """Prints what the run reached: the stages alone when it stopped before there was anything to compare."""
    console.print()
    facts = model_facts(record)
    if record.evaluations:
        for target, evaluation in record.evaluations.items():
            console.print(_table(record, target, evaluation, record.latencies.get(target), facts))
            _print_notes(record.latencies.get(target), console)
    else:
        _print_stages(record, console)
    for target, why in record.unreachable.items():
        _line(console, f"not reached: {target}: {why}", "yellow")
    if record.release:
        for target, agreement in record.release.agreements.items():
            _print_agreement(target, agreement, console)
        for target, checks in record.release.checks.items():
            for check in checks:
                console.print(_check_line(target, check, several=len(record.release.checks) > 1))
        mark, colour = MARKS[record.release.verdict]
        console.print(Text(f"\nverdict: {record.release.verdict.value} {mark}", style=f"bold {colour}"))
    if record.error:
        console.print(Text(f"\nnot finished: {record.error}", style="red"))
    _line(
        console,
        f"run:     {folder}  ({_duration(record.seconds)}, peak memory {record.peak_rss_bytes / 2**30:.2f} GiB)",
    )
    if (folder / "bundle").is_dir():
        _line(console, f"bundle:  {folder / 'bundle'}")


def model_facts(record: RunRecord) -> dict[str, ModelFacts]:
    """The facts of each model file that the run has."""
    facts: dict[str, ModelFacts] = {}
    if record.exported:
        facts |= {"teacher": record.exported.teacher.facts, "student": record.exported.student.facts}
    if record.quantized:
        facts["int8"] = record.quantized.facts
    return facts


def _table(
    record: RunRecord, target: str, evaluation: Evaluation, latency: LatencyRecord | None, facts: dict[str, ModelFacts]
) -> Table:
    confidence = f"{latency.confidence:.0%}".replace("%", " %") if latency else ""
    table = Table(
        title=f"{record.name} · seed {record.seed} · {evaluation.images:,} test images · target {target}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("model")
    for heading in ("parameters", "bytes", "accuracy [95 %]", "as teacher", "p50", "p90", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(f"speed-up [{confidence}]" if latency else "speed-up", justify="right", no_wrap=True)
    for name, model in evaluation.models.items():
        low, high = model.accuracy_interval
        table.add_row(
            name,
            f"{facts[name].parameters:,}",
            f"{facts[name].size_bytes:,}",
            f"{model.accuracy.value:.2%} [{low:.2%}, {high:.2%}]".replace("%", ""),
            "" if name == "teacher" else f"{model.agreement / evaluation.images:.2%}".replace("%", ""),
            *(_percentile(latency, name, share) for share in (0.5, 0.9, 0.99)),
            _speedup(latency, name),
        )
    return table


def _percentile(latency: LatencyRecord | None, name: str, share: float) -> str:
    found = latency.model(name).percentile(share) if latency else None
    return duration(found.value_s) if found else "–"


def _speedup(latency: LatencyRecord | None, name: str) -> str:
    if latency is None or name == "teacher":
        return "1" if latency else "–"
    pair = latency.comparison(name)
    if pair.speedup_interval is None:
        return f"{pair.speedup:.2f}"
    low, high = pair.speedup_interval
    return f"{pair.speedup:.2f} [{low:.2f}, {high:.2f}]"


def _print_notes(latency: LatencyRecord | None, console: Console) -> None:
    """Says it when the 8-bit file is slower than the one it was made from: on tiny networks it often is."""
    if latency is None:
        return
    student, int8 = latency.comparison("student").interval, latency.comparison("int8").interval
    if student and int8 and int8[0] > student[1]:
        factor = latency.comparison("int8").ratio / latency.comparison("student").ratio
        _line(console, f"note: the fp32 student is {factor:.2f} times as fast as the int8 one on this target", "yellow")


def _print_agreement(target: str, agreement: Agreement, console: Console) -> None:
    """Which test images another processor answers differently, the widest margins first."""
    images = f"{agreement.flipped} of {agreement.images:,}"
    _line(console, f"{target} answers {images} test images differently from {agreement.reference}")
    for flip in agreement.flips[:5]:
        margin = f"margin {flip.margin:.3g} there"
        _line(console, f"  image {flip.image}: class {flip.expected} -> {flip.found}, {margin}")


def _print_stages(record: RunRecord, console: Console) -> None:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"{record.name} · seed {record.seed}", title_justify="left"
    )
    for heading in ("stage", "state", "result"):
        table.add_column(heading)
    for stage in record.stages:
        table.add_row(stage.id, stage.state, stage.headline)
    console.print(table)


def _check_line(target: str, check: Check, *, several: bool) -> Text:
    mark, colour = MARKS[check.outcome]
    name = f"{target}: {check.name}" if several else check.name
    interval = f" [{check.interval[0]:.4g}, {check.interval[1]:.4g}]" if check.interval else ""
    observed = "–" if check.observed is None else f"{check.observed:.4g}"
    exact = check.interval is None or check.interval[0] == check.interval[1]
    line = Text(f"{mark} ", style=colour)
    line.append(f"{name:<20} {observed}{'' if exact else interval} · limit {check.limit:.4g}", style="default")
    if check.outcome is not Outcome.PASS:
        line.append(f" · {check.why}", style=colour)
    return line


def duration(seconds: float) -> str:
    """A short time, with the unit that gives it three digits."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _line(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
