"""Who learns from whom: the networks of a pipeline as a graph, checked, in the order of their training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekd.config.section import nearest
from edgekd.config.source import KeyPath, Source
from edgekd.errors import ConfigError

if TYPE_CHECKING:
    from edgekd.config.pipeline import NetworkSection, PipelineConfig

TEACHER, STUDENT, CONTROL = "teacher", "student", "control"
"""The names with a meaning: the reference, what ships, and what ships as it would be without a teacher."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def network_sections(config: PipelineConfig) -> dict[str, NetworkSection]:
    """The networks that can teach, by name."""
    return {TEACHER: config.teacher, **config.networks}


def training_order(config: PipelineConfig) -> tuple[str, ...]:
    """Every network after those that it learns from, the student last; of a graph without cycles."""
    sources = {name: tuple(section.sources) for name, section in network_sections(config).items()}
    order: list[str] = []

    def visit(name: str) -> None:
        for source in sources[name]:
            visit(source)
        if name not in order:
            order.append(name)

    for name in sources:
        visit(name)
    return (*order, STUDENT)


def check_networks(config: PipelineConfig, source: Source) -> None:
    """
    Raises:
        ConfigError: a network is none, an unknown name, a cycle, or a network that teaches nobody.
    """
    sections = network_sections(config)
    for name, section in sections.items():
        at: KeyPath = (TEACHER,) if name == TEACHER else ("networks", name)
        _check_name(name, source, at)
        _check_section(section, source, at)
        _check_sources(section.sources, sections, source, (*at, "from"))
    _check_sources(config.distill.sources, sections, source, ("distill", "from"))
    for name, variant in config.variants.items():
        _check_name(name, source, ("variants", name))
        if name in sections:
            raise ConfigError(
                f"variants: {name!r} is the name of another network", where=source.where(("variants", name))
            )
        _check_sources(variant.sources or (), sections, source, ("variants", name, "from"))
    _check_cycles({name: section.sources for name, section in sections.items()}, source)
    taught = [*(section.sources for section in sections.values()), config.distill.sources]
    taught += [variant.sources or [] for variant in config.variants.values()]
    heard = {each for sources in taught for each in sources}
    for name in config.networks:
        if name not in heard:
            raise ConfigError(
                f"networks.{name}: nobody learns from it",
                where=source.where(("networks", name)),
                hint="name it in `distill.from`, or in `from` of another network",
            )


def _check_name(name: str, source: Source, at: KeyPath) -> None:
    if at == (TEACHER,):
        return
    if name in (TEACHER, STUDENT, CONTROL) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{at[0]}: {name!r} cannot be the name of a network",
            where=source.where(at),
            hint=f"letters, digits, - and _; {TEACHER}, {STUDENT} and {CONTROL} have meanings of their own",
        )


def _check_section(section: NetworkSection, source: Source, at: KeyPath) -> None:
    dotted = ".".join(map(str, at))

    def refuse(key: str, what: str, hint: str) -> None:
        raise ConfigError(f"{dotted}.{key}: {what}", where=source.where((*at, key)), hint=hint)

    given_keys = [type(section).model_fields[name].alias or name for name in section.model_fields_set]
    if section.given is not None:
        for key in sorted(given_keys):
            if key != "given":
                refuse(key, "a network that is given is not made or trained here", f"leave out `given` or `{key}`")
    elif section.model is None:
        refuse("model", "is missing", "choose an architecture (`edgekd list models`), or give a network with `given`")
    elif section.epochs == 0 and section.checkpoint is None:
        if "epochs" in section.model_fields_set:
            refuse("epochs", "0 needs a checkpoint to load", f"set {dotted}.checkpoint, or epochs of 1 or more")
        refuse("epochs", "is missing", "how many passes over the training samples?")
    elif section.epochs == 0:
        for key in ("ensemble", "from", "losses", "temperature"):
            if key in given_keys:
                refuse(key, "it is loaded and learns nothing", f"set {dotted}.epochs, or leave out `{key}`")


def _check_sources(names: Sequence[str], sections: Mapping[str, NetworkSection], source: Source, at: KeyPath) -> None:
    for position, name in enumerate(names):
        if name not in sections:
            raise ConfigError(
                f"{'.'.join(map(str, at))}: no network is named {name!r}",
                where=source.where((*at, position)),
                hint=nearest(name, sections),
            )
        if name in names[:position]:
            raise ConfigError(f"{'.'.join(map(str, at))}: {name!r} stands twice", where=source.where((*at, position)))


def _check_cycles(sources: Mapping[str, Sequence[str]], source: Source) -> None:
    def walk(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            at: KeyPath = (TEACHER, "from") if name == TEACHER else ("networks", name, "from")
            raise ConfigError(
                f"networks learn from each other in a circle: {circle}",
                where=source.where(at),
                hint="one of them must learn from the labels alone",
            )
        for each in sources[name]:
            walk(each, (*above, name))

    for name in sources:
        walk(name, ())
