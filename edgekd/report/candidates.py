"""The candidates of a target on the terminal: what each costs, how right it is, and why it ships or does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.records.candidate import MadeFile
from edgekd.records.screening import FP32, ChoiceRecord, Screened, ScreeningRecord
from edgekd.report.text import print_line


def print_candidates(
    screening: ScreeningRecord, choice: ChoiceRecord, made: Mapping[str, MadeFile], console: Console
) -> None:
    """Prints a row a candidate, the one that ships first; accuracy is of validation samples. `made`: their files, of
    which is told what they compute in, and of the one that ships what may go wrong elsewhere."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=f"candidates on {screening.target} · {max(each.samples for each in screening.candidates):,} of "
        f"{screening.validation_samples:,} validation samples",
        title_justify="left",
    )
    cost = {"time": "time", "instructions": "instructions", "none": "time"}[screening.cost]
    table.add_column("")
    for heading in ("bytes", "accuracy", cost):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    verdicts = {each.name: each for each in choice.candidates}
    for each in sorted(screening.candidates, key=lambda each: not verdicts[each.name].ships):
        verdict = verdicts[each.name]
        style = "green" if verdict.ships else "dim"
        table.add_row(
            Text(each.name, style="default"),
            Text(f"{each.size_bytes:,}" if each.size_bytes else "–"),
            Text(_accuracy(each)),
            Text(_cost(each, screening)),
            Text(f"ships: {verdict.why}" if verdict.ships else verdict.why, style=style),
        )
    console.print(table)
    told = {
        "time": f"time: relative to {FP32}, with its {100 * screening.confidence:.4g} % interval",
        "instructions": f"instructions: relative to {FP32}; the processor is emulated, its times say nothing",
        "none": "the processor is emulated: its times say nothing",
    }[screening.cost]
    print_line(console, told, "dim")
    for line in _arithmetic(made):
        print_line(console, line, "dim")
    if choice.chosen in made:
        for caution in (*made[choice.chosen].cautions, *screening.cautions.get(choice.chosen, ())):
            print_line(console, f"! {choice.chosen}: {caution.what}; {caution.hint}", "yellow")
    if choice.unfit:
        print_line(console, f"nothing ships on {choice.target}; what follows is the fp32 file", "red")


def _arithmetic(made: Mapping[str, MadeFile]) -> Iterator[str]:
    """What the candidates compute in, those together that do alike."""
    alike: dict[str, list[str]] = {}
    for name, each in made.items():
        if each.execution.arithmetic:
            alike.setdefault(each.execution.arithmetic, []).append(name)
    for arithmetic, names in alike.items():
        yield f"{', '.join(names)}: {arithmetic}"


def _accuracy(each: Screened) -> str:
    return "–" if each.accuracy is None else f"{100 * each.accuracy:.2f}"


def _cost(each: Screened, screening: ScreeningRecord) -> str:
    if screening.cost == "instructions" and each.instructions is not None:
        reference = screening.candidate(FP32).instructions
        return f"{each.instructions / reference:.3f}" if reference else "–"
    if screening.cost != "time" or each.refused:
        return "–"
    pair = screening.comparison(each.name, FP32)
    if pair is None:
        return "1"
    shown = f" [{pair.interval[0]:.2f}, {pair.interval[1]:.2f}]" if pair.interval else ""
    return f"{pair.ratio:.2f}{shown}"
