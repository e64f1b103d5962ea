"""Components as a file names them, and what of them decides results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from edgekd.closure import closure
from edgekd.config.check import check
from edgekd.config.component import Component, Use, identity
from edgekd.config.registry import GROUPS, Group
from edgekd.config.section import Section
from edgekd.config.source import Source
from edgekd.errors import ConfigError

HERE = "tests.config.test_component"


class Constant(Component):
    """One number."""

    value: float = Field(gt=0, le=1000, allow_inf_nan=False, description="the number")


class Ramp(Component):
    """From one number to another."""

    start: float
    end: float = 1.0


class Term(Component):
    """A term with a temperature, which is a component of its own."""

    weight: float = 1.0
    temperature: Annotated[Component, Use("temperatures")] | None = None
    table: Path | None = None


NUMBERS = Group(
    "numbers",
    "number",
    custom="",
    members={"constant": f"{HERE}:Constant", "ramp": f"{HERE}:Ramp"},
    number=("constant", "value"),
)
TERMS = Group("terms", "term", custom="", members={"term": f"{HERE}:Term"})


@pytest.fixture(autouse=True)
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    for group in (NUMBERS, TERMS):
        monkeypatch.setitem(GROUPS, group.name, group)


def section() -> type[Section]:
    class File(Section):
        number: Annotated[Component, Use("numbers")] = Field(description="a number")
        term: Annotated[Component, Use("terms")] | None = None
        also: int = Field(0, alias="from")

    return File


def read(**data: object) -> Section:
    return check(section(), Source(Path("p.yaml"), data, {(key,): n for n, key in enumerate(data, 1)}))  # type: ignore[arg-type]


def refused(**data: object) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        read(**data)
    return str(caught.value), caught.value.hint or ""


@pytest.mark.parametrize("given", [4, 4.0, "4", "4e0", {"use": "constant", "value": 4}])
def test_a_bare_number_stands_for_the_member_that_the_group_names(given: object) -> None:
    number = read(number=given)
    assert number.model_dump()["number"] == {"use": "constant", "value": 4.0}
    assert identity(number) == identity(read(number=4))


@pytest.mark.parametrize(
    ("given", "line", "hint"),
    [
        (0, "p.yaml:1: number: input should be greater than 0, found 0", ""),
        (1e4, "p.yaml:1: number: input should be less than or equal to 1000, found 10000.0", ""),
        (float("nan"), "p.yaml:1: number: input should be a finite number, found nan", ""),
        (True, "p.yaml:1: number: expected a number, or `use: NAME` and its options", ""),
        (None, "p.yaml:1: number: expected a number, or `use: NAME` and its options", ""),
        ([4], "p.yaml:1: number: expected a number, or `use: NAME` and its options", ""),
        ("konstant", "p.yaml:1: number: unknown number 'konstant'", "did you mean 'constant'?"),
        ({"value": 4}, "p.yaml:1: number: `use` is missing: which number?", "one of constant, ramp"),
        ({"use": "ramp", "start": 1, "ende": 2}, "p.yaml:1: number.ende: unknown key", "did you mean 'end'?"),
    ],
)  # fmt: skip
def test_a_wrong_number_is_refused_in_one_line(given: object, line: str, hint: str) -> None:
    assert refused(number=given) == (line, hint)


@pytest.mark.parametrize("given", [4, True])
def test_a_group_without_a_number_takes_none(given: object) -> None:
    assert refused(number=1, term=given) == ("p.yaml:2: term: expected `use: NAME` and its options", "")


def test_the_schema_offers_the_number_with_its_limits_beside_the_members() -> None:
    variants = section().model_json_schema()["properties"]["number"]["anyOf"]
    assert [each["properties"]["use"]["const"] for each in variants[:2]] == ["constant", "ramp"]
    assert variants[2]["type"] == "number"
    assert (variants[2]["exclusiveMinimum"], variants[2]["maximum"]) == (0, 1000)


@pytest.mark.parametrize("wrong", ["form", "frmo"])
def test_a_mistyped_key_is_given_the_name_that_stands_in_the_file(wrong: str) -> None:
    assert refused(number=1, **{wrong: 2}) == (f"p.yaml:2: {wrong}: unknown key", "did you mean 'from'?")
    assert "'also'" not in refused(number=1, alsoo=2)[1], "it is no name that a file may have"


def test_a_component_counts_by_its_options_and_its_code() -> None:
    found = Constant(use="constant", value=4).identity()
    assert found == {"options": {"use": "constant", "value": 4.0}, "code": dict(closure(HERE))}
    assert found != Constant(use="constant", value=5).identity()


def test_a_component_in_a_component_counts_by_its_own_code_too() -> None:
    term = Term.model_validate({"use": "term", "temperature": 4})
    assert isinstance(term.temperature, Component)
    assert term.temperature.use == "fixed"
    found = term.identity()
    assert isinstance(found, dict)
    options = found["options"]
    assert isinstance(options, dict)
    assert options["temperature"] == term.temperature.identity()
    assert "training/temperatures/fixed.py" in str(options), "a changed temperature is a changed term"
    assert "training/temperatures/linear.py" not in str(options)


def test_a_file_counts_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    def made(name: str, content: str) -> object:
        (tmp_path / name).write_text(content)
        return Term(use="term", table=tmp_path / name).identity()

    assert made("a.txt", "one") == made("b.txt", "one")
    assert made("a.txt", "one") != made("a.txt", "two")
    assert str(tmp_path) not in str(made("a.txt", "one"))


def test_a_relative_path_counts_as_it_is_written_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    term = Term(use="term", table=Path("a.txt"))
    before = term.identity()
    (tmp_path / "a.txt").write_text("one")
    monkeypatch.chdir(tmp_path)
    assert term.identity() == before
