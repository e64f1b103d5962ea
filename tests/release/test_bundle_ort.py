"""The files for reduced builds of ONNX Runtime in a bundle: each once, covered by everything that covers a file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgekd.data.modalities.base import Feeds
from edgekd.records.bundle import ShippedModel
from edgekd.release.archive import write_archive
from edgekd.release.bundle import BundleInputs, OptimisedFiles, build_bundle
from edgekd.release.sign import sign, signature_problems
from edgekd.release.verify import read_manifest, verify, verify_elsewhere

from .conftest import WEIGHTS, save_model
from .test_bundle_verify import relisted
from .test_sign import make_keys


def save_ort(path: Path, model: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture
def with_ort(two_models: BundleInputs, tmp_path: Path) -> BundleInputs:
    """The two targets that take the same model on equal processors, and one for which nothing is known."""
    (tmp_path / "required_operators.config").write_text("ai.onnx;13;Flatten,Gemm\n")
    save_ort(tmp_path / "model.ort", two_models.models["int8_weights"].path)
    files = OptimisedFiles(tmp_path / "required_operators.config", tmp_path / "model.ort")
    return replace(two_models, optimised={"board": files, "spare": files})


@pytest.fixture
def ort_bundle(with_ort: BundleInputs, tmp_path: Path) -> Path:
    build_bundle(with_ort, tmp_path / "with_ort")
    return tmp_path / "with_ort"


def replaced(bundle: Path, weights: NDArray[np.float32]) -> None:
    """Another model in the runtime's own format, which the manifest lists."""
    save_model(bundle.parent / "another.onnx", weights=weights)
    save_ort(bundle / "board.ort", bundle.parent / "another.onnx")
    relisted(bundle, "board.ort")


def test_equal_files_are_in_the_bundle_once_and_every_target_names_its_own(ort_bundle: Path) -> None:
    targets = read_manifest(ort_bundle).targets

    assert sorted(path.name for path in ort_bundle.iterdir() if path.suffix in (".ort", ".config")) == [
        "board.ort",
        "board.required_operators.config",
    ]
    assert {name: each.ort for name, each in targets.items()} == {
        "local": None, "board": "board.ort", "spare": "board.ort",
    }  # fmt: skip
    assert targets["spare"].required_operators == "board.required_operators.config"
    assert targets["local"].required_operators is None
    assert [verify(ort_bundle, target) for target in (None, "local", "board", "spare")] == [[]] * 4
    card = (ort_bundle / "MODEL_CARD.md").read_text()
    assert card.count("`board.ort` is the same model") == 2
    assert "`--include_ops_by_config board.required_operators.config`" in card


def test_the_same_run_gives_the_same_archive(with_ort: BundleInputs, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_bundle(with_ort, tmp_path / name)
        write_archive(tmp_path / name, tmp_path / f"{name}.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("name", ["board.ort", "board.required_operators.config"])
def test_a_changed_one_is_named_and_a_signature_is_not_made_for_it(name: str, ort_bundle: Path, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    sign(ort_bundle, private)
    assert signature_problems(ort_bundle, public) == []
    content = bytearray((ort_bundle / name).read_bytes())
    content[-3] ^= 1
    (ort_bundle / name).write_bytes(content)

    assert verify(ort_bundle) == [f"{name}: its content was changed"]
    relisted(ort_bundle, name)
    assert signature_problems(ort_bundle, public) != []


@pytest.mark.parametrize("key", ["ort", "required_operators"])
def test_one_that_a_target_names_must_be_listed(key: str, ort_bundle: Path) -> None:
    path = ort_bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["targets"]["local"][key] = "../outside"
    path.write_text(json.dumps(manifest))

    assert verify(ort_bundle) == ["../outside: used, but not listed in the manifest"]


def test_wrong_answers_of_the_ort_file_are_found_by_whoever_says_that_this_is_its_target(ort_bundle: Path) -> None:
    replaced(ort_bundle, -1.5 * WEIGHTS)

    assert verify(ort_bundle) == []  # of another processor's file nothing can be said here
    assert verify(ort_bundle, "local") == []
    for target in ("board", "spare"):
        (problem,) = verify(ort_bundle, target)
        assert problem.startswith("board.ort: golden samples: int8_weights: 5 of 5 answers differ")


def test_the_bundles_own_program_finds_them_too(ort_bundle: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, str(ort_bundle / "verify.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert run("--target", "board") == (0, "")
    replaced(ort_bundle, -1.5 * WEIGHTS)
    assert run() == (0, "")
    code, said = run("--target", "board")
    assert code == 1
    assert said.startswith("error: board.ort: golden samples: int8_weights: 5 of 5 answers differ")


def test_a_file_that_the_runtime_does_not_load_is_told(ort_bundle: Path) -> None:
    (ort_bundle / "board.ort").write_bytes(b"no model")
    relisted(ort_bundle, "board.ort")

    (problem,) = verify(ort_bundle, "board")
    assert "cannot load the model" in problem
    assert "ORT model" in problem


def test_a_target_elsewhere_is_asked_for_its_own_ort_file_alone(ort_bundle: Path) -> None:
    def asked(machine: str) -> list[str]:
        names = []

        def replay(path: Path, shipped: ShippedModel, feeds: Feeds) -> NDArray[np.float32]:
            names.append(path.name)
            return feeds["image"].reshape(-1, 12) @ (WEIGHTS if path.stem == "fp32" else -WEIGHTS)

        assert verify_elsewhere(ort_bundle, machine, "1.31", replay) == []
        return names

    models = ["fp32.onnx", "int8_weights.onnx"]
    assert asked("board") == [*models, "board.ort"]
    assert asked("local") == asked("rack") == models
