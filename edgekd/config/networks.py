"""Who learns from whom, starts from it or ends in its classifier: the networks of a pipeline as a graph, checked, in
the order of training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from edgekd.config.section import nearest
from edgekd.config.source import KeyPath, Source
from edgekd.errors import ConfigError

if TYPE_CHECKING:
    from edgekd.config.pipeline import NetworkSection, PipelineConfig, StudentSection, VariantSection

TEACHER, STUDENT, CONTROL = "teacher", "student", "control"
"""The names with a meaning: the reference, what ships, and what ships as it would be without a teacher."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class _Start(Protocol):
    """What is behind `start`, as far as the graph goes."""

    network: str


def network_sections(config: PipelineConfig) -> dict[str, NetworkSection]:
    """The networks that can teach, by name."""
    return {TEACHER: config.teacher, **config.networks}


def started_from(section: NetworkSection | StudentSection | VariantSection) -> tuple[str, ...]:
    """The network whose weights it starts from, if it does."""
    return () if section.start is None else (cast("_Start", section.start).network,)


def reused_by(section: NetworkSection | StudentSection | VariantSection) -> tuple[str, ...]:
    """The network whose classifier it ends in, if that is not its own."""
    return () if section.classifier is None else (section.classifier.network,)


def training_order(config: PipelineConfig) -> tuple[str, ...]:
    """Every network after those that it learns from or has weights of, the student last; of a graph without cycles."""
    sources = _needed(network_sections(config))
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
        _check_weights(section, sections, source, at)
    _check_sources(config.distill.sources, sections, source, ("distill", "from"))
    _check_peers(config.distill.peers, config, source, ("distill", "peers"))
    _check_weights(config.student, sections, source, (STUDENT,))
    for name, variant in config.variants.items():
        _check_name(name, source, ("variants", name))
        if name in sections:
            raise ConfigError(
                f"variants: {name!r} is the name of another network", where=source.where(("variants", name))
            )
        _check_sources(variant.sources or (), sections, source, ("variants", name, "from"))
        _check_peers(variant.peers or {}, config, source, ("variants", name, "peers"))
        _check_weights(variant, sections, source, ("variants", name))
    _check_cycles(sections, source)
    used = {each for needed in _needed(sections).values() for each in needed}
    used.update(config.distill.sources, started_from(config.student), reused_by(config.student))
    for variant in config.variants.values():
        used.update(variant.sources or (), started_from(variant), reused_by(variant))
    for name in config.networks:
        if name not in used:
            raise ConfigError(
                f"networks.{name}: nobody learns from it",
                where=source.where(("networks", name)),
                hint="name it in `distill.from`, or in `from` of another network",
            )


def _needed(sections: Mapping[str, NetworkSection]) -> dict[str, tuple[str, ...]]:
    """Of each network those that must be there before it."""
    return {name: (*section.sources, *started_from(section), *reused_by(section)) for name, section in sections.items()}


def _check_name(name: str, source: Source, at: KeyPath) -> None:
    if at == (TEACHER,):
        return
    if name in (TEACHER, STUDENT, CONTROL) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{'.'.join(map(str, at[:-1]))}: {name!r} cannot be the name of a network",
            where=source.where(at),
            hint=f"letters, digits, - and _; {TEACHER}, {STUDENT} and {CONTROL} have meanings of their own",
        )


def _check_peers(names: Iterable[str], config: PipelineConfig, source: Source, at: KeyPath) -> None:
    for name in names:
        _check_name(name, source, (*at, name))
        if name in network_sections(config) or name in config.variants:
            raise ConfigError(
                f"{'.'.join(map(str, at))}: {name!r} is the name of another network",
                where=source.where((*at, name)),
                hint="a peer is trained with the student and exists in no other training: give it a name of its own",
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
        for key in ("ensemble", "from", "losses", "temperature", "classifier"):
            if key in given_keys:
                refuse(key, "it is loaded and learns nothing", f"set {dotted}.epochs, or leave out `{key}`")
    if section.start is not None and section.checkpoint is not None:
        refuse("start", "it has its weights from a checkpoint", "leave out `checkpoint` or `start`")
    if section.classifier is not None and section.checkpoint is not None:
        refuse("classifier", "it has its weights from a checkpoint", "leave out `checkpoint` or `classifier`")


def _check_sources(names: Sequence[str], sections: Mapping[str, NetworkSection], source: Source, at: KeyPath) -> None:
    for position, name in enumerate(names):
        _check_there(name, sections, ".".join(map(str, at)), source.where((*at, position)))
        if name in names[:position]:
            raise ConfigError(f"{'.'.join(map(str, at))}: {name!r} stands twice", where=source.where((*at, position)))


def _check_weights(
    section: NetworkSection | StudentSection | VariantSection,
    sections: Mapping[str, NetworkSection],
    source: Source,
    at: KeyPath,
) -> None:
    uses = {"start": (started_from(section), "weights to start from"), "classifier": (reused_by(section), "classifier")}
    for key, (names, what) in uses.items():
        place = (*at, key, "network")
        dotted = ".".join(map(str, place))
        for name in names:
            _check_there(name, sections, dotted, source.where(place))
            if sections[name].given is not None:
                raise ConfigError(
                    f"{dotted}: {name} is given and only answers: it has no {what}",
                    where=source.where(place),
                    hint="name a network with a `model`; one that is trained already takes `checkpoint` and "
                    "`epochs: 0`",
                )


def _check_there(name: str, sections: Mapping[str, NetworkSection], what: str, where: str) -> None:
    if name not in sections:
        raise ConfigError(f"{what}: no network is named {name!r}", where=where, hint=nearest(name, sections))


def _check_cycles(sections: Mapping[str, NetworkSection], source: Source) -> None:
    needed = _needed(sections)

    def walk(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            of = (*above, name)[above.index(name) + 1]
            keys = {"from": sections[name].sources, "start": started_from(sections[name])}
            at: KeyPath = (TEACHER,) if name == TEACHER else ("networks", name)
            raise ConfigError(
                f"networks learn from each other in a circle: {circle}",
                where=source.where((*at, next((key for key, names in keys.items() if of in names), "classifier"))),
                hint="one of them must learn from the labels alone, start with fresh weights and have its own "
                "classifier",
            )
        for each in needed[name]:
            walk(each, (*above, name))

    for name in needed:
        walk(name, ())
