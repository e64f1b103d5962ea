"""The section `fit` of a pipeline, checked against the rest of it before any work."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from edgekd.config.fit import FitSection, Variation
from edgekd.config.pipeline import Pipeline
from edgekd.config.section import nearest
from edgekd.config.select import Range
from edgekd.errors import ConfigError
from edgekd.fit.shape import model_of
from edgekd.stages.targets import device_of


def section_of(pipeline: Pipeline) -> FitSection:
    """
    Raises:
        ConfigError: there is none; its space has an unknown architecture, option or value; a budget is for a target
            that the pipeline does not have, or cannot be held on it, or on any.
    """
    section, source = pipeline.config.fit, pipeline.source
    if section is None:
        raise ConfigError(
            "fit: is missing: which shapes, and what may they cost?",
            where=source.where(()),
            hint="for example `fit: {budget: {p50_ms: 0.05, parameters: 9000}, space: auto}`",
        )
    for number, variation in enumerate(section.space):
        for key, example in _examples(variation):
            try:
                model_of({"use": variation.use, **example}, source.path.resolve().parent)
            except ConfigError as error:
                at = ("fit", "space", number, key) if key else ("fit", "space", number)
                raise ConfigError(f"fit.space: {error.what}", where=source.where(at), hint=error.hint) from None
    _check_budget(section, pipeline)
    return section


def _examples(variation: Variation) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Every value of every option, the others as they are by default."""
    yield "", {}
    for key, values in variation.options.items():
        if isinstance(values, Range):
            for number in values.examples:
                yield key, {key: _whole(number)}
        else:
            for value in values if isinstance(values, list) else [values]:
                yield key, {key: value}


def _whole(value: float) -> JsonValue:
    return int(value) if value.is_integer() else value


def _check_budget(section: FitSection, pipeline: Pipeline) -> None:
    budget, source = section.budget, pipeline.source
    emulated = {each.name: device_of(each).emulated for each in pipeline.targets}
    names = list(emulated)
    for name in budget.targets:
        if name not in names:
            raise ConfigError(
                f"fit.budget.targets: no target is named {name!r}",
                where=source.where(("fit", "budget", "targets", name)),
                hint=nearest(name, names),
            )
        own = budget.targets[name]
        timed = not emulated[name]
        for key, given_to, other in (("p50_ms", not timed, "instructions"), ("instructions", timed, "p50_ms")):
            if given_to and getattr(own, key) is not None:
                raise ConfigError(
                    f"fit.budget.targets.{name}: {key} of a target that is {'a machine' if timed else 'emulated'}",
                    where=source.where(("fit", "budget", "targets", name, key)),
                    hint=f"give `{other}`",
                )
    given = {key for name in names for key, value in budget.on(name).model_dump().items() if value is not None}
    if "p50_ms" in given and all(emulated.values()):
        raise ConfigError(
            "fit.budget: the times of emulated targets mean nothing",
            where=source.where(("fit", "budget", "p50_ms")),
            hint="give `instructions`, or a target that is a machine",
        )
    if "instructions" in given and not any(emulated.values()):
        raise ConfigError(
            "fit.budget: instructions are counted on emulated targets alone",
            where=source.where(("fit", "budget", "instructions")),
            hint="give `p50_ms`",
        )
    for target in pipeline.targets:
        device = device_of(target)
        if device.emulated and budget.on(target.name).instructions is not None and not device.counts:
            raise ConfigError(
                f"fit.budget: {target.name}: {device.uncounted.what}",
                where=source.where(("fit", "budget", *budget.place(target.name, "instructions"))),
                hint=device.uncounted.hint,
            )
