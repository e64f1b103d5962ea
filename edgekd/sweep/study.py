"""A sweep from its settings to its table: which part of which trial is run when.

What trials share is run once. Trainings run side by side; what measures runs when nothing else does, one at a time.
Nothing but the store and its cache remembers how far a sweep came: the same command proposes the same settings, and
finds what is finished.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from edgekd.config.networks import STUDENT
from edgekd.config.pipeline import Pipeline, with_setting
from edgekd.config.sweep import Setting, SweepSection, words
from edgekd.errors import EdgekdError
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.store import Store
from edgekd.progress import Advance, Progress
from edgekd.records.stage import StageRecord
from edgekd.records.sweep import SweepRecord, SweepRow, SweepTrial
from edgekd.stages.assembly import assemble
from edgekd.sweep.job import Failed, Job, Outcome, decided_by
from edgekd.sweep.known import keep, recall
from edgekd.sweep.proposals import Reached, proposals
from edgekd.sweep.table import compared, trial_record
from edgekd.sweep.trial import PARTS, Part, Trial, needed_plan
from edgekd.sweep.workers import Workers


@dataclass
class Running:
    """A trial on its way; words: its setting in one line; results: by node, as far as it came."""

    trial: Trial
    words: str
    results: dict[str, StageRecord] = field(default_factory=dict)
    done: set[Part] = field(default_factory=set)
    trained_now: bool = False
    failed: str = ""

    @property
    def next_part(self) -> Part | None:
        return next((part for part in PARTS if part not in self.done and self.trial.part(part)), None)


@dataclass
class Study:
    pipeline: Pipeline
    section: SweepSection
    until: str
    workers: Workers
    store: Store
    progress: Progress
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _awaited: dict[str, list[Running]] = field(default_factory=dict)
    _finished: int = 0

    def run(self) -> SweepRecord:
        """Tries every setting with every seed.

        Raises:
            StoreError: the store refuses what is made; what was finished is kept.
            UsageError: a library that the sampler needs is not here.
        """
        config = self.pipeline.config
        rounds = proposals(self.section, config.seed)
        tried: list[SweepRow] = []
        with self.store.in_use(), self.progress.task("trials", self.total) as advance:
            settings: list[Setting] | None = next(rounds)
            if self.section.sampler != "grid":  # the file as it is, to hold the others against
                tried += self._round([{}], advance)
            while settings is not None:
                found = self._round(settings, advance)
                tried += [row for row in found if not self._is_the_file(row.setting)]
                settings = _next(rounds, [row.mean if row.finished else None for row in found])
        targets = self._targets()
        return SweepRecord(
            name=config.name,
            pipeline=str(self.pipeline.source.path),
            assignments=(),
            keys=tuple(self.section.space),
            sampler=self.section.sampler,
            seeds=self._seeds(),
            until=self.until,
            targets=tuple(targets),
            rows=compared(tried, targets),
        )

    def _seeds(self) -> tuple[int, ...]:
        return tuple(self.pipeline.config.seed + number for number in range(self.section.seeds))

    @property
    def total(self) -> int:
        """How many trials there are at most."""
        grid = self.section.sampler == "grid" or self.section.combinations <= self.section.settings
        settings = int(self.section.combinations) if grid else self.section.settings
        return (settings + (self.section.sampler != "grid")) * self.section.seeds

    def _targets(self) -> list[str]:
        return [target.name for target in self.pipeline.targets]

    def _round(self, settings: Sequence[Setting], advance: Advance) -> list[SweepRow]:
        """Every trial of these settings, all of them trained before the first one is measured."""
        found = [[self._begun(setting, seed) for seed in self._seeds()] for setting in settings]
        trials = [each for runs in found for each in runs]
        for each in trials:
            self._go_on(each, advance)
        while self._awaited:
            job, outcome = self.workers.finished()
            self._took(job, outcome, advance)
        measured = [each for each in trials if not each.failed and each.next_part == "measured"]
        if measured:
            with self.progress.task("measured", len(measured)) as step:
                for each in measured:
                    self._measure(each)
                    step()
        return [
            SweepRow(setting=dict(setting), trials=tuple(map(self._record, runs)))
            for setting, runs in zip(settings, found, strict=True)
        ]

    def _is_the_file(self, setting: Setting) -> bool:
        """Whether a sampler proposes what the file says anyway. The first row is the file then, and the difference to
        it is nothing by construction: as a row of its own it would only make Holm's correction stricter."""
        if self.section.sampler == "grid":
            return False
        try:
            return with_setting(self.pipeline, setting, self.pipeline.config.seed).config == self.pipeline.config
        except EdgekdError:
            return False

    def _begun(self, setting: Setting, seed: int) -> Running:
        told = f"{words(setting)}, seed {seed}"
        try:
            plan = needed_plan(assemble(with_setting(self.pipeline, setting, seed)), self.until)
        except EdgekdError as error:
            return Running(Trial(seed, Plan(self.pipeline.config.name, seed, ())), told, failed=str(error))
        return Running(Trial(seed, plan), told)

    def _go_on(self, running: Running, advance: Advance) -> None:
        """Has the next part of a trial run, if it is not known and nobody else runs it, up to what measures."""
        while True:
            part = running.next_part
            if running.failed or part is None or part == "measured":
                self._tell(running)
                advance()
                return
            plan = running.trial.up_to(part)
            try:
                made_of = decided_by(plan, running.results)
            except EdgekdError as error:  # a file of the user's that is not there
                self._took_part(running, part, Failed(str(error)))
                continue
            label = running.words if part == "student" else f"{part} of {running.words}"
            job = Job(label, part, plan, dict(running.results), made_of)
            key = job.key
            if key not in self._outcomes:
                waiting = self._awaited.setdefault(key, [])
                waiting.append(running)
                if len(waiting) > 1:
                    return
                known = recall(job, self.store, self.progress)
                if known is None:
                    running.trained_now = part == "student"
                    self.workers.submit(job)
                    return
                del self._awaited[key]
                self._outcomes[key] = known
            self._took_part(running, part, self._outcomes[key])

    def _took(self, job: Job, outcome: Outcome, advance: Advance) -> None:
        """Lets every trial go on that waited for a job.

        Raises:
            EdgekdError: there is no going on.
        """
        if isinstance(outcome, Failed):
            if outcome.ends is not None:
                raise outcome.ends
        else:
            keep(job, outcome, self.store)
            if job.part != "student":
                self.progress.say(f"{job.label}: {outcome[job.plan.nodes[-1].id].headline}")
        self._outcomes[job.key] = outcome
        for running in self._awaited.pop(job.key):
            part = running.next_part
            assert part is not None
            self._took_part(running, part, outcome)
            self._go_on(running, advance)

    def _took_part(self, running: Running, part: Part, outcome: Outcome) -> None:
        running.done.add(part)
        if isinstance(outcome, Failed):
            running.failed = outcome.why
        running.results.update(outcome.reached if isinstance(outcome, Failed) else outcome)

    def _tell(self, running: Running) -> None:
        self._finished += 1
        if running.failed:
            told = f"failed: {running.failed}"
        else:
            seconds = running.results[f"train@{STUDENT}"].seconds
            told = f"{self._record(running).accuracy:.2%} of validation right"
            told += f" ({seconds:.1f} s)" if running.trained_now else " (from the store)"
        self.progress.say(f"{self._finished}/{self.total} {running.words}: {told}")

    def _measure(self, running: Running) -> None:
        """Nothing else runs meanwhile.

        Raises:
            EdgekdError: there is no going on.
        """
        self.workers.submit(Job(running.words, "measured", running.trial.plan, dict(running.results), {}))
        _, outcome = self.workers.finished()
        if isinstance(outcome, Failed) and outcome.ends is not None:
            raise outcome.ends
        self._took_part(running, "measured", outcome)
        if isinstance(outcome, Failed):
            self.progress.say(f"{running.words}: failed: {outcome.why}")
        else:
            self.progress.say(f"{running.words}: {outcome[running.trial.plan.nodes[-1].id].headline}")

    def _record(self, running: Running) -> SweepTrial:
        trial = running.trial
        own = [node.id for part in ("student", "measured") for node in trial.part(part)]
        return trial_record(trial.seed, running.results, own, self._targets(), self.store, running.failed)


def _next(rounds: Generator[list[Setting], list[Reached], None], reached: list[Reached]) -> list[Setting] | None:
    """What is tried next when that was reached; None when there is no more."""
    try:
        return rounds.send(reached)
    except StopIteration:
        return None
