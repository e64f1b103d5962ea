"""Refuses a sweep that cannot be before anything is trained."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import JsonValue

from edgekd.config.check import check
from edgekd.config.networks import STUDENT
from edgekd.config.pipeline import Pipeline, check_seeds, with_setting
from edgekd.config.section import Section
from edgekd.config.select import Range
from edgekd.config.source import Source
from edgekd.config.sweep import SweepSection
from edgekd.errors import ConfigError, EdgekdError, UsageError
from edgekd.pipeline.plan import Plan
from edgekd.records.base import canonical_json
from edgekd.stages.assembly import assemble
from edgekd.sweep.trial import needed_plan

MOST_CHECKED = 2000  # combinations of a grid, a few ms each


class _Whole(Section):
    """Of a pipeline file what a sweep is about, so that errors name its keys as the file does."""

    sweep: SweepSection


def sweep_of(
    pipeline: Pipeline,
    tried: dict[str, Range | list[JsonValue]],
    options: dict[str, JsonValue],
    fixed: Collection[str] = (),
) -> SweepSection:
    """What the file's `sweep` and the command line say together; of both, the command line.

    tried: by key; options: other fields of the section; fixed: keys that have one value for all.

    Raises:
        UsageError: nothing is tried.
        ConfigError: what they say together makes no sense, or there are not so many seeds.
    """
    own = pipeline.config.sweep
    said: dict[str, JsonValue] = {} if own is None else own.model_dump(mode="json", exclude_unset=True)
    space = said.get("space", {})
    assert isinstance(space, dict)
    space = {key: each for key, each in space.items() if key not in fixed}
    added = {key: each.model_dump(mode="json") if isinstance(each, Range) else each for key, each in tried.items()}
    if not space and not added:
        raise UsageError("nothing is tried", hint="--set distill.temperature=2,4,8, or a section `sweep` in the file")
    data: dict[str, JsonValue] = {**said, "space": {**space, **added}, **options}
    said_by: dict[tuple[str | int, ...], str] = {("sweep",): "--set"} if own is None else {}
    said_by |= {("sweep", "space", key): "--set" for key in added}
    said_by |= {("sweep", name): f"--{name}" for name in options}
    source = Source(pipeline.source.path, {"sweep": data}, pipeline.source.lines, said_by)
    section = check(_Whole, source).sweep
    count = section.seeds + pipeline.config.seeds - 1  # each trial counts the file's `seeds` from its own on
    check_seeds(pipeline.config.seed, count, source, ("sweep", "seeds"))
    return section


def check_settings(pipeline: Pipeline, section: SweepSection, until: str) -> Plan:
    """The plan of a trial; a combination that cannot be is a row of the table, a value that can be in none is refused.

    Raises:
        ConfigError: a key does not exist, or a value is possible with no combination of the others.
        UsageError: there is no stage `until`, or the student is not trained until then.
    """
    seed = pipeline.config.seed
    plan = needed_plan(assemble(pipeline), until)
    if not any(node.id == f"train@{STUDENT}" for node in plan.nodes):
        raise UsageError(f"--until {until} ends before the student is trained", hint="--until train, or later")
    whole = section.combinations <= MOST_CHECKED
    possible: set[tuple[str, bytes]] = set()
    refused: dict[tuple[str, bytes], EdgekdError] = {}
    for setting in section.grid() if whole else section.examples():
        values = [(key, canonical_json(value)) for key, value in setting.items()]
        try:
            assemble(with_setting(pipeline, setting, seed))
        except ConfigError as error:
            for each in values:
                refused.setdefault(each, error)
        else:
            possible.update(values)
    impossible = [reason for each, reason in refused.items() if each not in possible]
    if impossible:
        raise impossible[0]
    return plan
