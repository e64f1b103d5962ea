"""A bundle that somebody has changed is refused or harmless, and a model that never ends is ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekd.errors import ConfigError
from edgekd.release.apart import verify_apart
from edgekd.release.device import predict, verify
from edgekd.release.verify import load_model, read_manifest
from edgekd.release.verify import verify as problems_of

from .test_bundle_verify import changed, relisted


def endless(path: Path) -> None:
    """logits, after 2^62 turns of a loop"""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["m", "t", "image"], ["y"], body=body),
            helper.make_node("Flatten", ["y"], ["f"]),
            helper.make_node("Gemm", ["f", "w"], ["logits"]),
        ],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            helper.make_tensor("m", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("t", TensorProto.BOOL, [], [1]),
            helper.make_tensor("w", TensorProto.FLOAT, [12, 2], [1.0] * 24),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def endless_bundle(bundle: Path) -> Path:
    endless(bundle / "fp32.onnx")
    relisted(bundle, "fp32.onnx")
    return bundle


def test_a_model_that_never_ends_is_ended_and_told(endless_bundle: Path) -> None:
    begun = time.monotonic()
    assert verify_apart(endless_bundle, seconds=6) == ["the golden answers are not given within 6 s"]
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(("program", "code"), [("verify.py", 1), ("predict.py", 2)])
def test_the_programs_of_a_bundle_end(endless_bundle: Path, program: str, code: int) -> None:
    text = (endless_bundle / "predict.py").read_text()
    (endless_bundle / "predict.py").write_text(text.replace("LONGEST_S = 600.0", "LONGEST_S = 2.0"))
    relisted(endless_bundle, "predict.py")
    sample = endless_bundle.parent / "sample.ppm"
    sample.write_bytes(b"P5 3 4 255\n" + bytes(12))
    argv = [sys.executable, str(endless_bundle / program), *([str(sample)] if program == "predict.py" else [])]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (code, "error: no answer within 2 s\n")


def test_a_whole_bundle_passes_apart_too(bundle: Path) -> None:
    assert verify_apart(bundle) == []
    assert verify_apart(bundle, "moon") == ["the bundle has nothing for target 'moon'; it has local, board"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tolerance": ', '"tolerance": Infinity, "x": '),
        ('"tolerance": ', '"tolerance": 1e999, "x": '),
        ('"schema": 2', '"schema": true'),
        ('"schema": 2', '"schema": 2.0'),
        ('"schema": 2', '"schema": 2, "schema": 2'),
        ('"threads": 1', '"threads": true'),
        ('"threads": 1', '"threads": "1"'),
        ('"spinning": false', '"spinning": "no"'),
    ],
)
def test_a_value_that_is_not_finite_or_of_another_type_is_refused(old: str, new: str, bundle: Path) -> None:
    path = bundle / "manifest.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError):
        read_manifest(bundle)


def test_a_provider_that_is_not_there_is_no_other_one(bundle: Path) -> None:
    targets = json.loads((bundle / "manifest.json").read_text())["targets"]
    targets["local"]["runtime"]["provider"] = "MoonExecutionProvider"
    changed(bundle, targets=targets)
    with pytest.raises(predict.UnusableError, match="knows no MoonExecutionProvider"):
        load_model(bundle, read_manifest(bundle))
    assert "knows no MoonExecutionProvider" in problems_of(bundle)[0]


def test_other_classes_than_the_model_answers_are_refused(bundle: Path) -> None:
    contract = json.loads((bundle / "manifest.json").read_text())["contract"]
    changed(bundle, contract={**contract, "classes": ["cat", "dog", "fish"]})
    assert "for each of 3 classes" in problems_of(bundle)[0]
    with pytest.raises(predict.UnusableError, match="not 3 classes"):
        load_model(bundle, read_manifest(bundle)).logits(np.zeros((1, 4, 3, 1), np.uint8))


def test_a_manifest_that_is_a_link_out_of_the_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "manifest.json").rename(tmp_path / "elsewhere.json")
    (bundle / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    assert "link" in problems_of(bundle)[0]
    done = subprocess.run([sys.executable, bundle / "verify.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: manifest.json: a link, not a file of the bundle\n")


def test_a_manifest_that_is_a_pipe_or_endless_does_not_hang(bundle: Path) -> None:
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir):
        path = bundle / "manifest.json"
        path.rmdir() if path.is_dir() else path.unlink()
        make(path)
        assert len(problems_of(bundle)) == 1
        argv = [sys.executable, str(bundle / "verify.py")]
        assert subprocess.run(argv, capture_output=True, check=False, timeout=20).returncode == 1


def test_an_added_folder_is_named_even_if_it_is_empty(bundle: Path) -> None:
    (bundle / "numpy").mkdir()
    assert problems_of(bundle) == ["numpy: not of this bundle"]
    assert verify.file_problems(bundle, json.loads((bundle / "manifest.json").read_text())) != []
