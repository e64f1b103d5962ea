"""The table of a sweep: a row for each setting, the best on validation samples first."""

from __future__ import annotations

import csv
import io
import json
import shlex
import statistics
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.config.sweep import shown, words
from edgekd.records.seeds import Gain
from edgekd.records.sweep import SweepRecord, SweepRow, TrialShipped
from edgekd.report.text import print_line

NARROW = 16  # characters: not broken to make room for others
AS_IN_FILE = "(file)"


def print_sweep(record: SweepRecord, console: Console) -> None:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for key in record.keys:
        heading = _short(key, record.keys)
        narrow = max(map(len, (heading, *(_value(row, key) for row in record.rows)))) <= NARROW
        table.add_column(heading, overflow="fold", no_wrap=narrow)
    several = len(record.seeds) > 1
    for heading in ("accuracy", *(("ahead",) if several else ())):
        table.add_column(heading, justify="right", no_wrap=heading != "ahead")
    targets = [target for target in record.targets if any(row.shipped(target) for row in record.rows)]
    for target in targets:
        table.add_column(f"ships on {target}", overflow="fold", min_width=8)
        for heading in ("bytes", "accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
    best = record.best
    for row in record.ordered:
        cells = [_value(row, key) for key in record.keys]
        cells.append(_accuracy(row, len(record.seeds)))
        if several:
            cells.append(
                _gain(row.gain) + ("*" if row.beyond_noise else " ") if row is not record.rows[0] else "baseline "
            )
        for target in targets:
            cells += _shipped(row, target)
        table.add_row(*map(Text, cells), style="green" if row is best else "red" if row.failed else None)
    seeds = ", ".join(map(str, record.seeds))
    print_line(console, f"{record.name} · {len(record.rows)} settings · seed{'s' if several else ''} {seeds}")
    console.print(table)
    whose = "the student as trained and of what ships" if targets else "the student"
    print_line(console, f"accuracy: % of validation samples, of {whose}", "dim")
    if several:
        first = words(record.rows[0].setting)
        print_line(console, f"ahead: points beyond {first}, paired by seed, Student's 95 % interval", "dim")
        print_line(console, "*: beyond noise, at 5 % by Holm's correction for so many rows", "dim")
    for row in record.rows:
        if row.failed:
            print_line(console, f"✗ {words(row.setting)}: {row.failed}", "red")
    if best is not None:
        for line in _best(record, best):
            print_line(console, line)


def sweep_csv(record: SweepRecord) -> str:
    """A line for each setting, in the order in which they were proposed: fractions, not percent."""
    headings = [*record.keys, "seeds", "accuracy_mean", "accuracy_std", "ahead", "ahead_low", "ahead_high", "p_value"]
    headings += ["beyond_noise"]
    for target in record.targets:
        headings += [f"{target}.{each}" for each in ("ships", "bytes", "validation_accuracy", "ahead", "test_accuracy")]
    headings += ["seconds", "failed"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headings)
    for row in record.rows:
        line: list[object] = [shown(row.setting[key]) if key in row.setting else "" for key in record.keys]
        line += [len(row.accuracies), row.mean, row.std]
        gain = row.gain
        line += [None] * 4 if gain is None else [gain.mean, *gain.interval, gain.p_value]
        line.append(row.beyond_noise)
        for target in record.targets:
            ships = row.shipped(target)
            ahead = row.shipped_gain.get(target)
            line += [_names(ships), _mean([each.size_bytes for each in ships])]
            line += [_mean([each.validation_accuracy for each in ships]), None if ahead is None else ahead.mean]
            line.append(_mean([each.test_accuracy for each in ships]))
        line += [sum(each.seconds for each in row.trials), row.failed]
        writer.writerow([f"{each:.6g}" if isinstance(each, float) else each for each in line])
    return out.getvalue()


def _best(record: SweepRecord, best: SweepRow) -> list[str]:
    lines = [f"best on validation: {words(best.setting)}"]
    for target in record.targets:
        known = [each.test_accuracy for each in best.shipped(target) if each.test_accuracy is not None]
        if known:
            spread = f" ± {100 * statistics.stdev(known):.2f}" if len(known) > 1 else ""
            reached = 100 * statistics.fmean(known)
            lines.append(f"what it ships on {target} reaches {reached:.2f}{spread} % of the test samples")
    if len(record.rows) > 1:
        lines.append(f"the best of {len(record.rows)} looks better on validation samples than it is")
    sets = [*record.assignments, *(f"{key}={json.dumps(value)}" for key, value in best.setting.items())]
    command = ["edgekd", "run", record.pipeline, *(part for each in sets for part in ("--set", each))]
    return [*lines, shlex.join(command)]


def _accuracy(row: SweepRow, seeds: int) -> str:
    if row.mean is None:
        return "–"
    spread = f" ± {100 * row.std:.2f}" if row.std is not None else ""
    few = f" ({len(row.accuracies)} of {seeds})" if len(row.accuracies) < seeds else ""
    return f"{100 * row.mean:.2f}{spread}{few}"


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return "–"
    low, high = gain.interval
    return f"{100 * gain.mean:+z.2f} [{100 * low:+z.2f},{100 * high:+z.2f}]"  # not broken inside


def _value(row: SweepRow, key: str) -> str:
    return shown(row.setting[key]) if key in row.setting else AS_IN_FILE


def _shipped(row: SweepRow, target: str) -> list[str]:
    ships = row.shipped(target)
    size, accuracy = _mean([each.size_bytes for each in ships]), _mean([each.validation_accuracy for each in ships])
    return [
        _names(ships) or "–",
        "–" if size is None else f"{size:,.0f}",
        "–" if accuracy is None else f"{100 * accuracy:.2f}",
    ]


def _names(ships: Sequence[TrialShipped]) -> str:
    """The candidates that ship, with how often where they differ from seed to seed."""
    counted = Counter(each.candidate for each in ships).most_common()
    if len(counted) == 1:
        return counted[0][0]
    return ", ".join(f"{name} ({count})" for name, count in counted)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return statistics.fmean(known) if known else None


def _short(key: str, keys: Sequence[str]) -> str:
    """The end of a key, as much as tells it from the others."""
    parts = key.split(".")
    for length in range(1, len(parts)):
        end = ".".join(parts[-length:])
        if not parts[-length].isdigit() and sum(f".{other}".endswith(f".{end}") for other in keys) == 1:
            return end
    return key
