"""Bundles of small linear models, with evidence that was made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.graph.execution import execution
from edgekd.graph.inspect import describe
from edgekd.records.accuracy import Accuracy
from edgekd.records.bundle import Source, TargetEvidence
from edgekd.records.candidate import MadeFile
from edgekd.records.check import Check, Outcome
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.evaluation import Evaluation, ModelEvaluation, Paired
from edgekd.records.runtime import RuntimeSettings
from edgekd.release.bundle import BundleInputs, ShippedFile, build_bundle
from edgekd.release.card import Story

CONTRACT = ModelContract(
    modality="image",
    inputs=(InputSpec(name="image", shape=(1, 4, 3), preprocessing={"mean": [0.25], "std": [0.5]}),),
    classes=("cat", "dog|hound"),
)
VECTORS = ModelContract(
    modality="vector",
    inputs=(
        InputSpec(
            name="features", shape=(4,), preprocessing={"mean": [1.0, -2.0, 0.0, 300.0], "std": [0.5, 3.0, 1.0, 40.0]}
        ),
    ),
    classes=("calm", "shaking"),
)
WEIGHTS = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
VECTOR_WEIGHTS = np.random.default_rng(4).normal(size=(4, 2)).astype(np.float32)


def save_model(
    path: Path,
    contract: ModelContract = CONTRACT,
    weights: NDArray[np.float32] = WEIGHTS,
    batch: str | int = "batch",
) -> None:
    """logits = flattened input · weights"""
    (spec,) = contract.inputs
    graph = helper.make_graph(
        [helper.make_node("Flatten", [spec.name], ["f"]), helper.make_node("Gemm", ["f", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, [batch, *spec.shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def logits_of(images: NDArray[np.uint8], weights: NDArray[np.float32] = WEIGHTS) -> NDArray[np.float32]:
    return ((images.reshape(len(images), 12) / 255 - 0.25) / 0.5).astype(np.float32) @ weights


def logits_of_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((rows - [1, -2, 0, 300]) / [0.5, 3, 1, 40]).astype(np.float32) @ VECTOR_WEIGHTS


def made(path: Path, session: Mapping[str, str] = {}) -> MadeFile:
    return MadeFile(
        facts=describe(path),
        execution=execution(path),
        session=dict(session),
        calibration_samples=0,
        saturates_without_vnni=False,
    )


def shipped_file(path: Path, logits: NDArray[np.float32], session: Mapping[str, str] = {}) -> ShippedFile:
    return ShippedFile(
        path=path,
        scheme="none",
        made=made(path, session),
        golden_logits=logits,
        onnxruntime=onnxruntime.__version__,
    )


def evaluation(model: str = "fp32") -> Evaluation:
    def counted(right: tuple[int, int], agreement: int) -> ModelEvaluation:
        return ModelEvaluation(
            accuracy=Accuracy(correct=sum(right), total=100, per_class_correct=right, per_class_total=(45, 55)),
            accuracy_interval=(0.84, 0.96),
            agreement=agreement,
            agreement_interval=(0.89, 0.98),
        )

    def paired(reference: str, drop: float, interval: tuple[float, float]) -> Paired:
        return Paired(
            model=model, reference=reference, both_right=90, only_reference_right=3, only_model_right=1, both_wrong=6,
            drop=drop, drop_interval=interval, p_value=0.6,
        )  # fmt: skip

    return Evaluation(
        target="local",
        samples=100,
        reference="teacher",
        shipped=model,
        models={
            "teacher": counted((42, 51), 100),
            model: counted((41, 50), 95),
            f"control.{model}": counted((40, 48), 90),
        },
        pairs=(paired("teacher", 0.02, (-0.01, 0.05)), paired(f"control.{model}", -0.03, (-0.06, -0.004))),
    )


def evidence(model: str = "fp32", **settings: object) -> TargetEvidence:
    """`settings`: instead of some of the runtime settings."""
    runtime = RuntimeSettings(spinning=False, options={"session.use_env_allocators": "0"})
    check = Check(
        name="accuracy_drop", limit=0.05, observed=0.02, interval=(-0.01, 0.05), outcome=Outcome.PASS,
        why="0.02 of at most 0.05",
    )  # fmt: skip
    return TargetEvidence(
        model=model,
        runtime=runtime.model_copy(update=settings),
        outcome=Outcome.PASS,
        checks=(check,),
        accuracy=evaluation(model),
        latency=None,
    )


@pytest.fixture
def inputs(tmp_path: Path) -> BundleInputs:
    return bundle_inputs(tmp_path)


def bundle_inputs(folder: Path) -> BundleInputs:
    """What a small bundle is built of; its model is written into the folder."""
    save_model(folder / "made.onnx")
    images = np.random.default_rng(1).integers(0, 256, size=(5, 4, 3, 1), dtype=np.uint8)
    return BundleInputs(
        name="pets",
        contract=CONTRACT,
        models={"fp32": shipped_file(folder / "made.onnx", logits_of(images))},
        targets={"local": evidence(), "board": evidence()},
        golden_samples=images,
        outcome=Outcome.PASS,
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
    shipped = shipped_file(path, inputs.models["fp32"].golden_logits)
    build_bundle(replace(inputs, models={"fp32": shipped}), tmp_path / "fixed")
    return tmp_path / "fixed"


@pytest.fixture
def two_models(inputs: BundleInputs, tmp_path: Path) -> BundleInputs:
    """The board takes another model than the host, with a session option of its own."""
    save_model(tmp_path / "other.onnx", weights=-WEIGHTS)
    other = shipped_file(
        tmp_path / "other.onnx", logits_of(inputs.golden_samples, -WEIGHTS), {"session.disable_quant_qdq": "1"}
    )
    targets = {"local": evidence(), "board": evidence("int8_weights"), "spare": evidence("int8_weights", threads=2)}
    return replace(inputs, models={**inputs.models, "int8_weights": other}, targets=targets)


@pytest.fixture
def two_model_bundle(two_models: BundleInputs, tmp_path: Path) -> Path:
    build_bundle(two_models, tmp_path / "two")
    return tmp_path / "two"


@pytest.fixture
def vectors(inputs: BundleInputs, tmp_path: Path) -> BundleInputs:
    """Of a model that takes rows of four numbers."""
    save_model(tmp_path / "vectors.onnx", VECTORS, VECTOR_WEIGHTS)
    rows = (np.random.default_rng(2).normal(size=(6, 4)) * [0.5, 3, 1, 40] + [1, -2, 0, 300]).astype(np.float32)
    return replace(
        inputs,
        contract=VECTORS,
        models={"fp32": shipped_file(tmp_path / "vectors.onnx", logits_of_rows(rows))},
        targets={"local": evidence()},
        golden_samples=rows,
    )


@pytest.fixture
def vector_bundle(vectors: BundleInputs, tmp_path: Path) -> Path:
    build_bundle(vectors, tmp_path / "vector_bundle")
    return tmp_path / "vector_bundle"
