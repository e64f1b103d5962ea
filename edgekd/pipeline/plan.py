"""The graph of a pipeline: nodes in the order they run, and for each whether the store has its result or why not."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from edgekd.errors import TargetError, UsageError
from edgekd.pipeline.explain import LastRun
from edgekd.pipeline.fingerprint import fingerprint, preimage
from edgekd.pipeline.stage import Stage
from edgekd.pipeline.store import Store
from edgekd.progress import Progress
from edgekd.records.stage import StageRecord

AFTER_SHOWN = 3


@dataclass(frozen=True)
class Node:
    """A stage in its place; `inputs` maps each of its ports to the node and port that feed it.

    subject: what it is about: a network, a candidate, a target.
    target: the one that the stage needs. When it cannot be reached, the others go on without what needs it.
    machine: where that target is; empty for this one. What runs on different machines may run at the same time.
    further_seed: how much larger its seed is than the plan's.
    """

    id: str
    stage: Stage
    inputs: Mapping[str, tuple[str, str]]
    subject: str = ""
    target: str = ""
    machine: str = ""
    further_seed: int = 0


@dataclass(frozen=True)
class Plan:
    """`nodes` are in an order in which every node comes after those that feed it.

    origin: where the pipeline stands, so that another one of its name is another pipeline.
    """

    name: str
    seed: int
    nodes: tuple[Node, ...]
    origin: str = ""

    def __post_init__(self) -> None:
        made: dict[str, Stage] = {}
        for node in self.nodes:
            for source, port in node.inputs.values():
                if source not in made or port not in made[source].outputs:
                    raise ValueError(f"{node.id} reads {source}.{port}, which nothing before it makes")
            missing = set(node.stage.inputs) - set(node.inputs)
            if missing:
                raise ValueError(f"{node.id} is wired to nothing at {', '.join(sorted(missing))}")
            made[node.id] = node.stage

    def positions(self, name: str) -> list[int]:
        """Where a stage stands, by its name or by the id of one of its nodes.

        Raises:
            UsageError: there is no such stage.
        """
        found = [n for n, node in enumerate(self.nodes) if name in (node.id, node.stage.name)]
        if not found:
            known = ", ".join(dict.fromkeys(node.stage.name for node in self.nodes))
            raise UsageError(f"no stage {name!r} in this pipeline", hint=f"its stages: {known}")
        return found

    def without_apart(self) -> Plan:
        """For one of many trials of a pipeline: what stands apart would take longer than a short one."""
        return replace(self, nodes=tuple(node for node in self.nodes if not node.stage.apart))

    def up_to(self, name: str) -> Plan:
        """What `--until` leaves of it.

        Raises:
            UsageError: there is no such stage.
        """
        needed = self.needed_for(name)
        return replace(self, nodes=tuple(node for node in self.nodes if node.id in needed))

    def lanes(self, wanted: Collection[str]) -> list[list[list[Node]]]:
        """The wanted nodes in steps, one after the other; in each step lanes that may run side by side, one a
        machine. Neighbours that are the same stage on several targets are a step: none needs another's result."""
        steps = []
        for _, group in itertools.groupby(self.nodes, lambda node: node.stage.name if node.target else node.id):
            lanes: dict[str, list[Node]] = {}
            for node in group:
                if node.id in wanted:
                    lanes.setdefault(node.machine, []).append(node)
            here = lanes.get("")
            if here and here[0].stage.alone:  # to drive the other machines is work for this one
                steps.append([lanes.pop("")])
            if lanes:
                steps.append(list(lanes.values()))
        return steps

    def needed_for(self, name: str) -> frozenset[str]:
        """The ids of a stage's nodes, of every node they need, and of those that stand apart before them."""
        positions = self.positions(name)
        needed = {self.nodes[position].id for position in positions}
        needed.update(node.id for node in self.nodes[: max(positions)] if node.stage.apart)
        for node in reversed(self.nodes):
            if node.id in needed:
                needed.update(source for source, _ in node.inputs.values())
        return frozenset(needed)


@dataclass(frozen=True)
class Forecast:
    """What a run would do with a node: nothing (`record` is its result), or run it because of `why`."""

    node: Node
    record: StageRecord | None
    why: str


def forecast(plan: Plan, store: Store, progress: Progress) -> list[Forecast]:
    """For each node, whether its result is in the store, and if not, why not."""
    found: dict[str, Forecast] = {}
    last = LastRun(store, plan.name, plan.origin)
    for node in plan.nodes:
        waiting = [source for source, _ in node.inputs.values() if found[source].record is None]
        if waiting:
            found[node.id] = Forecast(node, None, f"after {_listed(list(dict.fromkeys(waiting)))}")
            continue
        try:
            digests = input_digests(node, {k: f.record for k, f in found.items()})
            image = preimage(node.stage, digests, plan.seed + node.further_seed)
        except TargetError as error:
            found[node.id] = Forecast(node, None, str(error))
            continue
        record = store.find(node.stage, fingerprint(image), progress)
        found[node.id] = Forecast(node, record, "" if record else last.explain(node.id, image))
    return list(found.values())


def input_digests(node: Node, records: Mapping[str, StageRecord | None]) -> dict[str, str]:
    digests = {}
    for port, (source, output) in node.inputs.items():
        record = records.get(source)  # none when its target could not be reached
        if record is not None and output in record.outputs:
            digests[port] = record.outputs[output].digest
    return digests


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:AFTER_SHOWN])
    return shown if len(names) <= AFTER_SHOWN else f"{shown} and {len(names) - AFTER_SHOWN} more"
