"""A bundle of a small linear model, with evidence that was made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.graph.execution import execution
from edgekd.graph.inspect import describe
from edgekd.records.accuracy import Accuracy
from edgekd.records.bundle import SessionSettings, Source, TargetEvidence
from edgekd.records.check import Check, Outcome
from edgekd.records.contract import ImageInput, ModelContract
from edgekd.records.evaluation import Evaluation, ModelEvaluation, Paired
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.card import Story

CONTRACT = ModelContract(
    inputs=(ImageInput(channels=1, height=4, width=3, mean=(0.25,), std=(0.5,)),), classes=("cat", "dog|hound")
)
WEIGHTS = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)


def save_model(path: Path, batch: str | int = "batch") -> None:
    """logits = flattened image · WEIGHTS"""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 4, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def logits_of(images: np.ndarray) -> np.ndarray:
    return ((images.reshape(len(images), 12) / 255 - 0.25) / 0.5).astype(np.float32) @ WEIGHTS


def evidence() -> TargetEvidence:
    pairs = Paired(
        both_right=90, only_reference_right=3, only_model_right=1, both_wrong=6,
        drop=0.02, drop_interval=(-0.01, 0.05), p_value=0.6,
    )  # fmt: skip
    evaluation = ModelEvaluation(
        accuracy=Accuracy(correct=91, total=100, per_class_correct=(41, 50), per_class_total=(45, 55)),
        accuracy_interval=(0.84, 0.96),
        agreement=95,
        agreement_interval=(0.89, 0.98),
        against_teacher=pairs,
    )
    return TargetEvidence(
        session=SessionSettings(
            provider="CPUExecutionProvider",
            threads=1,
            inter_op_threads=1,
            spinning=False,
            optimisation="all",
            options={"session.use_env_allocators": "0"},
        ),
        outcome=Outcome.PASS,
        checks=(
            Check(name="max_accuracy_drop", limit=0.05, observed=0.02, interval=(-0.01, 0.05), outcome=Outcome.PASS,
                  why="0.02 of at most 0.05"),
        ),
        accuracy=Evaluation(target="local", images=100, models={"int8": evaluation}, int8_against_student=pairs),
        latency=None,
    )  # fmt: skip


@pytest.fixture
def inputs(tmp_path: Path) -> BundleInputs:
    save_model(tmp_path / "made.onnx")
    images = np.random.default_rng(1).integers(0, 256, size=(5, 4, 3, 1), dtype=np.uint8)
    return BundleInputs(
        name="pets",
        model=tmp_path / "made.onnx",
        facts=describe(tmp_path / "made.onnx"),
        execution=execution(tmp_path / "made.onnx"),
        scheme="none",
        contract=CONTRACT,
        outcome=Outcome.PASS,
        targets={"local": evidence(), "board": evidence()},
        golden_images=images,
        golden_logits=logits_of(images),
        onnxruntime=onnxruntime.__version__,
        source=Source(pipeline="pets", seed=3, data={"train": "ab" * 32}, stages={"export": "cd" * 32}),
        story=Story(data=("100 test images.",), training=("Distilled.",), limits=("Only cats and dogs.",)),
    )


@pytest.fixture
def bundle(inputs: BundleInputs, tmp_path: Path) -> Path:
    build_bundle(inputs, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def fixed_batch_bundle(inputs: BundleInputs, tmp_path: Path) -> Path:
    """As `bundle`, of a model that takes exactly two images."""
    path = tmp_path / "fixed.onnx"
    save_model(path, batch=2)
    build_bundle(replace(inputs, model=path, facts=describe(path)), tmp_path / "fixed")
    return tmp_path / "fixed"
