"""Components: whatever a file chooses with `use: NAME`, its options beside it.

A component class is a pydantic model of its options whose methods do the work, so that the schema, `edgekd
list` and the fingerprints know every option without importing torch.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, Self, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, JsonValue, ValidationInfo, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema, to_jsonable_python

from edgekd.closure import closure
from edgekd.config.boundary import modules_kept, others_code
from edgekd.config.registry import GROUPS, Group
from edgekd.config.section import Section, nearest
from edgekd.config.usercode import import_file, own_code
from edgekd.errors import ConfigError
from edgekd.records.base import file_digest


class Component(Section):
    """The base of every component; `use` is what the user wrote."""

    use: str

    def identity(self) -> JsonValue:
        """What decides the component's behaviour, for fingerprints: its options and its code.

        A file counts by its content. A relative path stands as it was written: a component that has one says itself
        what is behind it.
        """
        return {"options": identity(self), "code": module_code(type(self).__module__)}

    def called(self, *, does: str = "failed", hint: str | None = None) -> AbstractContextManager[None]:  # noqa: ARG002
        """Around every call of what the component made; the boundary where that is the user's own code."""
        return nullcontext()


class UserComponent(Component):
    """A callable of the user's: `file.py:callable`, or an entry point; its options are keyword arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    use_group: str
    use_folder: Path

    @model_validator(mode="after")
    def _options_can_be_kept(self) -> Self:
        for name, value in self.options.items():
            try:
                json.dumps(value, allow_nan=False, default=str)
            except ValueError:
                raise ValueError(f"`{name}` holds .nan or .inf\ngive finite numbers: records are JSON") from None
        return self

    @property
    def options(self) -> dict[str, JsonValue]:
        return cast("dict[str, JsonValue]", dict(self.__pydantic_extra__ or {}))

    @property
    def file(self) -> Path | None:
        """The user's file, or None for an entry point."""
        name, _, _ = self.use.rpartition(":")
        return (self.use_folder / name).resolve() if name.endswith(".py") else None

    def identity(self) -> JsonValue:
        settings = identity(self, without=frozenset({"use", "use_group", "use_folder"}))
        options: JsonValue = {**settings, **self.options}
        code = module_code(type(self).__module__)
        if self.file is not None:
            own: JsonValue = {**code, **own_code(self.file)}
            return {"callable": self.use.rpartition(":")[2], "options": options, "code": own}
        distribution = _entry_point(self.use_group, self.use).dist
        version = distribution.version if distribution is not None else "unknown"
        return {"entry_point": self.use, "options": options, "code": code, "version": version}

    def function(self) -> Callable[..., Any]:
        """The callable itself, checked to take the options that the file gives.

        Raises:
            ConfigError: the file fails on import, has no such callable, or the options do not fit it.
        """
        name = self.use.rpartition(":")[2]
        if self.file is None:
            with self.called(does="cannot be loaded"), modules_kept():
                found = _entry_point(self.use_group, self.use).load()
        else:
            module = import_file(self.file)
            with self.called():
                found = getattr(module, name, None)
        if not callable(found):
            raise ConfigError(f"{self.file or self.use}: no callable named {name!r}")
        with self.called():
            parameters = _parameters(found)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            known = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
            for option in self.options:
                if option not in known:
                    raise ConfigError(f"{self.use} takes no option {option!r}", hint=nearest(option, known))
        return cast("Callable[..., Any]", found)

    def called(self, *, does: str = "failed", hint: str | None = None) -> AbstractContextManager[None]:
        return others_code(self.use, self.file, does=does, hint=hint)


def _parameters(found: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    """Of a callable; of one that does not tell them (written in C), any."""
    try:
        return tuple(inspect.signature(found).parameters.values())
    except ValueError:
        return (inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD),)


class Use:
    """Annotation of a field that holds a component of `group`: `Annotated[Dataset, Use("datasets")]`."""

    def __init__(self, group: str) -> None:
        self.group = GROUPS[group]

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        variants = []
        for name in self.group.members:
            schema = _in_one(component_class(self.group, name).model_json_schema())
            schema["properties"]["use"] = {"const": name}
            variants.append(schema)
        if self.group.custom:
            own = {
                "type": "string",
                "pattern": r"\.py:\w+$",
                "description": "your own code: file.py:callable",
            }
            variants.append({"type": "object", "properties": {"use": own}, "required": ["use"]})
        if self.group.number:
            member, option = self.group.number
            variants.append(component_class(self.group, member).model_json_schema()["properties"][option])
        return {"anyOf": variants}

    def _validate(self, value: object, info: ValidationInfo) -> Component:
        if isinstance(value, Component):
            return value
        if self.group.number and _is_number(value):
            member, option = self.group.number
            value = {"use": member, option: value}
        if isinstance(value, str):
            value = {"use": value}
        if not isinstance(value, dict):
            number = "a number, or " if self.group.number else ""
            raise PydanticCustomError("component", "expected {number}`use: NAME` and its options", {"number": number})
        name = value.get("use")
        if not isinstance(name, str):
            raise PydanticCustomError(
                "component_use",
                "`use` is missing: which {kind}?{hint}",
                {"kind": self.group.singular, "hint": f"\n{nearest('', self.group.members)}"},
            )
        folder = (info.context or {}).get("folder", Path.cwd())
        if name in self.group.members:
            return component_class(self.group, name).model_validate(value, context=info.context)
        if self.group.custom and (".py:" in name or name in _entry_point_names(self.group.name)):
            custom = _import_object(self.group.custom)
            component = cast("UserComponent", custom).model_validate(
                {**value, "use_group": self.group.name, "use_folder": folder}, context=info.context
            )
            if component.file is not None and not component.file.is_file():
                raise PydanticCustomError("component_use", "no such file: {file}", {"file": str(component.file)})
            return component
        hint = nearest(name, self.group.members)
        raise PydanticCustomError(
            "component_use",
            "unknown {kind} {name}{hint}",
            {"kind": self.group.singular, "name": repr(name), "hint": f"\n{hint}"},
        )


def identity(section: BaseModel, *, without: frozenset[str] = frozenset()) -> dict[str, JsonValue]:
    """What of a section decides results: components by their own identity, files by their content."""
    return {name: _identity(getattr(section, name)) for name in type(section).model_fields if name not in without}


def module_code(module: str) -> dict[str, JsonValue]:
    """What decides the behaviour of a module that is found by its name, for fingerprints: its code."""
    return dict(closure(module))


@runtime_checkable
class Identified(Protocol):
    """What says itself what decides results: every component, and a section of which not all options do."""

    def identity(self) -> JsonValue: ...


def _identity(value: object) -> JsonValue:
    if isinstance(value, Identified):
        return value.identity()
    if isinstance(value, BaseModel):
        return identity(value)
    if isinstance(value, Path) and value.is_absolute() and value.is_file():
        return file_digest(value)
    if isinstance(value, (list, tuple)):
        return [_identity(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _identity(item) for key, item in value.items()}
    return cast("JsonValue", to_jsonable_python(value))


def component_class(group: Group, name: str) -> type[Component]:
    """The class behind a registered name."""
    return cast("type[Component]", _import_object(group.members[name]))


def entry_points(group: str) -> list[str]:
    """The names that installed packages add to a group."""
    return sorted(_entry_point_names(group))


def _is_number(value: object) -> bool:
    """Whether it is a number as a file has it; YAML 1.1 takes 1e1 for text."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _in_one(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its definitions where they are used: it becomes a part of another one, which has its own."""
    definitions = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:
        if isinstance(part, list):
            return [resolved(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return resolved(definitions[part["$ref"].rpartition("/")[2]])
        return {key: resolved(value) for key, value in part.items()}

    return {key: resolved(value) for key, value in schema.items()}


def _dump(component: Component) -> dict[str, JsonValue]:
    return component.model_dump(mode="json", exclude={"use_group", "use_folder"})


def _import_object(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _entry_point_names(group: str) -> set[str]:
    return {entry.name for entry in importlib.metadata.entry_points(group=f"edgekd.{group}")}


def _entry_point(group: str, name: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.entry_points(group=f"edgekd.{group}")[name]
