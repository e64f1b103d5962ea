"""`edgekd check`: the gate alone, for a release pipeline that already has a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.subjects import InputFile, Seconds, Seed, Shapes, TargetFile
from edgekd.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from edgekd.cli.subjects import Given
    from edgekd.config.target import Limits
    from edgekd.records.check import Check
    from edgekd.records.latency import LatencyRecord
    from edgekd.records.model import ModelFacts

MODEL, BASELINE, TEACHER = "model", "baseline", "teacher"


def check(
    model: Annotated[Path, typer.Argument(metavar="MODEL|BUNDLE", help="What is to ship.")],
    target: TargetFile = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="MODEL|BUNDLE", help="A previous release to be no worse than.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option("--teacher", metavar="MODEL", help="What speedup_vs_teacher is measured against.")
    ] = None,
    inputs: InputFile = None,
    shapes: Shapes = [],  # noqa: B006 - typer reads the default, nobody changes it
    accuracy_drop: Annotated[
        float, typer.Option("--max-accuracy-drop", min=0, max=1, help="With --against: accuracy that may be lost.")
    ] = 0.005,
    seconds: Seconds = None,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Decide whether a model may ship: the target's limits, and no slower, bigger or worse than a previous release.

    The files and golden answers of bundles are verified first. Exits with 0 (pass), 1 (fail) or 3 (undecided).
    """
    from rich.console import Console

    from edgekd.cli.subjects import given, load_target, shapes_of, subject_of
    from edgekd.graph.inspect import describe
    from edgekd.harness.driver import measure
    from edgekd.records.check import verdict
    from edgekd.records.run import EXIT_CODES
    from edgekd.report.check import check_json, print_checks
    from edgekd.report.progress import progress_for
    from edgekd.stages.targets import device_of

    profile = load_target(target, seconds=seconds)
    judged = given(model, profile.name)
    previous = None if against is None else given(against, profile.name)
    notes = _verified(model, judged) + ([] if against is None or previous is None else _verified(against, previous))
    parts = {MODEL: judged, BASELINE: previous, TEACHER: None if teacher is None else given(teacher, profile.name)}
    subjects = {name: subject_of(part, shapes_of(shapes), inputs) for name, part in parts.items() if part is not None}
    limits = profile.limits
    if limits.speedup_vs_teacher is not None and teacher is None:
        limits = limits.model_copy(update={"speedup_vs_teacher": None})
        notes.append("not checked: speedup_vs_teacher (give the teacher's file with --teacher)")
    accuracy = None if previous is None else _accuracy(judged, previous, profile.name, accuracy_drop)
    rules = Rules(limits, profile.measure.margin, describe(judged.path), accuracy, against=previous is not None)
    if previous is not None and accuracy is None:
        notes.append("not checked: accuracy against the previous release (both must be bundles)")
    progress = progress_for(Console(stderr=True))
    pairs = [(name, MODEL) for name in subjects if name != MODEL]
    try:
        record = measure(
            device_of(profile), profile.runtime, profile.measure, subjects, pairs, seed, progress, settled=rules.settled
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing was decided", err=True)
        raise typer.Exit(130) from None
    checks = rules.checks(record)
    if record.environment.machine.emulated:
        times = (*limits.of_times, *(("latency against the previous release",) if previous is not None else ()))
        notes += [f"not checked: {name} (the processor is emulated, its times say nothing)" for name in times]
    if not checks:
        raise UsageError(
            "there is nothing to check", hint="set limits in the target file, or give a previous release with --against"
        )
    if as_json:
        typer.echo(check_json(checks, record, profile.name, notes))
    else:
        print_checks(checks, record, notes, Console())
    raise typer.Exit(EXIT_CODES[verdict(checks)])


@dataclass(frozen=True)
class Rules:
    """Everything that one model is held to. accuracy: what is known of it already; against: whether a previous release
    is measured beside it."""

    limits: Limits
    margin: float
    facts: ModelFacts
    accuracy: Check | None
    against: bool

    def checks(self, record: LatencyRecord) -> tuple[Check, ...]:
        from edgekd.release import regression
        from edgekd.release.gate import cost_checks, size_checks

        timed = not record.environment.machine.emulated  # times of an imitated processor decide nothing
        against_teacher = [each.reverse() for each in record.comparisons if each.model == TEACHER]
        found = [*size_checks(self.limits, self.facts)]
        if timed:
            found = [*cost_checks(self.limits, record.model(MODEL), next(iter(against_teacher), None), self.facts)]
        if self.against:
            if timed:
                found.append(regression.latency(record.comparison(BASELINE, MODEL).reverse(), self.margin))
            found.append(regression.size(record.model(MODEL), record.model(BASELINE), self.margin))
        return (*found, *([] if self.accuracy is None else [self.accuracy]))

    def settled(self, record: LatencyRecord) -> bool:
        """Whether more samples would change nothing; cold starts are made afterwards, accuracy is given."""
        from edgekd.records.check import Outcome

        later = ("cold_start_ms", "accuracy_vs_baseline")
        return all(each.outcome is not Outcome.UNDECIDED or each.name in later for each in self.checks(record))


def _accuracy(judged: Given, previous: Given, target: str, allowed: float) -> Check | None:
    """Of a bundle against the previous one; None unless both are bundles.

    Raises:
        ConfigError: the evidence in one of them contradicts itself.
    """
    from edgekd.harness.scoring import paired
    from edgekd.release import regression

    bundles = [(each.folder, each.manifest) for each in (judged, previous)]
    both = [(folder, manifest) for folder, manifest in bundles if folder is not None and manifest is not None]
    if len(both) < 2:
        return None
    new, old = (regression.shown(folder, manifest, target) for folder, manifest in both)
    pair = None
    if new and old and new.right is not None and old.right is not None and regression.same_samples(new, old):
        pair = paired(MODEL, BASELINE, new.right, old.right)
    return regression.accuracy(new, old, allowed, pair)


def _verified(path: Path, judged: Given) -> list[str]:
    """Notes about the bundle's own proof.

    Raises:
        ConfigError: the bundle is not what its manifest says.
    """
    if judged.manifest is None:
        return [f"{path}: a plain model, no golden answers to verify"]
    from edgekd.release.apart import verify_apart

    problems = verify_apart(path)
    if problems:
        raise ConfigError(f"{path}: {problems[0]}", hint=f"`edgekd verify {path}` lists every problem")
    return [f"{path}: verified: {len(judged.manifest.files)} files and the golden answers"]
