"""Runs a plan: each stage once, its result kept, whatever interrupts it."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from edgekd.errors import EdgekdError, StageError, TargetError, UsageError
from edgekd.pipeline.explain import LastRun
from edgekd.pipeline.fingerprint import fingerprint, preimage
from edgekd.pipeline.lanes import LaneProgress, run_lanes
from edgekd.pipeline.plan import Node, Plan, input_digests
from edgekd.pipeline.stage import Context
from edgekd.pipeline.store import Store, disk_error, is_disk_trouble
from edgekd.progress import Progress
from edgekd.records.artifact import Artifact
from edgekd.records.base import Record
from edgekd.records.stage import StageRecord


@dataclass(frozen=True)
class Selection:
    """Which part of a plan to run.

    `start`: what comes before it must be in the store. `until`: the last stage to run. `fresh`: run again even
    what the store has (from `start` on, if given).
    """

    start: str | None = None
    until: str | None = None
    fresh: bool = False


@dataclass(frozen=True)
class Finished:
    """A node's result; `why` says what made it run, and is empty when it came from the store."""

    node: Node
    record: StageRecord
    why: str


@dataclass(frozen=True)
class _Todo:
    """What every node of a run needs to know: the targets that the run needs, which nodes come before --from, and the
    results so far, by node."""

    plan: Plan
    targets: frozenset[str]
    last: LastRun
    earlier: frozenset[str]
    fresh: bool
    records: dict[str, StageRecord] = field(default_factory=dict)


@dataclass
class Engine:
    """given: results of nodes that are made elsewhere and not looked at here, by node.
    unreachable: by target, why the nodes that need it have no result."""

    store: Store
    progress: Progress
    given: Mapping[str, StageRecord] = field(default_factory=dict)
    finished: list[Finished] = field(default_factory=list)
    unreachable: dict[str, TargetError] = field(default_factory=dict)
    _losing: threading.Lock = field(default_factory=threading.Lock)

    def run(self, plan: Plan, selection: Selection) -> list[Finished]:
        """Every selected node's result, in order. `finished` grows meanwhile, and stays when a stage fails.

        The same stage on targets that are different machines runs on all of them at once.

        Raises:
            UsageError: the selection names no stage, or starts after one whose result is missing.
            EdgekdError: a stage failed, or no target at all could be reached.
        """
        first = min(plan.positions(selection.start)) if selection.start else 0
        wanted = plan.needed_for(selection.until) if selection.until else {node.id for node in plan.nodes}
        if selection.start and not any(plan.nodes[n].id in wanted for n in plan.positions(selection.start)):
            raise UsageError(f"--from {selection.start} comes after --until {selection.until}")
        order = {node.id: position for position, node in enumerate(plan.nodes)}
        earlier = frozenset(node.id for node in plan.nodes[:first])
        targets = frozenset(node.target for node in plan.nodes if node.target and node.id in wanted)
        last = LastRun(self.store, plan.name, plan.origin)
        todo = _Todo(plan, targets, last, earlier, selection.fresh, dict(self.given))
        with self.store.in_use():
            for lanes in plan.lanes(wanted):
                try:
                    if len(lanes) == 1:
                        self._lane(todo, lanes[0], None)
                    else:
                        run_lanes([partial(self._lane, todo, nodes) for nodes in lanes], self.progress)
                finally:
                    self.finished.sort(key=lambda each: order[each.node.id])
        return self.finished

    def _lane(self, todo: _Todo, nodes: Sequence[Node], stop: threading.Event | None) -> None:
        """One node after the other; `stop` is set when others run beside it."""
        for node in nodes:
            if stop and stop.is_set():
                raise KeyboardInterrupt
            if node.id in self.given or node.target in self.unreachable:
                continue
            progress = LaneProgress(self.progress, node.target, stop) if stop else self.progress
            try:
                outcome = self._node(node, todo, progress)
            except TargetError as error:
                self._go_on_without(node, error, todo.targets)
                continue
            self.finished.append(outcome)
            todo.records[node.id] = outcome.record
            todo.last.note(node.id, outcome.record.fingerprint)
            node.stage.accept(self.paths(outcome.record.outputs))

    def _go_on_without(self, node: Node, error: TargetError, targets: Collection[str]) -> None:
        """Leaves a target out; `targets`: all that this run needs.

        Raises:
            TargetError: it was the last one.
        """
        with self._losing:
            if not node.target or set(targets) <= {*self.unreachable, node.target}:
                raise error
            self.unreachable[node.target] = error
            self.progress.say(f"warning: {error}; going on without {node.target}")
            if error.hint:
                self.progress.say(f"hint: {error.hint}")

    def paths(self, outputs: Mapping[str, Artifact]) -> dict[str, Path]:
        return {port: self.store.path(artifact) for port, artifact in outputs.items()}

    def records(self, finished: Finished) -> Iterator[tuple[str, Record]]:
        """The records that a finished stage wrote, by port."""
        for port, kind in finished.node.stage.records.items():
            artifact = finished.record.outputs.get(port)
            if artifact is not None:
                yield port, kind.model_validate_json(self.store.path(artifact).read_bytes())

    def _node(self, node: Node, todo: _Todo, progress: Progress) -> Finished:
        must_exist = node.id in todo.earlier and not node.stage.apart
        fresh = todo.fresh and node.id not in todo.earlier
        seed, records = todo.plan.seed + node.further_seed, todo.records
        image = preimage(node.stage, input_digests(node, records), seed)
        key = fingerprint(image)
        with self.store.stage_lock(node.id, key, progress):
            record = None if fresh else self.store.find(node.stage, key, progress)
            if record is not None:
                progress.say(f"{node.id}: cached · {record.headline}")
                for warning in record.warnings:
                    progress.say(f"warning: {warning}")
                return Finished(node, record, "")
            why = "asked for" if fresh else todo.last.explain(node.id, image)
            if must_exist:
                raise UsageError(
                    f"{node.id} comes before --from, and its result is not in the store ({why})",
                    hint="leave --from out: what is in the store is not run again anyway",
                )
            progress.say(f"{node.id}: running · {why}")
            inputs = {
                port: self.store.path(records[source].outputs[output])
                for port, (source, output) in node.inputs.items()
                if source in records and output in records[source].outputs
            }
            work = self.store.work(key, fresh=fresh)
            context = Context(work, self.store.cache, node.stage.outputs, seed, progress)
            started = time.monotonic()
            headline = self._run(node, context, inputs)
            seconds = time.monotonic() - started
            record = StageRecord(
                stage=node.stage.name,
                fingerprint=key,
                preimage=image,
                outputs=self._ingest(node, context),
                headline=headline,
                warnings=tuple(context.warnings),
                seconds=seconds,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self.store.commit(record)
            self.store.discard_work(key)
        progress.say(f"{node.id}: done in {seconds:.1f} s · {headline}")
        return Finished(node, record, why)

    def _run(self, node: Node, context: Context, inputs: Mapping[str, Path]) -> str:
        try:
            return node.stage.run(context, inputs)
        except EdgekdError as error:
            if error.where is None:
                error.where = node.id
            raise
        except OSError as error:
            if is_disk_trouble(error):
                raise disk_error(error, self.store.root) from error
            raise
        except MemoryError as error:
            raise StageError(
                "out of memory", where=node.id, hint="close other programs, or use a smaller batch_size"
            ) from error

    def _ingest(self, node: Node, context: Context) -> dict[str, Artifact]:
        outputs = {}
        for port in node.stage.outputs:
            path = context.output(port)
            if path.exists():
                if port in node.stage.records:
                    node.stage.records[port].model_validate_json(path.read_bytes())
                outputs[port] = self.store.ingest(path)
            elif port not in node.stage.optional:
                raise RuntimeError(f"{node.id} wrote no {port}")
        return outputs
