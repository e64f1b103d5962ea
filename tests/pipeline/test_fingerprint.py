from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from edgekd.pipeline.fingerprint import differences, fingerprint, preimage
from tests.pipeline.stages import Number

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
    if fingerprint(before) == fingerprint(after):
        assert before == after
    elif before != after:  # 1 == 1.0 == True in Python, not in the fingerprint
        assert named


def test_a_difference_reads_as_the_user_wrote_it() -> None:
    before: JsonValue = {
        "options": {"temperature": 4.0, "losses": [{"weight": 0.1}]},
        "code": {"training": "0" * 16},
    }
    after: JsonValue = {
        "options": {"temperature": 6.0, "losses": [{"weight": 0.2}]},
        "code": {"training": "1" * 16},
    }
    assert list(differences(before, after)) == [
        "code.training changed",
        "options.losses.0.weight 0.1 -> 0.2",
        "options.temperature 4.0 -> 6.0",
    ]


def test_the_preimage_holds_everything_that_decides_a_result_and_no_path() -> None:
    image = preimage(Number(3), {"in": "a" * 64}, 7)
    assert image["options"] == {"value": 3}
    assert image["seed"] == 7
    assert image["inputs"] == {"in": "a" * 64}
    assert isinstance(image["libraries"], dict)
    assert set(image["libraries"]) == {"numpy"}
    assert "/" not in str({key: value for key, value in image.items() if key not in ("code", "record")})
