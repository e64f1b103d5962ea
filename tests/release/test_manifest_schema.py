"""The bundle's own verify.py refuses the manifests that `edgekd verify` does, and no others."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekd.records.bundle import Manifest
from edgekd.records.schema1 import manifest_from_1
from edgekd.release.device.verify import form_problem
from edgekd.release.manifest_schema import manifest_schema
from tests.command import REPOSITORY

OLD = REPOSITORY / "tests" / "golden" / "schema1" / "bundle" / "manifest.json"
OTHERS: tuple[Any, ...] = (None, True, -1, 0, 1.5, 100_000, 1 << 25, "", "x", [], [1, 2, 3], {}, {"x": 1})
SCHEMA = json.loads(manifest_schema())


def refused_by_edgekd(content: dict[str, Any]) -> bool:
    """By its form: what one part says of another has checks of its own."""
    try:
        Manifest.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        return any(each["type"] != "value_error" for each in error.errors())
    return False


def refused_by_the_program(content: dict[str, Any]) -> bool:
    return form_problem(content, SCHEMA, SCHEMA["$defs"]) is not None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in it; of long lists and mappings only what comes first."""
    yield path
    inside = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, each in inside if isinstance(value, dict) else inside[:2]:
        yield from places(each, (*path, key))


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


@pytest.fixture(params=["new", "old"])
def manifest(request: pytest.FixtureRequest, bundle: Path) -> dict[str, Any]:
    """One of today, and one that has latencies."""
    if request.param == "new":
        found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
        found["targets"]["local"]["runtime"] |= {"affinity": [0], "nice": 1, "memory_limit_mb": 10.5}
        return found
    old = Manifest.model_validate(manifest_from_1(json.loads(OLD.read_text())))
    return json.loads(old.model_dump_json(by_alias=True))  # type: ignore[no-any-return]


def test_a_whole_one_is_taken(manifest: dict[str, Any]) -> None:
    assert not refused_by_edgekd(manifest)
    assert not refused_by_the_program(manifest)


def test_both_refuse_the_same_values(manifest: dict[str, Any]) -> None:
    differ = []
    for path in list(places(manifest))[1:]:
        parent, key = at(manifest, path[:-1]), path[-1]
        kept = parent[key]
        for other in OTHERS:
            parent[key] = other
            if refused_by_edgekd(manifest) != refused_by_the_program(manifest):
                differ.append((path, other))
        parent[key] = kept
    assert not differ


def test_both_refuse_the_same_missing_and_unknown_keys(manifest: dict[str, Any]) -> None:
    differ = []
    for path in places(manifest):
        if isinstance(at(manifest, path), dict):
            for key in (*at(manifest, path), "unknown"):
                changed = copy.deepcopy(manifest)
                part = at(changed, path)
                if key in part:
                    del part[key]
                else:
                    part[key] = 1
                if refused_by_edgekd(changed) != refused_by_the_program(changed):
                    differ.append((path, key))
    assert not differ


def test_a_schema_with_a_keyword_that_the_program_does_not_know_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Manifest, "model_json_schema", lambda **_: {"properties": {"title": {"pattern": "x"}}})
    with pytest.raises(ValueError, match="pattern"):
        manifest_schema()


def _runtime(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["targets"]["local"]["runtime"].update(changes)


def _golden(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["models"]["fp32"]["golden"].update(changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_runtime(threads=100_000), "targets.local.runtime.threads: 100000, maximum 1024"),
        (_runtime(threads=True), "targets.local.runtime.threads: true, integer expected"),
        (_runtime(threads=1.0), "targets.local.runtime.threads: 1.0, integer expected"),
        (_runtime(inter_op_threads=0), "targets.local.runtime.inter_op_threads: 0, minimum 1"),
        (_runtime(treads=2), "targets.local.runtime.treads: unknown"),
        (lambda manifest: manifest.update(extra={}), "extra: unknown"),
        (lambda manifest: manifest.pop("edgekd"), "edgekd: missing"),
        (lambda manifest: manifest.update({"a\n\x1b[2Jb": 1}), "a \\x1b[2Jb: unknown"),
        (lambda manifest: manifest["models"]["fp32"]["golden"].update(tolerance="0"), '"0", number expected'),
        (
            lambda manifest: manifest["models"]["fp32"]["golden"].update(tolerance=float("nan")),
            "NaN is no finite number",
        ),
    ],
)
def test_verify_py_tells_it_in_a_line(change: Callable[[dict[str, Any]], None], told: str, bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    done = subprocess.run([sys.executable, bundle / "verify.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path}")
    assert done.stderr.endswith(f"{told}\n")
    assert done.stderr.count("\n") == 1


def test_a_bundle_without_its_schema_is_not_whole(bundle: Path) -> None:
    (bundle / "manifest.schema.json").unlink()
    done = subprocess.run([sys.executable, bundle / "verify.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: manifest.schema.json: missing\n")
