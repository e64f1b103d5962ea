"""Measurements on the terminal and as JSON: what `edgekd bench` and `edgekd check` print."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd import __version__
from edgekd.records.environment import Disturbance
from edgekd.records.latency import Comparison, Estimate, Interval, LatencyRecord, ModelLatency, Percentile, Speed
from edgekd.records.pace import PeriodicModel, PeriodicRecord, ThroughputModel, ThroughputRecord
from edgekd.report.text import duration, print_line, three_digits, time_unit

SCHEMA = 1
COLOURS = {Speed.FASTER: "green", Speed.SLOWER: "red", Speed.SAME: "default", Speed.UNDECIDED: "yellow"}
HEADING, COLUMN = 18, 28  # characters
Rows = dict[str, list[str]]
Measured = LatencyRecord | PeriodicRecord | ThroughputRecord
MODES = {LatencyRecord: "back-to-back", PeriodicRecord: "periodic", ThroughputRecord: "throughput"}


def bench_json(record: Measured, target: str) -> str:
    """The documented JSON of a measurement (docs/measuring.md): the record's own fields under a schema number."""
    whole: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "edgekd": __version__,
        "mode": MODES[type(record)],
        "target": target,
        **record.model_dump(mode="json"),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)


def print_bench(record: Measured, target: str, console: Console) -> None:
    """Prints the tables of a measurement, what it says, and what disturbed it."""
    what = f"{MODES[type(record)]} on {target} · [..] are {record.confidence * 100:g} % intervals"
    if isinstance(record, LatencyRecord):
        rows = _latency_rows(record)
    elif isinstance(record, PeriodicRecord):
        rows = _periodic_rows(record)
        what += f" · a frame every {duration(record.period_s)}, deadline {duration(record.deadline_s)}"
    else:
        rows = _throughput_rows(record)
        what += f" · {record.clients} clients of one session"
    print_line(console, what)
    _print_columns([each.name for each in record.models], rows, console)
    if isinstance(record, LatencyRecord):
        _print_course(record, console)
    print_disturbances(record.disturbances, console)


def print_disturbances(disturbances: Sequence[Disturbance], console: Console) -> None:
    for each in disturbances:
        print_line(console, f"disturbed: {each.what}", "yellow")
        if each.remedy:
            print_line(console, f"  remedy: {each.remedy}", "dim")


def _latency_rows(record: LatencyRecord) -> Rows:
    """Each figure as a row of one text for each model."""
    rows: Rows = {}
    for share in (0.5, 0.9, 0.99):
        rows[f"p{share * 100:g}"] = [_percentile(model.percentile(share)) for model in record.models]
    rows |= _comparison_rows([model.name for model in record.models], record.comparisons)
    models = record.models
    rows["inferences/s"] = [_plain(each.throughput_per_s) for each in models]
    rows["session load"] = [_time(each.session_load_s) for each in models]
    rows["first inference"] = [_time(each.first_inference_s) for each in models]
    rows["cold start"] = [_time(each.cold_start_s) for each in models]
    rows["peak memory"] = ["–" if each.peak_rss_bytes is None else _bytes(each.peak_rss_bytes) for each in models]
    if any(each.instructions for each in models):
        rows["instructions"] = [f"{each.instructions.median:,}" if each.instructions else "–" for each in models]
    rows["file"] = [_bytes(each.size_bytes) for each in models]
    rows |= _option_rows(models)
    rows["loads"] = [f"{each.loads} in {each.processes} processes" for each in models]
    spreads = [each.load_spread for each in models]
    rows["loads differ by"] = ["–" if spread is None else f"{spread * 100:.2g} %" for spread in spreads]
    rows["samples"] = [f"{each.samples:,}" for each in models]
    rows["warm-up"] = [f"{each.warmup:,}" for each in models]
    return rows


def _periodic_rows(record: PeriodicRecord) -> Rows:
    models = record.models
    rows: Rows = {"missed": [_rate(each) for each in models]}
    rows["frames"] = [f"{each.frames:,}, {each.dropped:,} dropped" for each in models]
    for share in (0.5, 0.9, 0.99):
        rows[f"response p{share * 100:g}"] = [_percentile(_of(each.response, share)) for each in models]
    rows["waiting p50"] = [_percentile(_of(each.waiting, 0.5)) for each in models]
    rows |= _option_rows(models)
    rows["loads"] = [str(each.loads) for each in models]
    return rows


def _throughput_rows(record: ThroughputRecord) -> Rows:
    rows: Rows = {"inferences/s": [_plain(each.throughput_per_s) for each in record.models]}
    rows |= _comparison_rows([each.name for each in record.models], record.comparisons)
    return rows | _option_rows(record.models)


def _comparison_rows(names: Sequence[str], comparisons: Sequence[Comparison]) -> Rows:
    if not comparisons:
        return {}
    pairs = {each.model: each for each in comparisons}
    ratios, outcomes = ["1"], ["[dim]baseline[/]"]
    for name in names[1:]:
        pair = pairs[name]
        interval = "" if pair.interval is None else f" [{pair.interval[0]:.4g}, {pair.interval[1]:.4g}]"
        ratios.append(f"{pair.ratio:.4g}{interval}")
        outcomes.append(f"[{COLOURS[pair.outcome]}]{pair.outcome.value}[/]")
    return {"ratio to first": ratios, "outcome": outcomes}


def _print_columns(names: Sequence[str], rows: Rows, console: Console) -> None:
    """Prints the models side by side, as many at a time as fit."""
    room = max(1, (console.width - HEADING) // COLUMN)
    for first in range(0, len(names), room):
        chosen = slice(first, first + room)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", style="dim", min_width=HEADING - 2)
        width = COLUMN - 2 if room > 1 else None
        for name in names[chosen]:
            table.add_column(Text(name, overflow="fold"), justify="right", overflow="fold", max_width=width)
        for heading, cells in rows.items():
            table.add_row(heading, *cells[chosen])
        console.print(table)


def _percentile(found: Percentile | None) -> str:
    if found is None:
        return "too few samples"
    factor, unit = time_unit(found.value_s)
    return f"{three_digits(found.value_s * factor)} {unit}{_between(found.interval_s, factor)}"


def _time(estimate: Estimate | None) -> str:
    return "–" if estimate is None else duration(estimate.value)


def _option_rows(models: Sequence[ModelLatency | PeriodicModel | ThroughputModel]) -> Rows:
    """Of what models bring of their own."""
    if not any(each.session for each in models):
        return {}
    cells = ["\n".join(f"{key}={value}" for key, value in each.session.items()) for each in models]
    return {"session options": [each or "–" for each in cells]}


def _plain(estimate: Estimate) -> str:
    return f"{estimate.value:,.0f}"


def _rate(model: PeriodicModel) -> str:
    return f"{model.miss_rate * 100:.3g} %{_between(model.miss_rate_interval, 100)}"


def _of(percentiles: Sequence[Percentile], share: float) -> Percentile | None:
    return next((each for each in percentiles if each.share == share), None)


def _between(interval: Interval | None, factor: float) -> str:
    if interval is None:
        return ""
    return f" [{three_digits(interval[0] * factor)}, {three_digits(interval[1] * factor)}]"


def _print_course(record: LatencyRecord, console: Console) -> None:
    looks = "one look" if record.looks == 1 else f"{record.looks} looks"
    print_line(
        console,
        f"{record.seconds:.1f} s, {looks} at the data; the timing loop adds "
        f"{record.overhead_s * 1e9:.0f} ns to each inference; seed {record.seed}",
        "dim",
    )
    if record.would_decide:
        print_line(console, f"undecided; what would decide: {record.would_decide}", "yellow")


def _bytes(count: int) -> str:
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"
