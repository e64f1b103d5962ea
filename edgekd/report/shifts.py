"""How right the models are under other conditions, as a table."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from edgekd.records.evaluation import Evaluation
from edgekd.records.shifts import ShiftsRecord
from edgekd.report.gains import gains
from edgekd.report.text import print_line


def print_shifts(record: ShiftsRecord, clean: Evaluation, console: Console) -> None:
    """The accuracy of every model on the samples as they are and changed, and what distillation gained there."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, justify in (("accuracy", "left"), ("as they are", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for kind, each in record.shifts.items():
        table.add_column(f"{kind} {each.amount:g}", justify="right")
    for name, model in clean.models.items():
        cells = [
            model.accuracy.value,
            *(each.evaluation.models[name].accuracy.value for each in record.shifts.values()),
        ]
        table.add_row(name, *(f"{100 * cell:.2f}" for cell in cells))
    console.print(table)
    for kind, each in record.shifts.items():
        for line in gains(each.evaluation):
            print_line(console, f"{kind} {each.amount:g}: {line}")
