"""`edgekd quantize` through the real command, on models as other tools export them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.cli.test_bench import Done, Here
from tests.command import python

ROWS, CLASSES = 160, 4
IMAGES = np.random.default_rng(0).normal(size=(ROWS, 3, 12, 12)).astype(np.float32)
TARGET = "name: {name}\ndevice: local\nmeasure: {{seconds: 1, screen_seconds: 0.4}}\n"


def classifier(
    path: Path,
    *,
    shape: Sequence[int | str] = ("N", 3, "height", "width"),
    opset: int = 17,
    half: bool = False,
    before: Sequence[onnx.NodeProto] = (),
    after: Sequence[onnx.NodeProto] = (),
    outputs: Sequence[tuple[str, Sequence[int | str]]] = (("logits", ("N", CLASSES)),),
    constants_as_inputs: bool = False,
) -> Path:
    """image (N, 3, H, W) through a convolution, pooling and a product to logits (N, 4)."""
    generator = np.random.default_rng(1)
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    weights = {
        "w": generator.normal(0, 0.4, (16, 3, 3, 3)),
        "b": generator.normal(0, 0.4, 16),
        "m": generator.normal(0, 3, (16, CLASSES)),
    }
    nodes = [
        *before,
        helper.make_node("Conv", ["image", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["logits"]),
        *after,
    ]
    tensors = [numpy_helper.from_array(each.astype(dtype), name) for name, each in weights.items()]
    inputs = [helper.make_tensor_value_info("image", kind, shape)]
    if constants_as_inputs:
        inputs += [helper.make_tensor_value_info(each.name, kind, each.dims) for each in tensors]
    graph = helper.make_graph(
        nodes, "g", inputs, [helper.make_tensor_value_info(name, kind, sizes) for name, sizes in outputs], tensors
    )
    ir_version = 3 if constants_as_inputs else 8
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.save(model, path)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    np.save(tmp_path / "data.npy", IMAGES)
    (tmp_path / "here.yaml").write_text(TARGET.format(name="here"))
    return Here(tmp_path, monkeypatch, capsys)


def quantize(place: Here, *arguments: str | Path, data: str = "data.npy") -> Done:
    return place.edgekd("quantize", "m.onnx", "--calibration", data, "--target", "here.yaml", "--out", "o", *arguments)


def report(place: Here) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((place.folder / "o" / "report.json").read_text())
    return content


def answers(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, feeds)[0]
    return np.asarray(found.argmax(axis=1))


def test_without_labels_candidates_are_held_to_the_predictions_of_the_fp32_model(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    done = quantize(place, "--keep-all", "--max-drop", "0.5")
    assert done.returncode == 0, done.stderr
    assert "samples: 40 for calibration, 120 others for validation" in done.stderr
    assert "agreement" in done.stdout
    found = report(place)
    rows = {each["name"]: each for each in found["targets"]["here"]["candidates"]}
    assert rows["fp32"]["agreement"] == 1.0
    assert found["samples"] == {"calibration": 40, "validation": 120}
    kept = {path.name for path in (place.folder / "o").glob("*.onnx")}
    assert {"m.fp32.onnx", "m.int8_qdq.onnx", "m.int8_weights.onnx"} <= kept
    low, high = rows["int8_qdq"]["agreement_interval"]
    assert low < rows["int8_qdq"]["agreement"] <= high
    chosen = found["targets"]["here"]["file"]
    assert chosen in kept
    assert [each["name"] for each in rows.values() if each["ships"]] == [found["targets"]["here"]["chosen"]]
    same = answers(place.folder / "o" / "m.fp32.onnx", {"image": IMAGES})
    np.testing.assert_array_equal(same, answers(place.folder / "m.onnx", {"image": IMAGES}))


def test_with_labels_it_is_accuracy_that_counts(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    labels = answers(place.folder / "m.onnx", {"image": IMAGES})
    labels[:16] = (labels[:16] + 1) % CLASSES
    np.save(place.folder / "labels.npy", labels)
    done = quantize(place, "--labels", "labels.npy", "--max-drop", "0.5", "--no-repair", "--json")
    found = json.loads(done.stdout)
    rows = {each["name"]: each for each in found["targets"]["here"]["candidates"]}
    assert found["judged_by"] == "labels"
    assert 0.8 < rows["fp32"]["accuracy"] < 1
    assert "drop_interval" in rows["int8_qdq"]


def test_too_few_samples_for_the_limit_leave_it_undecided_and_the_file_is_there(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    done = quantize(place, "--objective", "size", "--max-drop", "0.02", "--no-repair", "--seconds", "4")
    chosen = report(place)["targets"]["here"]
    assert done.returncode == 3
    assert chosen["outcome"] == "undecided"
    assert "more samples would tell" in done.stdout
    assert (place.folder / "o" / chosen["file"]).is_file()


def test_where_nothing_may_ship_nothing_is_written_but_the_report(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    (place.folder / "here.yaml").write_text(TARGET.format(name="here") + "limits: {model_bytes: 10}\n")
    done = quantize(place, "--no-repair")
    assert done.returncode == 1
    assert "no candidate may ship" in done.stdout
    assert [path.name for path in (place.folder / "o").iterdir()] == ["report.json"]


def test_each_target_gets_its_own_choice_and_session_options_are_told(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    (place.folder / "there.yaml").write_text(TARGET.format(name="there"))
    done = quantize(place, "--target", "there.yaml", "--max-drop", "1", "--objective", "size", "--no-repair")
    found = report(place)["targets"]
    assert set(found) == {"here", "there"}
    for each in found.values():
        for key in each["session"]:
            assert f'options.add_session_config_entry("{key}"' in done.stdout


VARIANTS: dict[str, Callable[[Path], Path]] = {
    "a fixed batch": lambda path: classifier(path, shape=(8, 3, 12, 12), outputs=[("logits", (8, CLASSES))]),
    "sizes of -1": lambda path: classifier(path, shape=(-1, 3, -1, -1), outputs=[("logits", (-1, CLASSES))]),
    "operator set 9": lambda path: classifier(path, opset=9, constants_as_inputs=True),
    "float16": lambda path: classifier(path, half=True),
    "several outputs": lambda path: classifier(path, outputs=[("r", ("N", 16, "h", "w")), ("logits", ("N", CLASSES))]),
    "a softmax": lambda path: classifier(
        path,
        after=[helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1)],
        outputs=[("probabilities", ("N", CLASSES))],
    ),
}


@pytest.mark.parametrize("kind", VARIANTS)
def test_exports_of_every_form_are_taken(place: Here, kind: str) -> None:
    VARIANTS[kind](place.folder / "m.onnx")
    done = quantize(place, "--no-repair", "--max-drop", "1", "--keep-all")
    assert done.returncode == 0, done.stderr
    found = report(place)
    made = {name for name, each in found["candidates"].items() if each["file"] is not None}
    assert {"fp32", "int8_qdq", "int8_qoperator", "int8_weights", "fp16_weights"} <= made
    onnx.checker.check_model(onnx.load(place.folder / "o" / "m.int8_qdq.onnx"), full_check=True)
    if kind == "float16":
        assert any("float16 is made float32" in note for note in found["notes"])
    if kind == "operator set 9":
        assert any("operator set 9 is made 13" in note for note in found["notes"])
    if kind == "a softmax":
        graph = onnx.load(place.folder / "o" / "m.int8_qdq.onnx").graph
        before = {output: node.op_type for node in graph.node for output in node.output}
        (softmax,) = [node for node in graph.node if node.op_type == "Softmax"]
        assert before[softmax.input[0]] == "MatMul"
    if kind == "several outputs":
        assert found["output"] == "logits"
        assert "left out: r" in found["notes"][0]


def test_external_data_comes_into_the_file(place: Here) -> None:
    model = onnx.load(classifier(place.folder / "plain.onnx"))
    onnx.save(model, place.folder / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    assert (place.folder / "m.bin").is_file()
    assert quantize(place, "--no-repair", "--max-drop", "1").returncode == 0
    assert not list((place.folder / "o").glob("*.bin"))


def test_a_model_of_tokens_is_fed_from_arrays_by_name(place: Here) -> None:
    generator = np.random.default_rng(2)
    tensors: dict[str, np.ndarray] = {
        "table": generator.normal(0, 1, (50, 16)).astype(np.float32),
        "m": generator.normal(0, 1, (16, 3)).astype(np.float32),
        "last": np.array([-1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["e"]),
        helper.make_node("Cast", ["attention_mask"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["a", "last"], ["k"]),
        helper.make_node("Mul", ["e", "k"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["p"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["p", "m"], ["logits"]),
    ]
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ("batch", "sequence")) for name in names]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 3))
    constants = [numpy_helper.from_array(each, name) for name, each in tensors.items()]
    graph = helper.make_graph(nodes, "g", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "m.onnx")
    ids = generator.integers(0, 50, (200, 12)).astype(np.int32)
    np.savez("data.npz", input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=ids)
    done = quantize(place, "--no-repair", "--max-drop", "1", data="data.npz")
    assert done.returncode == 0, done.stderr
    assert report(place)["classes"] == 3


def images(folder: Path, classes: Sequence[str], each: int) -> None:
    generator = np.random.default_rng(3)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def test_images_in_class_folders_bring_their_labels_and_say_how_they_are_fed(place: Here) -> None:
    classifier(place.folder / "m.onnx", shape=("N", 3, 12, 12))
    images(place.folder / "photos", ["ant", "bee", "cow", "dog"], 10)
    done = quantize(place, "--no-repair", "--max-drop", "1", data="photos")
    assert done.returncode == 0, done.stderr
    found = report(place)
    assert found["judged_by"] == "labels"
    assert "images: 12 x 12 (scaled to it), (pixel / 255 - mean) / std with mean 0.485, 0.456, 0.406 (default)" in (
        " ".join(found["notes"])
    )


def test_images_without_class_folders_and_open_sizes_come_with_the_size_that_is_given(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    images(place.folder / "photos", ["."], 24)
    done = quantize(
        place, "--no-repair", "--max-drop", "1", "--size", "10x14", "--mean", "0", "--std", "1", data="photos"
    )
    assert done.returncode == 0, done.stderr
    found = report(place)
    assert found["judged_by"] == "fp32"
    assert "images: 10 x 14 (scaled to it), (pixel / 255 - mean) / std with mean 0, 0, 0, std 1, 1, 1" in found["notes"]


def test_fewer_class_folders_than_classes_are_no_labels_unless_they_are_numbers(place: Here) -> None:
    from edgekd.data.model_inputs import labels_of_folders

    labels, _ = labels_of_folders(["10", "9", "10"], 1000)
    assert labels is not None
    assert labels.tolist() == [10, 9, 10]
    assert labels_of_folders(["ant", "bee"], 1000)[0] is None
    assert labels_of_folders(["1", "²"], 1000)[0] is None


def test_an_open_batch_that_takes_one_sample_alone_is_fed_so(place: Here) -> None:
    reshape = [helper.make_node("Reshape", ["logits", "one"], ["scores"])]
    classifier(place.folder / "m.onnx", after=reshape, outputs=[("scores", (1, CLASSES))], opset=11)
    model = onnx.load(place.folder / "m.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, CLASSES]), "one"))
    onnx.save(model, place.folder / "m.onnx")
    done = quantize(place, "--no-repair", "--max-drop", "1", "--keep-all")
    assert done.returncode == 0, done.stderr
    found = report(place)
    assert "model: it leaves its batch open and fails with two samples: it is fed one at a time" in found["notes"]
    rows = {each["name"]: each for each in found["targets"]["here"]["candidates"]}
    assert rows["int8_qdq"]["samples"] > 0


def test_labels_that_do_not_belong_to_the_model_are_told(place: Here) -> None:
    classifier(place.folder / "m.onnx")
    labels = answers(place.folder / "m.onnx", {"image": IMAGES})
    np.save("right.npy", labels)
    np.save("other.npy", (labels + 1) % CLASSES)
    for name, told in (("right.npy", False), ("other.npy", True)):
        quantize(place, "--labels", name, "--no-repair", "--max-drop", "1")
        doubts = [note for note in report(place)["notes"] if "guessing" in note]
        assert bool(doubts) == told
    assert "fp32 itself is right on 0.00 % of" in doubts[0]
    assert "and guessing on 25.00 %" in doubts[0]


def quantized(path: Path) -> None:
    classifier(path, before=[], after=[helper.make_node("QuantizeLinear", ["logits", "s", "z"], ["q"])])
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "s"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(128, np.uint8), "z"))
    onnx.save(model, path)


def damaged(path: Path) -> None:
    path.write_bytes(b"\x08no model at all")


BAD: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "no file": (lambda _: None, [], "cannot read the model m.onnx"),
    "no model": (damaged, [], "is not an ONNX model"),
    "quantized": (quantized, [], "is quantized already: it has 1 QuantizeLinear"),
    "no classes": (
        lambda path: classifier(path, outputs=[("r", ("N", 16, "h", "w"))]), [], "m.onnx is no classifier: for",
    ),
    "no such output": (classifier, ["--output", "probs"], "--output probs: m.onnx has logits"),
    "other shape": (lambda path: classifier(path, shape=("N", 3, 9, 9)), [], "input 'image' takes (N, 3, 9, 9)"),
    "no such data": (classifier, ["--calibration", "gone.npy"], "no such file: gone.npy"),
    "no such folder": (classifier, ["--calibration", "gone"], "gone: expected .npy, .npz, or a folder or .tar"),
    "mean of arrays": (classifier, ["--mean", "0"], "--mean, --std and --size are for images"),
    "mean": (classifier, ["--mean", "grey"], "--mean grey: expected numbers"),
    "std": (classifier, ["--std", "0"], "--std 0: expected numbers above 0"),
    "mean without a value": (classifier, ["--mean", "nan"], "--mean nan: expected numbers"),
    "std without end": (classifier, ["--std", "inf"], "--std inf: expected numbers"),
    "size": (classifier, ["--size", "big"], "--size big: expected pixels"),
    "size in a digit that is no number": (classifier, ["--size", "²"], "--size ²: expected pixels"),
    "labels": (classifier, ["--labels", "long.npy"], "long.npy: 3 labels for 160 samples"),
    "classes": (classifier, ["--labels", "high.npy"], "labels go from 0 to 159, the model has classes 0 to 3"),
    "two of one name": (classifier, ["--target", "here.yaml"], "two targets are named 'here'"),
    "too few": (classifier, ["--calibration", "few.npy"], "2 samples are too few"),
    "pixels": (classifier, ["--calibration", "pixels.npy"], "takes float32, the file holds uint8"),
    "out": (classifier, ["--out", "data.npy"], "--out data.npy: that is a file"),
    "seconds": (classifier, ["--seconds", "0"], "--seconds 0: expected a time above 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_a_line(place: Here, case: str) -> None:
    make, arguments, told = BAD[case]
    make(place.folder / "m.onnx")
    np.save("long.npy", np.zeros(3, np.int64))
    np.save("high.npy", np.arange(ROWS))
    np.save("few.npy", IMAGES[:2])
    np.save("pixels.npy", IMAGES.astype(np.uint8))
    done = quantize(place, *arguments)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place.folder / "o").exists()


def test_it_needs_no_torch(tmp_path: Path) -> None:
    classifier(tmp_path / "m.onnx")
    np.save(tmp_path / "data.npy", IMAGES)
    program = """
import sys
sys.argv = ["edgekd", "quantize", sys.argv[1] + "/m.onnx", "--calibration", sys.argv[1] + "/data.npy",
            "--out", sys.argv[1] + "/o", "--seconds", "1", "--max-drop", "1", "--json"]
from edgekd.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
assert not {"torch", "torchvision", "sklearn"} & set(sys.modules)
"""
    assert json.loads(python(program, str(tmp_path)))["judged_by"] == "fp32"
