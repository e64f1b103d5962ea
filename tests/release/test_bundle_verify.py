from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekd.agent.machine import cpu_facts
from edgekd.data.modalities.base import Feeds
from edgekd.errors import TargetError
from edgekd.records.bundle import ShippedModel
from edgekd.records.evaluation import Evaluation
from edgekd.release.bundle import BundleInputs
from edgekd.release.device.verify import is_inside, runtime_problems
from edgekd.release.verify import load_model, read_manifest, verify, verify_elsewhere

from .conftest import WEIGHTS


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


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "predict.py").unlink()

    assert verify(bundle) == ["predict.py: missing"]


def test_a_changed_byte_is_named_and_the_model_is_not_even_loaded(bundle: Path) -> None:
    content = bytearray((bundle / "fp32.onnx").read_bytes())
    content[-20] ^= 1
    (bundle / "fp32.onnx").write_bytes(content)

    assert verify(bundle) == ["fp32.onnx: its content was changed"]


def test_a_file_of_another_size_is_named(bundle: Path) -> None:
    with (bundle / "MODEL_CARD.md").open("a") as card:
        card.write("Best model ever.\n")

    (problem,) = verify(bundle)
    assert problem.startswith("MODEL_CARD.md: ")
    assert "expected" in problem


def test_an_added_file_is_named_in_folders_too(bundle: Path) -> None:
    (bundle / "notes.txt").touch()
    (bundle / "golden" / "more").mkdir()
    (bundle / "golden" / "more" / "x.npy").touch()

    assert verify(bundle) == ["golden/more/x.npy: not of this bundle", "notes.txt: not of this bundle"]


def test_a_link_is_refused_even_to_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    (bundle / "fp32.onnx").rename(tmp_path / "elsewhere.onnx")
    (bundle / "fp32.onnx").symlink_to(tmp_path / "elsewhere.onnx")

    assert verify(bundle) == ["fp32.onnx: a link, not a file of the bundle"]


def test_a_linked_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "golden").rename(tmp_path / "golden")
    (bundle / "golden").symlink_to(tmp_path / "golden")

    problems = verify(bundle)
    assert "golden/samples.npy: a link, not a file of the bundle" in problems
    assert "golden: not of this bundle" in problems


@pytest.mark.parametrize(
    "name",
    ["../outside.txt", "/etc/hostname", "golden/../../outside.txt", "a//b", "C:\\x", "..\\x", "./fp32.onnx", "a\nb"],
)
def test_a_path_that_leaves_the_folder_is_refused(name: str, bundle: Path) -> None:
    (bundle.parent / "outside.txt").write_text("secret")
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    changed(bundle, files={**files, name: {"sha256": "0" * 64, "size_bytes": 6}})

    assert f"{name!r}: the path leaves the bundle" in verify(bundle)


@pytest.mark.parametrize("used", ["file", "logits", "golden_samples"])
def test_a_file_that_is_used_must_be_listed(used: str, bundle: Path) -> None:
    shutil.copy(bundle / "golden" / "fp32.npy", bundle.parent / "outside.npy")
    models = json.loads((bundle / "manifest.json").read_text())["models"]
    outside = str(bundle.parent / "outside.npy")
    if used == "golden_samples":
        changed(bundle, golden_samples=outside)
    else:
        (models["fp32"] if used == "file" else models["fp32"]["golden"])[used] = outside
        changed(bundle, models=models)

    assert verify(bundle) == [f"{outside}: used, but not listed in the manifest"]


@given(st.text(max_size=30))
def test_a_path_that_is_inside_stays_inside(name: str) -> None:
    if is_inside(name):
        root = Path("/bundle")
        assert Path(os.path.normpath(root / name)).is_relative_to(root)
        assert Path(os.path.normpath(root / name)) != root


def test_another_answer_to_a_golden_sample_is_told_with_the_sample_and_the_difference(bundle: Path) -> None:
    logits = np.load(bundle / "golden" / "fp32.npy")
    logits[3, 1] += 0.5
    np.save(bundle / "golden" / "fp32.npy", logits)
    relisted(bundle, "golden/fp32.npy")

    (problem,) = verify(bundle)
    assert "1 of 5 answers differ, the most on sample 3 by 0.5 " in problem


def test_an_answer_that_is_not_a_number_is_a_difference(bundle: Path) -> None:
    logits = np.load(bundle / "golden" / "fp32.npy")
    logits[0, 0] = np.nan
    np.save(bundle / "golden" / "fp32.npy", logits)
    relisted(bundle, "golden/fp32.npy")

    assert "1 of 5 answers differ" in verify(bundle)[0]


def test_golden_files_that_are_no_arrays_are_told(bundle: Path) -> None:
    (bundle / "golden" / "samples.npy").write_bytes(b"not an array")
    relisted(bundle, "golden/samples.npy")

    assert verify(bundle)[0].startswith("golden samples: ")


def test_a_model_that_the_runtime_cannot_load_is_told(bundle: Path) -> None:
    (bundle / "fp32.onnx").write_bytes(b"\x08\x08nonsense")
    relisted(bundle, "fp32.onnx")

    assert "cannot load the model" in verify(bundle)[0]


def test_a_manifest_of_a_newer_schema_says_so(bundle: Path) -> None:
    changed(bundle, schema=3)

    assert "schema 3, made by a newer edgekd" in verify(bundle)[0]


def test_models_that_no_target_takes_and_targets_without_a_model_are_told(two_model_bundle: Path) -> None:
    manifest = json.loads((two_model_bundle / "manifest.json").read_text())
    changed(two_model_bundle, targets={"local": manifest["targets"]["local"]})
    untaken = verify(two_model_bundle)
    changed(two_model_bundle, targets=manifest["targets"], models={"fp32": manifest["models"]["fp32"]})

    for (problem,) in (untaken, verify(two_model_bundle)):
        assert problem.endswith("the models and those that the targets take differ: int8_weights")


def test_every_model_answers_under_the_first_target_that_takes_it(two_model_bundle: Path) -> None:
    logits = np.load(two_model_bundle / "golden" / "int8_weights.npy")
    np.save(two_model_bundle / "golden" / "int8_weights.npy", logits + 1)
    relisted(two_model_bundle, "golden/int8_weights.npy")

    (problem,) = verify(two_model_bundle)
    assert problem.startswith("golden samples: int8_weights: 5 of 5 answers differ")
    assert verify(two_model_bundle, "local") == []
    assert verify(two_model_bundle, "board") == verify(two_model_bundle, "spare") == [problem]


def test_the_programs_in_a_bundle_are_not_run_here(bundle: Path) -> None:
    for name in ("predict.py", "verify.py", "inputs.py", "session.py"):
        (bundle / name).write_text("raise SystemExit('run all the same')")
        relisted(bundle, name)

    assert verify(bundle) == []


def test_every_model_is_replayed_elsewhere(two_models: BundleInputs, two_model_bundle: Path) -> None:
    asked = []

    def replay(path: Path, shipped: ShippedModel, feeds: Feeds) -> NDArray[np.float32]:
        asked.append((path.name, shipped.session, {name: fed.shape for name, fed in feeds.items()}))
        weights = WEIGHTS if path.stem == "fp32" else 3 * WEIGHTS
        return feeds["image"].reshape(-1, 12) @ weights

    (problem,) = verify_elsewhere(two_model_bundle, "rack", "1.31", replay)
    assert problem.startswith("golden samples: int8_weights: 5 of 5 answers differ")
    assert asked == [
        ("fp32.onnx", {}, {"image": (5, 1, 4, 3)}),
        ("int8_weights.onnx", {"session.disable_quant_qdq": "1"}, {"image": (5, 1, 4, 3)}),
    ]


def test_what_goes_wrong_elsewhere_is_no_problem_of_the_bundle(bundle: Path) -> None:
    def replay(path: Path, shipped: ShippedModel, feeds: Feeds) -> NDArray[np.float32]:
        raise TargetError("the board is off")

    with pytest.raises(TargetError, match="the board is off"):
        verify_elsewhere(bundle, "rack", "1.31", replay)
    assert "too old" in verify_elsewhere(bundle, "rack", "1.9", replay)[0]  # and is not asked then


def test_golden_samples_that_do_not_fit_the_model_are_told_wherever_they_are_answered(bundle: Path) -> None:
    np.save(bundle / "golden" / "samples.npy", np.zeros(5))
    relisted(bundle, "golden/samples.npy")

    assert "does not run on the samples" in verify(bundle)[0]
    assert "cannot be fed" in verify_elsewhere(bundle, "rack", "1.31", lambda *_: np.zeros((5, 2), np.float32))[0]


SCHEMA_1 = Path(__file__).parent.parent / "golden" / "schema1" / "bundle"


def test_a_bundle_of_the_first_schema_is_read_verified_and_used(tmp_path: Path) -> None:
    manifest = read_manifest(SCHEMA_1)
    samples = np.load(SCHEMA_1 / "golden" / "images.npy")
    model = load_model(SCHEMA_1, manifest)

    # its answers are those of an x86 processor without VNNI, on which sums of this model overflow
    machine = cpu_facts()
    overflows = machine["machine"] == "x86_64" and not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(machine["isa"])
    problems = verify(SCHEMA_1)
    assert ["16 of 16 answers differ" in each for each in problems] == ([] if overflows else [True])
    assert manifest.shipped("local").facts.size_bytes == 9463
    assert [type(each.accuracy) for each in manifest.targets.values()] == [Evaluation]
    np.save(tmp_path / "image.npy", samples[0])
    (answer,) = model.answers([tmp_path / "image.npy"])
    assert answer.label == model.classes[np.load(SCHEMA_1 / "golden" / "logits.npy")[0].argmax()]


def test_a_damaged_bundle_of_the_first_schema_is_told(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(SCHEMA_1, bundle)
    (bundle / "predict.py").unlink()
    missing = verify(bundle)
    changed(bundle, golden=3)

    assert missing == ["predict.py: missing"]
    (problem,) = verify(bundle)
    assert "manifest.json is damaged: " in problem


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", "\udcff", '{"schema": "1"}']
    + [f'{{"schema": {schema}{more}}}' for schema in (1, 2) for more in ("", ', "files": 3', ', "models": {}')],
)
def test_a_manifest_that_is_none_is_one_line(content: str, bundle: Path) -> None:
    (bundle / "manifest.json").write_text(content, errors="surrogateescape")

    (problem,) = verify(bundle)
    assert "manifest.json" in problem
    assert "\n" not in problem


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "cannot read" in verify(tmp_path)[0]


def test_an_unknown_target_is_told_with_the_known_ones(bundle: Path) -> None:
    assert verify(bundle, "moon") == ["the bundle has nothing for target 'moon'; it has local, board"]


def test_an_older_runtime_than_the_model_needs_is_told() -> None:
    def problems(needed: str | None, installed: str) -> list[str]:
        return runtime_problems("fp32", {"facts": {"runtime": needed}}, installed)

    assert problems("1.18", "1.18.0") == []
    assert problems("1.18", "1.31.1") == []
    assert problems("1.18", "2.0") == []
    assert "1.9.0 is too old for the model fp32, which needs 1.18" in problems("1.18", "1.9.0")[0]
    assert problems(None, "1.0") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=JSON)
def test_any_value_in_any_place_of_the_manifest_is_a_problem_or_harmless(
    data: st.DataObject, value: object, bundle: Path
) -> None:
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
