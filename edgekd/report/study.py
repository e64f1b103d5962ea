"""A search for the student's shape on the terminal: what was tried, the last few side by side, which one is taken."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.config.inline import inline
from edgekd.records.evaluation import Interval
from edgekd.records.pricing import PricingRecord
from edgekd.records.study import Finalist, Rung, ShippingFile, StudyRecord
from edgekd.report.text import print_line, three_digits, time_unit


def print_study(study: StudyRecord, pricing: PricingRecord | None, console: Console) -> None:
    """Prints what was tried, how well costs were foretold, a table of the finalists for each target, and which one is
    taken and why."""
    for line in (*_tried(study), *(_foretold(pricing) if pricing else ())):
        print_line(console, line)
    for number, each in enumerate(_ordered(study), start=1):
        shape = study.entrants[each.shape]
        print_line(console, f"{number}: {inline(shape.shape)}, {shape.parameters:,} parameters")
    targets = list(dict.fromkeys(name for each in study.finalists for name in each.files))
    for target in targets:
        console.print(_table(study, target))
    if targets:
        print_line(
            console, "accuracy: of validation samples, in %; [..] are 95 % intervals of accuracy; * on the front", "dim"
        )
    for target in targets:
        if all(each.files[target].cost is None for each in study.finalists if target in each.files):
            print_line(console, f"instructions on {target}: nothing counted them, and times mean nothing there", "dim")
    for line in _told(study):
        print_line(console, line, "yellow")
    winner = study.winner
    if winner is None:
        print_line(console, f"nothing is taken: {study.why}", "red")
    else:
        print_line(console, f"taken: {inline(winner[0].shape)}: {study.why}", "green")


def found(study: StudyRecord) -> tuple[str, ...]:
    """What stands above the student's model in a file: what the budget was, what was tried, and what came of it."""
    winner = study.winner
    assert winner is not None, "only what is taken is written"
    shape, finalist = winner
    trained = ", ".join(f"{rung.epochs}: {len(rung.attempts)}" for rung in study.rungs)
    return (
        f"{study.within} of {study.priced} shapes are within {inline(study.budget)}; trained, by epochs: {trained}",
        f"{study.why}; {shape.parameters:,} parameters",
        *(
            f"{each.candidate} on {target}: {_percent(each.accuracy, each.accuracy_interval)} % of {each.samples:,} "
            f"validation samples, {each.size_bytes:,} bytes{_cost(each, ', ')}"
            for target, each in finalist.files.items()
        ),
    )


def _tried(study: StudyRecord) -> Iterator[str]:
    yield (
        f"fit · {study.within} of {study.priced} shapes measured are within {inline(study.budget)} · "
        f"{study.pricing_seconds / 60:.1f} of {study.seconds / 60:.1f} minutes for measuring"
    )
    for rung in study.rungs:
        yield f"after {_epochs(rung)}: {_reached(rung)}"
        for each in rung.attempts:
            if each.failed:
                yield f"  {inline(study.entrants[each.shape].shape)} – {each.failed}"
    if study.foretold is not None:
        yield f"rank correlation of capacity and accuracy after {_epochs(study.rungs[0])}: {study.foretold:.2f}"


def _foretold(pricing: PricingRecord) -> Iterator[str]:
    for each in pricing.predictions:
        if each.median is not None and each.p90 is not None:
            yield (
                f"cost model, {each.candidate} on {each.target}: wrong by {100 * each.median:.1f} % in the median, "
                f"{100 * each.p90:.1f} % at most in nine of ten of {each.measured} shapes that it had not seen"
            )


def _reached(rung: Rung) -> str:
    accuracies = [100 * each.accuracy for each in rung.attempts if not each.failed]
    count = f"{len(rung.attempts)} shape{'s' if len(rung.attempts) > 1 else ''}"
    if not accuracies:
        return f"{count}, none came to an end"
    least = f"{min(accuracies):.2f} to " if len(accuracies) > 1 else ""
    return f"{count}, {least}{max(accuracies):.2f} % of validation right"


def _epochs(rung: Rung) -> str:
    return f"{rung.epochs} epoch{'s' if rung.epochs > 1 else ''}"


def _table(study: StudyRecord, target: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=f"finalists on {target}", title_justify="left"
    )
    table.add_column("")
    timed = any(each.files[target].p50_s is not None for each in study.finalists if target in each.files)
    for heading in ("ships", "bytes", "accuracy", "p50" if timed else "instructions"):
        table.add_column(heading, justify="right", overflow="fold", no_wrap=heading != "ships")
    for number, each in enumerate(_ordered(study), start=1):
        file = each.files.get(target)
        if file is None:
            continue
        style = "green" if each.shape == study.taken else "dim" if each.unfit else "default"
        table.add_row(
            Text(f"{number}{' *' if each.front else ''}", style=style),
            file.candidate,
            f"{file.size_bytes:,}",
            Text(_percent(file.accuracy, file.accuracy_interval)),
            Text((_cost(file) if timed else _cost(file).removesuffix(" instructions")) or "–"),
        )
    return table


def _ordered(study: StudyRecord) -> list[Finalist]:
    """The taken one first, then the most accurate."""
    return sorted(study.finalists, key=lambda each: (each.shape != study.taken, -each.accuracy))


def _told(study: StudyRecord) -> Iterator[str]:
    """What keeps a finalist from being taken, and what the pipeline would do otherwise."""
    for each in study.finalists:
        shape = inline(study.entrants[each.shape].shape)
        if each.unfit:
            yield f"{shape} – {each.unfit}"
        for target, file in each.files.items():
            if file.otherwise:
                yield (
                    f"{shape}: edgekd run would ship {file.otherwise} on {target}, which is larger than the budget: "
                    "give limits.model_bytes in the target's file"
                )


def _percent(accuracy: float, interval: Interval) -> str:
    return f"{100 * accuracy:.2f} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def _cost(file: ShippingFile, before: str = "") -> str:
    if file.p50_s is not None:
        factor, unit = time_unit(file.p50_s)
        low_high = file.p50_interval_s
        spread = f" [{three_digits(low_high[0] * factor)}, {three_digits(low_high[1] * factor)}]" if low_high else ""
        return f"{before}{three_digits(file.p50_s * factor)}{spread} {unit}"
    return f"{before}{file.instructions:,} instructions" if file.instructions is not None else ""
