from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekd.release.device.verify import is_inside, runtime_problems
from edgekd.release.verify import verify


def changed(bundle: Path, **fields: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def relisted(bundle: Path, name: str) -> None:
    """Makes the manifest agree with a file that was changed."""
    import hashlib

    files = json.loads((bundle / "manifest.json").read_text())["files"]
    content = (bundle / name).read_bytes()
    files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    changed(bundle, files=files)


def test_a_missing_file_is_named(bundle):
    (bundle / "predict.py").unlink()

    assert verify(bundle) == ["predict.py: missing"]


def test_a_changed_byte_is_named_and_the_model_is_not_even_loaded(bundle):
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[-20] ^= 1
    (bundle / "model.onnx").write_bytes(content)

    assert verify(bundle) == ["model.onnx: its content was changed"]


def test_a_file_of_another_size_is_named(bundle):
    with (bundle / "MODEL_CARD.md").open("a") as card:
        card.write("Best model ever.\n")

    (problem,) = verify(bundle)
    assert problem.startswith("MODEL_CARD.md: ")
    assert "expected" in problem


def test_an_added_file_is_named_in_folders_too(bundle):
    (bundle / "notes.txt").touch()
    (bundle / "golden" / "more").mkdir()
    (bundle / "golden" / "more" / "x.npy").touch()

    assert verify(bundle) == ["golden/more/x.npy: not of this bundle", "notes.txt: not of this bundle"]


def test_a_link_is_refused_even_to_the_same_bytes(bundle, tmp_path):
    (bundle / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (bundle / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")

    assert verify(bundle) == ["model.onnx: a link, not a file of the bundle"]


def test_a_linked_folder_is_refused(bundle, tmp_path):
    (bundle / "golden").rename(tmp_path / "golden")
    (bundle / "golden").symlink_to(tmp_path / "golden")

    problems = verify(bundle)
    assert "golden/images.npy: a link, not a file of the bundle" in problems
    assert "golden: not of this bundle" in problems


@pytest.mark.parametrize(
    "name",
    ["../outside.txt", "/etc/hostname", "golden/../../outside.txt", "a//b", "C:\\x", "..\\x", "./model.onnx", "a\nb"],
)
def test_a_path_that_leaves_the_folder_is_refused(name, bundle):
    (bundle.parent / "outside.txt").write_text("secret")
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    changed(bundle, files={**files, name: {"sha256": "0" * 64, "size_bytes": 6}})

    assert f"{name!r}: the path leaves the bundle" in verify(bundle)


@pytest.mark.parametrize("field", ["model_file", "golden"])
def test_a_file_that_is_used_must_be_listed(field, bundle):
    shutil.copy(bundle / "golden" / "logits.npy", bundle.parent / "outside.npy")
    golden = json.loads((bundle / "manifest.json").read_text())["golden"]
    outside = str(bundle.parent / "outside.npy")
    changed(bundle, **{field: outside if field == "model_file" else {**golden, "logits": outside}})

    assert verify(bundle) == [f"{outside}: used, but not listed in the manifest"]


@given(st.text(max_size=30))
def test_a_path_that_is_inside_stays_inside(name):
    if is_inside(name):
        root = Path("/bundle")
        assert Path(os.path.normpath(root / name)).is_relative_to(root)
        assert Path(os.path.normpath(root / name)) != root


def test_another_answer_to_a_golden_image_is_told_with_the_image_and_the_difference(bundle):
    logits = np.load(bundle / "golden" / "logits.npy")
    logits[3, 1] += 0.5
    np.save(bundle / "golden" / "logits.npy", logits)
    relisted(bundle, "golden/logits.npy")

    (problem,) = verify(bundle)
    assert "1 of 5 answers differ, the most on image 3 by 0.5 " in problem


def test_an_answer_that_is_not_a_number_is_a_difference(bundle):
    logits = np.load(bundle / "golden" / "logits.npy")
    logits[0, 0] = np.nan
    np.save(bundle / "golden" / "logits.npy", logits)
    relisted(bundle, "golden/logits.npy")

    assert "1 of 5 answers differ" in verify(bundle)[0]


def test_golden_files_that_are_no_arrays_are_told(bundle):
    (bundle / "golden" / "images.npy").write_bytes(b"not an array")
    relisted(bundle, "golden/images.npy")

    assert verify(bundle)[0].startswith("golden images: ")


def test_a_model_that_the_runtime_cannot_load_is_told(bundle):
    (bundle / "model.onnx").write_bytes(b"\x08\x08nonsense")
    relisted(bundle, "model.onnx")

    assert "cannot load the model" in verify(bundle)[0]


def test_a_manifest_of_a_newer_schema_says_so(bundle):
    changed(bundle, schema=2)

    assert "schema 2, made by a newer edgekd" in verify(bundle)[0]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"schema": "1"}', '{"schema": 1}', '{"schema": 1, "files": 3}', "\udcff"]
)
def test_a_manifest_that_is_none_is_one_line(content, bundle):
    (bundle / "manifest.json").write_text(content, errors="surrogateescape")

    (problem,) = verify(bundle)
    assert "manifest.json" in problem
    assert "\n" not in problem


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    assert "cannot read" in verify(tmp_path)[0]


def test_an_unknown_target_is_told_with_the_known_ones(bundle):
    assert verify(bundle, "moon") == ["the bundle has no settings for target 'moon'; it has local, board"]


def test_an_older_runtime_than_the_model_needs_is_told():
    manifest = {"model": {"runtime": "1.18"}}

    assert runtime_problems(manifest, "1.18.0") == []
    assert runtime_problems(manifest, "1.31.1") == []
    assert runtime_problems(manifest, "2.0") == []
    assert "1.9.0 is too old for the model, which needs 1.18" in runtime_problems(manifest, "1.9.0")[0]
    assert runtime_problems({"model": {"runtime": None}}, "1.0") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=JSON)
def test_any_value_in_any_place_of_the_manifest_is_a_problem_or_harmless(data, value, bundle):
    path = bundle / "manifest.json"
    original = path.read_text()
    manifest = json.loads(original)
    node: object = manifest
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = value
            break
        node = node[key]
    try:
        path.write_text(json.dumps(manifest))
        assert all("\n" not in problem for problem in verify(bundle))
    finally:
        path.write_text(original)
