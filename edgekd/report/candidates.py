"""The candidates of a target on the terminal: what each costs, how right it is, and why it ships or does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.records.candidate import MadeFile
from edgekd.records.screening import FP32, ChoiceRecord, Screened, ScreeningRecord
from edgekd.report.text import duration, print_line

GAP = 2  # characters between two columns


def print_candidates(
    screening: ScreeningRecord, choice: ChoiceRecord, made: Mapping[str, MadeFile], console: Console
) -> None:
    """Prints a row for each candidate that ran, the one that ships first, and below why each ships or does not;
    accuracy is of validation samples. `made`: their files, of which is told what they compute in, and of the one that
    ships what may go wrong elsewhere."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=f"candidates on {screening.target} · {max(each.samples for each in screening.candidates):,} of "
        f"{screening.validation_samples:,} validation samples",
        title_justify="left",
    )
    table.add_column("", overflow="fold")
    cost = "instructions" if screening.cost == "instructions" else "time"
    agreement = screening.judged_by == "fp32"
    judged = ("agreement", "95 %") if agreement else ("accuracy", "gain")
    headings = ("bytes", *judged, cost, "start")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    verdicts = {each.name: each for each in choice.candidates}
    ordered = sorted(screening.candidates, key=lambda each: not verdicts[each.name].ships)
    cells = {
        each.name: (f"{each.size_bytes:,}", *_accuracy(each, agreement=agreement), _cost(each, screening), _start(each))
        for each in ordered
        if not each.refused
    }
    taken = sum(max(map(len, column)) + GAP for column in zip(headings, *cells.values(), strict=True))
    for name, row in cells.items():
        style = "green" if verdicts[name].ships else "default"
        table.add_row(Text(in_lines(name, console.width - taken - GAP), style), *map(Text, row))
    console.print(table)
    told = {
        "time": f"time: relative to {FP32}, with its interval of {100 * screening.confidence:.4g} % or more",
        "instructions": f"instructions: relative to {FP32}; the processor is emulated, its times say nothing",
        "none": "the processor is emulated: its times say nothing, and nothing counted its instructions",
    }[screening.cost]
    answers = (
        f"agreement: share of samples, in %, with the answer of {FP32}, and its interval"
        if agreement
        else f"gain: 95 % interval of the points of accuracy against {FP32}"
    )
    print_line(console, f"{answers}; start: of a process, once", "dim")
    print_line(console, told, "dim")
    for each in ordered:
        verdict = verdicts[each.name]
        console.print(
            Text(f"{each.name} {'ships: ' if verdict.ships else '– '}{verdict.why}"),
            style="green" if verdict.ships else "dim",
        )
    for line in _arithmetic(made):
        print_line(console, line, "dim")
    if choice.chosen in made:
        for caution in (*made[choice.chosen].cautions, *screening.cautions.get(choice.chosen, ())):
            print_line(console, f"! {choice.chosen}: {caution.what}; {caution.hint}", "yellow")


def in_lines(name: str, room: int) -> str:
    """A name that takes no more than so many characters of a line, where its words do: `int8_qdq_` and `signed`."""
    lines = [""]
    for word in re.findall("[^_]*_|[^_]+$", name):
        if len(lines[-1] + word) > room:
            lines.append("")
        lines[-1] += word
    return "\n".join(filter(None, lines))


def _accuracy(each: Screened, *, agreement: bool) -> tuple[str, str]:
    """It, and how far it may be from the fp32 file's; of agreement its own interval."""
    shown = "–" if each.accuracy is None else f"{100 * each.accuracy:.2f}"
    if each.against_fp32 is None:
        return shown, ""
    if agreement and each.accuracy_interval is not None:
        low, high = each.accuracy_interval
        return shown, f"[{100 * low:.2f}, {100 * high:.2f}]"
    low, high = each.against_fp32.drop_interval
    return shown, f"[{-100 * high:+.2f}, {-100 * low:+.2f}]"


def _start(each: Screened) -> str:
    return "–" if each.cold_start_s is None else duration(each.cold_start_s)


def _arithmetic(made: Mapping[str, MadeFile]) -> Iterator[str]:
    """What the candidates compute in, those together that do alike."""
    alike: dict[str, list[str]] = {}
    for name, each in made.items():
        if each.execution.arithmetic:
            alike.setdefault(each.execution.arithmetic, []).append(name)
    for arithmetic, names in alike.items():
        yield f"{', '.join(names)}: {arithmetic}"


def _cost(each: Screened, screening: ScreeningRecord) -> str:
    if screening.cost == "instructions" and each.instructions is not None:
        reference = screening.candidate(FP32).instructions
        return f"{each.instructions / reference:.3f}" if reference else "–"
    if screening.cost != "time":
        return "–"
    pair = screening.comparison(each.name, FP32)
    if pair is None:
        return "1"
    shown = f" [{pair.interval[0]:.2f}, {pair.interval[1]:.2f}]" if pair.interval else ""
    return f"{pair.ratio:.2f}{shown}"
