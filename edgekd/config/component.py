"""Components: whatever a file chooses with `use: NAME`, its options beside it.

A component class is a pydantic model of its options whose methods do the work, so that the schema, `edgekd
list` and the fingerprints know every option without importing torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, JsonValue, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from edgekd.config.registry import GROUPS, Group
from edgekd.config.section import Section, nearest
from edgekd.errors import ConfigError


class Component(Section):
    """The base of every component; `use` is what the user wrote."""

    use: str

    def identity(self) -> JsonValue:
        """What decides the component's behaviour, for fingerprints: its options and its code, no paths."""
        options = cast("JsonValue", self.model_dump(mode="json"))
        return {"options": options, "code": _file_digest(Path(inspect.getfile(type(self))))}


class UserComponent(Component):
    """A callable of the user's: `file.py:callable`, or an entry point; its options are keyword arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    use_group: str
    use_folder: Path

    @property
    def options(self) -> dict[str, JsonValue]:
        return cast("dict[str, JsonValue]", dict(self.__pydantic_extra__ or {}))

    @property
    def file(self) -> Path | None:
        """The user's file, or None for an entry point."""
        name, _, _ = self.use.rpartition(":")
        return (self.use_folder / name).resolve() if name.endswith(".py") else None

    def identity(self) -> JsonValue:
        if self.file is not None:
            name = self.use.rpartition(":")[2]
            return {"callable": name, "options": self.options, "code": _file_digest(self.file)}
        distribution = _entry_point(self.use_group, self.use).dist
        version = distribution.version if distribution is not None else "unknown"
        return {"entry_point": self.use, "options": self.options, "version": version}

    def function(self) -> Callable[..., Any]:
        """The callable itself, checked to take the options that the file gives.

        Raises:
            ConfigError: the file fails on import, has no such callable, or the options do not fit it.
        """
        name = self.use.rpartition(":")[2]
        if self.file is None:
            found = _entry_point(self.use_group, self.use).load()
        else:
            found = getattr(_import_file(self.file), name, None)
        if not callable(found):
            raise ConfigError(f"{self.file}: no callable named {name!r}")
        parameters = inspect.signature(found).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            known = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
            for option in self.options:
                if option not in known:
                    raise ConfigError(f"{self.use} takes no option {option!r}", hint=nearest(option, known))
        return cast("Callable[..., Any]", found)


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
            schema = component_class(self.group, name).model_json_schema()
            schema["properties"]["use"] = {"const": name}
            variants.append(schema)
        if self.group.custom:
            own = {
                "type": "string",
                "pattern": r"\.py:\w+$",
                "description": "your own code: file.py:callable",
            }
            variants.append({"type": "object", "properties": {"use": own}, "required": ["use"]})
        return {"anyOf": variants}

    def _validate(self, value: object, info: ValidationInfo) -> Component:
        if isinstance(value, Component):
            return value
        if isinstance(value, str):
            value = {"use": value}
        if not isinstance(value, dict):
            raise PydanticCustomError("component", "expected `use: NAME` and its options")
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


def _identity(value: object) -> JsonValue:
    if isinstance(value, Component):
        return value.identity()
    if isinstance(value, BaseModel):
        return identity(value)
    if isinstance(value, Path):
        return _file_digest(value)
    if isinstance(value, (list, tuple)):
        return [_identity(item) for item in value]
    return cast("JsonValue", value)


def component_class(group: Group, name: str) -> type[Component]:
    """The class behind a registered name."""
    return cast("type[Component]", _import_object(group.members[name]))


def entry_points(group: str) -> list[str]:
    """The names that installed packages add to a group."""
    return sorted(_entry_point_names(group))


def _dump(component: Component) -> dict[str, JsonValue]:
    return component.model_dump(mode="json", exclude={"use_group", "use_folder"})


def _import_object(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _import_file(path: Path) -> ModuleType:
    """The user's module, imported under a name of its own, with its folder importable as when run by hand."""
    name = f"edgekd_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = getattr(error, "lineno", None) or _last_line_in(path, error)
        raise ConfigError(f"cannot import it: {type(error).__name__}: {error}", where=f"{path}:{line}") from error
    return module


def _last_line_in(path: Path, error: Exception) -> int:
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _entry_point_names(group: str) -> set[str]:
    return {entry.name for entry in importlib.metadata.entry_points(group=f"edgekd.{group}")}


def _entry_point(group: str, name: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.entry_points(group=f"edgekd.{group}")[name]


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
