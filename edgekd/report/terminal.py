"""A run on the terminal: one table a person understands at once, the checks, the verdict, and where the run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.records.candidate import CandidateRecord
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.exported import ExportedRecord
from edgekd.records.finetuned import FinetunedRecord
from edgekd.records.instructions import InstructionRecord
from edgekd.records.latency import LatencyRecord
from edgekd.records.layout import LayoutRecord
from edgekd.records.levels import LevelsRecord
from edgekd.records.model import ModelFacts
from edgekd.records.network import NetworkRecord
from edgekd.records.pricing import PricingRecord
from edgekd.records.release import ReleaseRecord
from edgekd.records.repair import RepairRecord
from edgekd.records.run import NOT_RELEASED, RunRecord, StageOutcome
from edgekd.records.screening import FP32, ChoiceRecord, ScreeningRecord
from edgekd.records.seeds import SeedsRecord
from edgekd.records.selection import SelectionRecord
from edgekd.records.shifts import ShiftsRecord
from edgekd.records.splits import SplitsRecord
from edgekd.records.study import StudyRecord
from edgekd.report.candidates import print_candidates
from edgekd.report.costs import costs
from edgekd.report.gains import gains
from edgekd.report.layout import told_widths
from edgekd.report.levels import told as told_levels
from edgekd.report.seeds import over_seeds
from edgekd.report.selection import selected
from edgekd.report.shifts import print_shifts
from edgekd.report.study import print_study
from edgekd.report.targets import print_targets
from edgekd.report.text import duration, print_check, print_line, print_verdict, ratio

TOLD_STAGES = 4


def print_run(record: RunRecord, folder: Path, console: Console) -> None:
    """Prints what the run reached: the stages alone when it stopped before there was anything to compare."""
    console.print()
    evaluations = record.all(Evaluation)
    for target in evaluations:
        _print_target(record, target, console)
    for selection in record.all(SelectionRecord).values():
        for line in selected(selection):
            print_line(console, line)
    for subject, study in record.all(StudyRecord).items():
        print_study(study, record.all(PricingRecord).get(subject), console)
    for line in costs(record.all(NetworkRecord)):
        print_line(console, line)
    if not evaluations and not record.all(StudyRecord):
        _print_stages(record, console)
    print_targets(record, console)
    release = record.release
    if release:
        _print_release(release, console)
    if record.error:
        print_line(console, f"\nnot finished: {record.error}", "red")
    if spent := time_spent(record.stages):
        print_line(console, f"time:    {spent}")
    print_line(console, f"run:     {folder}  ({_wall_time(record.seconds)}, {record.peak_rss_bytes / 2**30:.2f} GiB)")
    if (folder / "bundle").is_dir():
        print_line(console, f"bundle:  {folder / 'bundle'}")
    if release and (folder / NOT_RELEASED).is_dir():
        print_line(console, f"models:  {folder / NOT_RELEASED}  (not released: {release.verdict.value})")


def _print_release(release: ReleaseRecord, console: Console) -> None:
    several = len(release.checks) > 1
    for target, checks in release.checks.items():
        for check in checks:
            print_check(console, check, f"{target}: {check.name}" if several else "")
    print_verdict(console, release.verdict)
    for target, lines in release.levers.items():
        for line in lines:
            print_line(console, f"  {target}: {line}" if several else f"  {line}")


def model_facts(record: RunRecord) -> dict[str, ModelFacts]:
    """The facts of each model file that the run has, by the name that tables call it."""
    facts = {name: each.facts for name, each in record.all(ExportedRecord).items() if name != "student"}
    exported = record.all(ExportedRecord).get("student")
    if exported:
        facts[FP32] = exported.facts
    return facts | {name: each.file.facts for name, each in record.all(CandidateRecord).items() if each.file}


def time_spent(stages: Sequence[StageOutcome]) -> str:
    """Which stages took the time of this run, the longest first; empty where none took a second."""
    ran = sorted((each for each in stages if each.state == "ran"), key=lambda each: -each.seconds)
    long = [each for each in ran if each.seconds >= 1][:TOLD_STAGES]
    rest = ran[len(long) :]
    told = [f"{each.id} {_wall_time(each.seconds)}" for each in long]
    if long and rest:
        told.append(f"{len(rest)} other{'s' if len(rest) > 1 else ''} {_wall_time(sum(each.seconds for each in rest))}")
    return " · ".join(told)


def _print_target(record: RunRecord, target: str, console: Console) -> None:
    evaluation, latency = record.all(Evaluation)[target], record.all(LatencyRecord).get(target)
    screening, choice = record.all(ScreeningRecord).get(target), record.all(ChoiceRecord).get(target)
    if screening and choice:
        candidates = record.all(CandidateRecord)
        files = {each.name: candidates[each.name].file for each in screening.candidates if each.name in candidates}
        made = {name: file for name, file in files.items() if file}
        print_candidates(screening, choice, made, console)
        if choice.unfit:
            print_line(console, f"nothing ships on {choice.target}; what follows is the fp32 file", "red")
        for each in screening.candidates:
            repair = record.all(RepairRecord).get(each.name)
            if repair and repair.told:
                print_line(console, f"{each.name}: {repair.told}", "dim")
            finetuned = record.all(FinetunedRecord).get(each.name)
            if finetuned:
                print_line(console, f"{each.name}: {finetuned.told}", "dim")
        console.print()
    console.print(_table(record, target, evaluation, latency))
    if latency is not None:
        _print_times(evaluation.shipped, latency, console)
    for line in _doubts(record, evaluation):
        print_line(console, f"! {line}", "yellow")
    levels = record.all(LevelsRecord).get(target)
    if levels:
        print_line(console, told_levels(levels), "dim" if not levels.differs else "yellow")
    layout = record.all(LayoutRecord).get(target)
    for line in told_widths(layout, target) if layout else ():
        print_line(console, line)
    for line in gains(evaluation):
        print_line(console, line)
    shifts = record.all(ShiftsRecord).get(target)
    if shifts:
        print_shifts(shifts, evaluation, console)
    seeds = record.all(SeedsRecord).get(target)
    for line in over_seeds(seeds) if seeds else ():
        print_line(console, line)


def _doubts(record: RunRecord, evaluation: Evaluation) -> Iterator[str]:
    """What speaks against the evidence."""
    for splits in record.all(SplitsRecord).values():
        yield from splits.doubts
    for contract in record.all(ModelContract).values():
        if len(contract.classes) == len(evaluation.models[evaluation.shipped].accuracy.per_class_total):
            yield from evaluation.doubts(contract.classes)


def _table(record: RunRecord, target: str, evaluation: Evaluation, latency: LatencyRecord | None) -> Table:
    """The models side by side: three columns fit on a terminal of 80 characters. Control and variants are told in
    words."""
    facts, choice = model_facts(record), record.all(ChoiceRecord).get(target)
    names = [name for name in evaluation.models if "." not in name]
    table = Table(
        title=f"{record.name} · seed {record.seed} · {evaluation.samples:,} test samples · target {target}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", no_wrap=True)
    for name in names:
        ships = name == evaluation.shipped and not (choice and choice.unfit)
        table.add_column(f"{name} (ships)" if ships else name, justify="right", no_wrap=True)

    def row(heading: str, cell: Callable[[str], str]) -> None:
        table.add_row(Text(heading), *(Text(cell(name)) for name in names))

    def accuracy(name: str) -> str:
        model = evaluation.models[name]
        low, high = model.accuracy_interval
        return f"{100 * model.accuracy.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"

    row("parameters", lambda name: f"{facts[name].parameters:,}" if name in facts else "–")
    row("bytes", lambda name: f"{facts[name].size_bytes:,}" if name in facts else "–")
    row("accuracy", accuracy)
    row("as teacher", lambda name: f"{100 * evaluation.models[name].agreement / evaluation.samples:.2f}")
    if latency is not None:
        for share in (0.5, 0.9, 0.99):
            row(f"p{100 * share:g}", lambda name, share=share: _percentile(latency, name, share))  # type: ignore[misc]
        row("speed-up", lambda name: _speedup(latency, name, evaluation.reference))
    counts = record.all(InstructionRecord).get(target)
    if counts is not None:
        row("instructions", lambda name: f"{counts.models[name].median:,}")
    return table


def _percentile(latency: LatencyRecord, name: str, share: float) -> str:
    found = latency.model(name).percentile(share)
    return duration(found.value_s) if found else "too few samples"


def _speedup(latency: LatencyRecord, name: str, reference: str) -> str:
    if name == reference:
        return "1"
    pair = latency.comparison(name, reference)
    if pair.speedup_interval is None:
        return ratio(pair.speedup)
    low, high = pair.speedup_interval
    return f"{ratio(pair.speedup)} [{ratio(low)}, {ratio(high)}]"


def _print_times(shipped: str, latency: LatencyRecord, console: Console) -> None:
    """What the numbers are, and how the file that ships compares with the fp32 one that it was made of."""
    confidence = f"{latency.confidence * 100:g} %"
    print_line(console, f"accuracy in %; [..] are 95 % intervals of accuracy, {confidence} of speed-up", "dim")
    if latency.lengths:
        told = ", ".join(f"{count} {name}" for name, count in latency.lengths.items())
        print_line(console, f"times: of inputs as long as 90 % of the validation samples need, {told}", "dim")
    pair = next((each for each in latency.comparisons if (each.model, each.baseline) == (shipped, FP32)), None)
    if pair is None:
        return
    interval = f" [{pair.interval[0]:.3f}, {pair.interval[1]:.3f}]" if pair.interval else ""
    print_line(console, f"{shipped} takes {pair.ratio:.3f} times as long as {FP32}{interval}: {pair.outcome.value}")


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
