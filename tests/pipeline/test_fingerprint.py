from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue, create_model

from edgekd.pipeline.fingerprint import differences, fingerprint, preimage, schema_digest
from edgekd.records.base import Record
from tests.pipeline.stages import Length, Measure, Number, Parity

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
images = st.dictionaries(st.text(), json_values, max_size=4)


def reordered(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_a_fingerprint_is_pinned() -> None:
    image: dict[str, JsonValue] = {
        "record": "edgekd.stage/1",
        "stage": "distill",
        "options": {"temperature": 4.0},
        "seed": 0,
    }
    assert fingerprint(image) == "eb45d3ae2ebf1f8bed9828b9049381bb909450eb50b2747126217af708caff4a"


@given(images)
def test_the_order_of_keys_does_not_matter(image: dict[str, JsonValue]) -> None:
    again = reordered(image)
    assert isinstance(again, dict)
    assert fingerprint(image) == fingerprint(again)


@given(images, images)
def test_what_differs_has_another_fingerprint_and_is_named(
    before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> None:
    named = list(differences(before, after))
    assert bool(named) == (fingerprint(before) != fingerprint(after))


def test_a_difference_reads_as_the_user_wrote_it() -> None:
    before: JsonValue = {
        "options": {"temperature": 4.0, "losses": [{"weight": 0.1, "code": {"training/losses/kd.py": "0" * 16}}]},
        "code": {"training/loop.py": "0" * 16, "training/taps.py": "0" * 16, "training/same.py": "0" * 16},
        "inputs": {"train": "0" * 64},
        "seed": 1,
    }
    after: JsonValue = {
        "options": {"temperature": 6.0, "losses": [{"weight": 0.2, "code": {"training/losses/kd.py": "1" * 16}}]},
        "code": {"training/loop.py": "1" * 16, "training/hooks.py": "1" * 16, "training/same.py": "0" * 16},
        "inputs": {"train": "1" * 64},
        "seed": None,
    }
    assert list(differences(before, after)) == [
        "code training/hooks.py is new",
        "code training/loop.py changed",
        "code training/taps.py is gone",
        "inputs.train changed",
        "code training/losses/kd.py changed",
        "options.losses.0.weight 0.1 -> 0.2",
        "options.temperature 4.0 -> 6.0",
        "seed 1 -> nothing",
    ]


def test_numbers_that_python_takes_for_the_same_are_told_apart() -> None:
    assert list(differences({"a": 1, "b": 1}, {"a": 1.0, "b": True})) == ["a 1 -> 1.0", "b 1 -> True"]


def test_the_preimage_holds_everything_that_decides_a_result_and_no_path() -> None:
    image = preimage(Number(3), {"in": "a" * 64}, 7)
    assert image["options"] == {"value": 3}
    assert image["seed"] == 7
    assert image["inputs"] == {"in": "a" * 64}
    assert isinstance(image["libraries"], dict)
    assert set(image["libraries"]) == {"numpy"}
    assert isinstance(image["code"], dict)
    assert {"tests/pipeline/stages.py", "records/base.py"} <= set(image["code"]), "a stage's own imports"
    assert image["records"] == {}
    assert "/" not in str({key: value for key, value in image.items() if key not in ("code", "record")})


def test_an_unseeded_stage_has_no_seed() -> None:
    assert preimage(Parity(), {}, 7)["seed"] is None


class Title(Record):
    """A book's."""

    title: str = Field(description="on its cover")
    description: dict[str, str] = {"title": "none", "description": "none"}
    parts: tuple[Length, ...] = ()


def test_a_record_type_counts_by_its_fields_and_not_by_what_is_said_of_them() -> None:
    def kind(**fields: object) -> type[Record]:
        return create_model("Other", __base__=Record, **fields)  # type: ignore[call-overload, no-any-return]

    title = (str, Field(description="in other words"))
    description = (dict[str, str], {"title": "none", "description": "none"})
    parts = (tuple[Length, ...], ())
    same = kind(title=title, description=description, parts=parts)
    assert schema_digest(same) == schema_digest(Title)
    for other in (
        kind(title=title, description=description),
        kind(title=(int, Field()), description=description, parts=parts),
        kind(title=title, description=(dict[str, str], {"title": "some", "description": "none"}), parts=parts),
        kind(name=title, description=description, parts=parts),
        kind(title=title, description=description, parts=(tuple[Title, ...], ())),
    ):
        assert schema_digest(other) != schema_digest(Title)


def test_the_records_of_a_stage_count_by_port() -> None:
    assert preimage(Measure(), {}, 0)["records"] == {"length": schema_digest(Length)}
