"""The operators that a build needs, and files in ONNX Runtime's own format, by the real runtime."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.tools.reduced_build_config_parser import parse_config

from edgekd.config.target import TargetProfile
from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.fp32 import Fp32
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import load_session, run_onnx
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.records.arrays import save_arrays
from edgekd.records.base import file_digest
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.optimised import OptimisedRecord
from edgekd.records.screening import ChoiceRecord
from edgekd.stages.optimise import OptimiseStage

CONTRACT = ModelContract(
    modality="image",
    inputs=(InputSpec(name="image", shape=(1, 8, 8), preprocessing={"mean": [0.3], "std": [0.4]}),),
    classes=("a", "b", "c"),
)
SCHEMES: dict[str, Scheme] = {
    "fp32": Fp32(use="fp32"),
    "int8_weights": Int8Weights(use="int8_weights"),
    "int8_qdq": Int8Qdq(use="int8_qdq"),
    "int8_qoperator": Int8QOperator(use="int8_qoperator"),
}
IMAGES = np.random.default_rng(1).integers(0, 256, size=(8, 8, 8, 1), dtype=np.uint8)


def inputs_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return ((images.transpose(0, 3, 1, 2) / 255 - 0.3) / 0.4).astype(np.float32)


def save_network(path: Path) -> None:
    """Four convolutions of widths that no vector register holds, pooling, and a linear layer."""
    rng = np.random.default_rng(0)
    nodes, tensors, before, channels = [], {}, "image", 1
    for number, width in enumerate((12, 12, 18, 18)):
        tensors[f"w{number}"] = rng.normal(0, 0.3, size=(width, channels, 3, 3))
        tensors[f"b{number}"] = rng.normal(0, 0.3, size=width)
        names = [before, f"w{number}", f"b{number}"]
        nodes.append(helper.make_node("Conv", names, [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        before, channels = f"r{number}", width
    tensors["w"], tensors["b"] = rng.normal(size=(18, 3)), rng.normal(size=3)
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(each.astype(np.float32), name) for name, each in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


class Optimised:
    """What the stage makes of a candidate on this machine."""

    def __init__(self, folder: Path, scheme: str, *, wrong: float = 0.0, **target: Any) -> None:
        """wrong: by how much the answers given are others than those that are recorded."""
        folder.mkdir()
        save_network(folder / "fp32.onnx")
        self.model = folder / "candidate.onnx"
        made = make_candidate(SCHEMES[scheme], folder / "fp32.onnx", {"image": inputs_of(IMAGES)}, self.model)
        self.session = made.session
        choice = ChoiceRecord(
            target="here",
            chosen=scheme,
            session=made.session,
            objective="latency",
            max_accuracy_drop=1.0,
            candidates=(),
        )
        (folder / "choice.json").write_text(choice.model_dump_json())
        (folder / "contract.json").write_text(CONTRACT.model_dump_json())
        level = target.get("runtime", {}).get("optimisation", "all")
        logits = answers(self.model, self.session, level) + np.float32(wrong)
        save_arrays(folder / "golden.npz", {"samples": IMAGES, "logits": logits})
        stage = OptimiseStage(TargetProfile.model_validate({"name": "here", "device": "local", **target}), "image")
        self.context = Context(folder, folder, stage.outputs, 0, Silent())
        stage.run(
            self.context,
            {
                "model": self.model,
                "choice": folder / "choice.json",
                "contract": folder / "contract.json",
                "golden": folder / "golden.npz",
            },
        )
        self.record = OptimisedRecord.model_validate_json(self.context.output("optimised").read_bytes())
        self.ort, self.operators = self.context.output("ort"), self.context.output("operators")


def answers(path: Path, session: dict[str, str], level: str = "all") -> NDArray[np.float32]:
    """One sample at a time, as a device is asked."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = {
        "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
        "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    }[level]
    options.intra_op_num_threads = 1
    for key, value in session.items():
        options.add_session_config_entry(key, value)
    loaded = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = [loaded.run(None, {"image": each[None]})[0] for each in inputs_of(IMAGES)]
    logits: NDArray[np.float32] = np.concatenate(found)
    return logits


def kinds_run_here(path: Path, session: dict[str, str], folder: Path) -> set[tuple[str, str]]:
    """Domain and name of the operators after optimisation, from the runtime's own ONNX file."""
    load_session(path, session, optimised=folder / "seen.onnx")
    return {(node.domain or "ai.onnx", node.op_type) for node in onnx.load(folder / "seen.onnx").graph.node}


def kinds(config: Path) -> set[tuple[str, str]]:
    """As the runtime's own build script reads them."""
    required, _ = parse_config(str(config))
    return {(domain, name) for domain, opsets in required.items() for names in opsets.values() for name in names}


Made = Callable[[str, bool], Optimised]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """By scheme, and whether the file in the runtime's own format is asked for; each is made once."""
    folder = tmp_path_factory.mktemp("made")
    return functools.cache(lambda scheme, ort: Optimised(folder / f"{scheme}-{ort}", scheme, ort=ort))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_ort_file_is_loaded_by_the_runtime_and_answers_as_the_onnx_file(scheme: str, made: Made) -> None:
    found = made(scheme, True)

    np.testing.assert_array_equal(answers(found.ort, {}), answers(found.model, found.session))
    feeds = {"image": inputs_of(IMAGES)}
    np.testing.assert_array_equal(run_onnx(found.ort, feeds), run_onnx(found.model, feeds, found.session))
    assert found.record.ort is not None
    assert found.record.ort.largest_difference == 0
    assert found.record.ort.size_bytes == found.ort.stat().st_size
    assert found.record.ort.sha256 == file_digest(found.ort)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_build_for_the_ort_file_holds_exactly_the_operators_after_optimisation(
    scheme: str, made: Made, tmp_path: Path
) -> None:
    found = made(scheme, True)

    assert kinds(found.operators) == kinds_run_here(found.model, found.session, tmp_path)
    recorded = {(key.partition(";")[0], name) for key, names in found.record.operators.items() for name in names}
    assert recorded == kinds(found.operators)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_build_for_the_onnx_file_also_holds_those_that_it_starts_from_and_passes_through(
    scheme: str, made: Made, tmp_path: Path
) -> None:
    found = made(scheme, False)
    stated = {(node.domain or "ai.onnx", node.op_type) for node in onnx.load(found.model).graph.node}
    run = kinds_run_here(found.model, found.session, tmp_path)

    assert kinds(found.operators) >= stated | run
    (tmp_path / "first.config").write_text(found.operators.read_text().partition("# what the file holds at load")[0])
    assert kinds(tmp_path / "first.config") == run
    assert not found.ort.exists()
    assert found.record.ort is None


def test_the_types_are_those_that_the_runtimes_own_build_script_understands(made: Made) -> None:
    operators = made("int8_qdq", False).operators
    assert 'QuantizeLinear{"outputs": {"0": ["uint8_t"]}}' in operators.read_text()

    required, types = parse_config(str(operators), enable_type_reduction=True)
    assert required == parse_config(str(operators))[0]
    assert types.is_typed_registration_needed("ai.onnx", "QuantizeLinear", "uint8_t")
    assert not types.is_typed_registration_needed("ai.onnx", "QuantizeLinear", "int8_t")


def test_equal_inputs_give_equal_bytes_in_other_processes_and_folders(made: Made, tmp_path: Path) -> None:
    first = made("fp32", True)
    for number in range(2):
        again = Optimised(tmp_path / f"{number}", "fp32", ort=True)
        assert again.ort.read_bytes() == first.ort.read_bytes()
        assert again.operators.read_bytes() == first.operators.read_bytes()


def test_the_file_holds_none_of_the_runtimes_notes_and_names(made: Made) -> None:
    found = made("int8_qdq", True)
    load_session(found.model, optimised=found.context.work / "noted.onnx")
    assert b"Added in" in (found.context.work / "noted.onnx").read_bytes()

    for word in (b"Added in", b"_token"):
        assert word not in found.ort.read_bytes()


def test_below_the_layout_optimisation_the_file_is_for_every_processor_and_else_that_is_said(
    made: Made, tmp_path: Path
) -> None:
    here = made("fp32", True)
    everywhere = Optimised(tmp_path / "everywhere", "fp32", ort=True, runtime={"optimisation": "extended"})

    assert everywhere.record.ort is not None
    assert not everywhere.record.ort.blocked
    assert everywhere.context.warnings == []
    assert not any(domain == "com.microsoft.nchwc" for domain, _ in kinds(everywhere.operators))
    np.testing.assert_array_equal(answers(everywhere.ort, {}), answers(everywhere.model, {}, "extended"))
    assert here.record.ort is not None
    assert here.record.ort.blocked == any(domain == "com.microsoft.nchwc" for domain, _ in kinds(here.operators))
    assert here.record.ort.blocked == any("runtime.optimisation: extended" in each for each in here.context.warnings)


def test_a_file_that_answers_otherwise_than_what_was_measured_does_not_ship(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="int8_qdq in ONNX Runtime's own format answers otherwise on here"):
        Optimised(tmp_path / "made", "int8_qdq", ort=True, wrong=0.01)


def test_a_runtime_that_cannot_say_what_it_makes_of_a_model_stops_nothing_unless_it_must(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "runtime": {"options": {"session.intra_op_thread_affinities": "nonsense"}, "threads": 2}
    }
    made = Optimised(tmp_path / "made", "fp32", **settings)

    assert made.record.refused
    assert made.record.operators == {}
    assert not made.operators.exists()
    assert len(made.context.warnings) == 1
    with pytest.raises(StageError):
        Optimised(tmp_path / "wanted", "fp32", ort=True, **settings)
