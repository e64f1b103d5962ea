"""A part of a trial's plan that is run in one go, wherever that may be."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from edgekd.errors import ConfigError, EdgekdError, StoreError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.fingerprint import differences, made_of
from edgekd.pipeline.plan import Plan
from edgekd.pipeline.store import Store
from edgekd.progress import Progress
from edgekd.records.base import digest
from edgekd.records.stage import StageRecord
from edgekd.sweep.trial import Part

Results = Mapping[str, StageRecord]
"""By node."""


@dataclass(frozen=True)
class Job:
    """label: for people. plan: its nodes, and those whose results are `given`. made_of: what decides the result
    wherever it is run, by node; with what is given that makes its `key`."""

    label: str
    part: Part
    plan: Plan
    given: Results
    made_of: Mapping[str, JsonValue]

    @property
    def here(self) -> bool:
        """Whether it needs what only this machine has: the data, or the targets."""
        return self.part in ("data", "measured")

    @property
    def key(self) -> str:
        wired: dict[str, JsonValue] = {
            node.id: {port: list[JsonValue](source) for port, source in node.inputs.items()}
            for node in self.plan.nodes
            if node.id not in self.given
        }
        given: dict[str, JsonValue] = {
            node: {port: each.digest for port, each in record.outputs.items()} for node, record in self.given.items()
        }
        return digest({"nodes": dict(self.made_of), "wired": wired, "given": given})


@dataclass(frozen=True)
class Failed:
    """A job that came to no end. ends: why going on with others makes no sense either, None where it does; reached:
    what was finished of it."""

    why: str
    ends: EdgekdError | None = None
    reached: Results = field(default_factory=dict)


Outcome = Results | Failed


def decided_by(plan: Plan, given: Results) -> dict[str, JsonValue]:
    """What decides the results of the nodes that are not given, wherever they are run."""
    return {
        node.id: made_of(node.stage, {}, plan.seed + node.further_seed) for node in plan.nodes if node.id not in given
    }


def perform(job: Job, store: Store, progress: Progress) -> Outcome:
    """Runs what the store does not have of it. Whatever goes wrong is an outcome: a trial must not end the others."""
    engine = Engine(store, progress, given=job.given)
    try:
        engine.run(job.plan, Selection())
    except StoreError as error:  # a full disk is full for all
        return Failed(str(error), error)
    except EdgekdError as error:
        return Failed(str(error), reached=_reached(engine))
    except Exception as error:  # noqa: BLE001 - told as the row's reason, and with its traceback
        progress.say(f"warning: {job.label}: {traceback.format_exc()}")
        return Failed(f"{type(error).__name__}: {error}".splitlines()[0], reached=_reached(engine))
    lost = next(iter(engine.unreachable.values()), None)
    return Failed(str(lost), reached=_reached(engine)) if lost else _reached(engine)


def _reached(engine: Engine) -> Results:
    return {each.node.id: each.record for each in engine.finished}


def check_same(job: Job) -> None:
    """
    Raises:
        ConfigError: this process would make something else of it than the one that drives the sweep.
    """
    other = next(iter(differences(dict(job.made_of), decided_by(job.plan, job.given))), None)
    if other is not None:
        raise ConfigError(
            f"a machine of the cluster would not train what this one asks for: {other}",
            hint="every machine needs the same edgekd and the same libraries",
        )
