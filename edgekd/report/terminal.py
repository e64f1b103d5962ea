"""A run on the terminal: one table a person understands at once, the checks, the verdict, and where the run is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.model import ModelFacts
from edgekd.records.run import RunRecord
from edgekd.report.targets import print_targets
from edgekd.report.text import duration, print_check, print_line, print_verdict


def print_run(record: RunRecord, folder: Path, console: Console) -> None:
    """Prints what the run reached: the stages alone when it stopped before there was anything to compare."""
    console.print()
    if record.evaluations:
        for target, evaluation in record.evaluations.items():
            latency = record.latencies.get(target)
            console.print(_table(record, target, evaluation, latency))
            _print_notes(latency, console)
    else:
        _print_stages(record, console)
    print_targets(record, console)
    if record.release:
        several = len(record.release.checks) > 1
        for target, checks in record.release.checks.items():
            for check in checks:
                print_check(console, check, f"{target}: {check.name}" if several else "")
        print_verdict(console, record.release.verdict)
    if record.error:
        print_line(console, f"\nnot finished: {record.error}", "red")
    print_line(console, f"run:     {folder}  ({_wall_time(record.seconds)}, {record.peak_rss_bytes / 2**30:.2f} GiB)")
    if (folder / "bundle").is_dir():
        print_line(console, f"bundle:  {folder / 'bundle'}")


def model_facts(record: RunRecord) -> dict[str, ModelFacts]:
    """The facts of each model file that the run has."""
    facts: dict[str, ModelFacts] = {}
    if record.exported:
        facts |= {"teacher": record.exported.teacher.facts, "student": record.exported.student.facts}
    if record.quantized:
        facts["int8"] = record.quantized.facts
    return facts


def _table(record: RunRecord, target: str, evaluation: Evaluation, latency: LatencyRecord | None) -> Table:
    """The models side by side: three columns fit on a terminal of 80 characters."""
    facts = model_facts(record)
    table = Table(
        title=f"{record.name} · seed {record.seed} · {evaluation.images:,} test images · target {target}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for name in evaluation.models:
        table.add_column(name, justify="right", no_wrap=True)

    def row(heading: str, cell: Callable[[str], str]) -> None:
        table.add_row(Text(heading), *(Text(cell(name)) for name in evaluation.models))

    def accuracy(name: str) -> str:
        model = evaluation.models[name]
        low, high = model.accuracy_interval
        return f"{100 * model.accuracy.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"

    row("parameters", lambda name: f"{facts[name].parameters:,}")
    row("bytes", lambda name: f"{facts[name].size_bytes:,}")
    row("accuracy", accuracy)
    row("as teacher", lambda name: f"{100 * evaluation.models[name].agreement / evaluation.images:.2f}")
    if latency is not None:
        for share in (0.5, 0.9, 0.99):
            row(f"p{100 * share:g}", lambda name, share=share: _percentile(latency, name, share))  # type: ignore[misc]
        row("speed-up", lambda name: _speedup(latency, name))
    counts = record.instructions.get(target)
    if counts is not None:
        row("instructions", lambda name: f"{counts.models[name].median:,}")
    return table


def _percentile(latency: LatencyRecord, name: str, share: float) -> str:
    found = latency.model(name).percentile(share)
    return duration(found.value_s) if found else "too few samples"


def _speedup(latency: LatencyRecord, name: str) -> str:
    if name == "teacher":
        return "1"
    pair = latency.comparison(name)
    if pair.speedup_interval is None:
        return f"{pair.speedup:.2f}"
    low, high = pair.speedup_interval
    return f"{pair.speedup:.2f} [{low:.2f}, {high:.2f}]"


def _print_notes(latency: LatencyRecord | None, console: Console) -> None:
    """What the brackets are; and when the 8-bit file is slower than the one it was made from: tiny ones often are."""
    if latency is None:
        return
    confidence = f"{latency.confidence * 100:g} %"
    print_line(console, f"accuracy in %; [..] are 95 % intervals of accuracy, {confidence} of speed-up", "dim")
    student, int8 = latency.comparison("student").interval, latency.comparison("int8").interval
    if student and int8 and int8[0] > student[1]:
        factor = latency.comparison("int8").ratio / latency.comparison("student").ratio
        print_line(console, f"note: here the fp32 student is {factor:.2f} times as fast as the int8 one", "yellow")


def _print_stages(record: RunRecord, console: Console) -> None:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"{record.name} · seed {record.seed}", title_justify="left"
    )
    for heading in ("stage", "state", "result"):
        table.add_column(heading)
    for stage in record.stages:
        table.add_row(stage.id, stage.state, Text(stage.headline))
    console.print(table)


def _wall_time(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
