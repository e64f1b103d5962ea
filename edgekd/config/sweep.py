"""What a sweep tries: values or a range for each key of the file, how often, and who proposes what is next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import yaml
from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from edgekd.config.section import Section, first_said
from edgekd.config.select import Choices, Range
from edgekd.errors import ConfigError, UsageError
from edgekd.records.base import canonical_json

FIXED = {"seed": "--seeds says how many are tried", "sweep": "it is what is being done", "name": "it changes no result"}
"""Keys that are not tried out, each with the reason."""

Setting = Mapping[str, JsonValue]
"""A value for each key that is tried."""


class SweepSection(Section):
    """What `edgekd sweep` tries: every setting with every seed is an ordinary run of this file."""

    space: dict[str, Range | Choices] = Field(
        min_length=1,
        description="what is tried for each key, such as distill.temperature: a list of values, or a range",
    )
    seeds: int = Field(1, ge=1, le=100, description="how often each setting is tried, from the seed of the file on")
    sampler: Literal["grid", "random", "tpe", "gp", "qmc"] = Field(
        "grid",
        description="who proposes settings: grid tries all combinations, random any of them; tpe, gp and qmc are "
        "optuna's, of which tpe and gp learn from what was reached",
    )
    settings: int = Field(20, ge=1, le=100_000, description="how many settings are tried, unless it is a grid")
    round: int = Field(
        4,
        ge=1,
        le=1000,
        description="how many settings tpe and gp propose at once; the same settings follow however many are trained "
        "at a time",
    )

    @model_validator(mode="after")
    def _can_be_tried(self) -> Self:
        for key, values in self.space.items():
            if key in FIXED or key.partition(".")[0] == "sweep":
                raise ValueError(f"space: {key} cannot be tried out\n{FIXED[key.partition('.')[0]]}")
            if isinstance(values, Range):
                if self.sampler == "grid":
                    raise ValueError(
                        f"space: {key} is a range, and a grid needs values\nsampler: random, tpe, gp or qmc"
                    )
            elif len({canonical_json(value) for value in values}) < len(values):
                raise ValueError(f"space: {key}: a value stands twice")
        return self

    @property
    def finite(self) -> bool:
        """Whether there is no range."""
        return not any(isinstance(each, Range) for each in self.space.values())

    @property
    def combinations(self) -> float:
        """How many different settings there are; infinite with a range."""
        return math.prod(math.inf if isinstance(each, Range) else len(each) for each in self.space.values())

    def grid(self) -> Iterator[dict[str, JsonValue]]:
        """Every combination of the values, the last key fastest.

        Raises:
            ValueError: there is a range.
        """
        for values in itertools.product(*map(_listed, self.space.values())):
            yield dict(zip(self.space, values, strict=True))

    def examples(self) -> Iterator[dict[str, JsonValue]]:
        """Settings in which every value and the examples of every range stand once, all other keys at their first."""
        listed = {key: values.examples if isinstance(values, Range) else values for key, values in self.space.items()}
        first = {key: values[0] for key, values in listed.items()}
        yield first
        for key, values in listed.items():
            for value in values[1:]:
                yield {**first, key: value}


def _listed(values: Range | list[JsonValue]) -> list[JsonValue]:
    if isinstance(values, Range):
        raise ValueError("a range has no list of values")
    return values


def split_assignments(assignments: Sequence[str]) -> tuple[list[str], dict[str, Range | list[JsonValue]]]:
    """`KEY=A` of a command line as they are, and `KEY=A,B,C` or `KEY={low: A, high: B}` as what is tried for a key.

    Raises:
        UsageError: one without `=`, or a key that stands twice.
        ConfigError: a value that is no YAML, or no range.
    """
    fixed: list[str] = []
    tried: dict[str, Range | list[JsonValue]] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--set {assignment}: expected key=value", hint="for example distill.temperature=2,4,8")
        values = [_parsed(key, each) for each in split_values(text)]
        if key in tried:
            raise UsageError(f"--set {key} stands twice", hint=f"--set {key}=A,B,C")
        if len(values) > 1:
            tried[key] = values
        elif isinstance(values[0], dict) and {"low", "high"} <= values[0].keys():
            tried[key] = _range(key, values[0])
        else:
            fixed.append(assignment)
    return fixed, tried


def split_values(text: str) -> list[str]:
    """The parts of `A,B,C`, cut where YAML ends an item of a list: not inside brackets, braces or quotes.

    What is no such list is one value.
    """
    opened = f"[{text}\n]"  # the line break ends a comment
    try:
        node = yaml.compose(opened, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return [text]
    if not isinstance(node, yaml.SequenceNode) or len(node.value) < 2:
        return [text]
    return [opened[each.start_mark.index : each.end_mark.index] for each in node.value]


def _parsed(key: str, text: str) -> JsonValue:
    try:
        value: JsonValue = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from None
    return value


def _range(key: str, value: dict[str, JsonValue]) -> Range:
    try:
        return TypeAdapter(Range).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"--set {key}: {first_said(error)[0]}") from None


def words(setting: Setting) -> str:
    """A setting in one line; one without values is the file as it is."""
    return ", ".join(f"{key}={shown(value)}" for key, value in setting.items()) or "as in the file"


def shown(value: JsonValue) -> str:
    """A value as one would write it behind --set, numbers to six digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (dict, list)):
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).strip()
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
