from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.teachers.onnx import OnnxTeacher

from .conftest import CLASSES, CONTRACT, SHAPE, WEIGHT, expected, feeds, write_onnx

FLOAT = TensorProto.FLOAT


def teacher(path: Path) -> OnnxTeacher:
    return OnnxTeacher(use="onnx", path=path)


def test_it_answers_as_the_file_does_whatever_its_input_is_called(linear_onnx: Path) -> None:
    answer = teacher(linear_onnx).open(CONTRACT)(feeds())
    assert answer.dtype == np.float32
    assert answer == pytest.approx(expected(feeds()), abs=1e-5)
    assert teacher(linear_onnx).model_file == linear_onnx


def test_a_file_exported_for_one_sample_is_asked_one_by_one(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "one.onnx", inputs=[("x", FLOAT, (1, *SHAPE))])
    answer = teacher(path).open(CONTRACT)(feeds(7))
    assert answer.shape == (7, CLASSES)
    assert answer == pytest.approx(expected(feeds(7)), abs=1e-5)


def test_several_inputs_are_fed_by_their_names(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "two.onnx", inputs=[("b", FLOAT, ("N", *SHAPE)), ("a", FLOAT, ("N", *SHAPE))])
    contract = ModelContract(
        modality="image",
        inputs=(InputSpec(name="a", shape=SHAPE), InputSpec(name="b", shape=SHAPE)),
        classes=CONTRACT.classes,
    )
    image = feeds()["image"]
    answer = teacher(path).open(contract)({"a": image, "b": 2 * image})
    assert answer == pytest.approx(3 * expected(feeds()), abs=1e-4)


def test_of_several_outputs_the_one_called_as_the_contracts_is_taken(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "two.onnx", outputs=("other", "logits"))
    assert teacher(path).open(CONTRACT)(feeds()) == pytest.approx(expected(feeds()), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"inputs": [("x", FLOAT, ("N", 2, 3, 4))], "weight": WEIGHT[:1].repeat(24, 0)},
            r"its input 'x' takes \(N, 2, 3, 4\), the data gives \(N, 2, 3, 3\)$",
        ),
        ({"inputs": [("x", FLOAT, ("N", 18))]}, r"its input 'x' takes \(N, 18\), the data gives \(N, 2, 3, 3\)$"),
        ({"inputs": [("x", FLOAT, (8, *SHAPE))]}, "its input 'x' takes batches of 8 only$"),
        (
            {"inputs": [("x", TensorProto.UINT8, ("N", *SHAPE))]},
            r"its input 'x' is tensor\(uint8\), the data gives tensor\(float\)$",
        ),
        (
            {"inputs": [("x", FLOAT, ("N", *SHAPE)), ("z", FLOAT, ("N", *SHAPE))]},
            "its inputs are x, z, the data gives image$",
        ),
        ({"weight": WEIGHT[:, :3]}, r"its output 'y' is \(N, 3\), the data has 4 classes$"),
        ({"outputs": ("y", "z")}, "its outputs are y, z, none is called 'logits'$"),
    ],
)
def test_a_file_that_does_not_fit_the_data_is_refused_when_opened_in_one_line(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    path = write_onnx(tmp_path / "other.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=words) as error:
        teacher(path).open(CONTRACT)
    assert error.value.what.startswith(f"{path}: ")
    assert "\n" not in error.value.what


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 100], ids=str)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match="ONNX Runtime cannot load it") as error:
        teacher(tmp_path / "broken.onnx").open(CONTRACT)
    assert "\n" not in error.value.what


def test_a_file_that_fixes_its_batch_inside_is_refused_in_one_line(tmp_path: Path) -> None:
    model = onnx.load(write_onnx(tmp_path / "fixed.onnx"))
    (flatten,) = (node for node in model.graph.node if node.op_type == "Flatten")
    flatten.CopyFrom(helper.make_node("Reshape", ["float", "shape"], ["flat"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 18]), "shape"))
    onnx.save(model, tmp_path / "fixed.onnx")
    answerer = teacher(tmp_path / "fixed.onnx").open(CONTRACT)
    assert answerer(feeds(1)) == pytest.approx(expected(feeds(1)), abs=1e-5)
    with pytest.raises(ConfigError, match="ONNX Runtime cannot run it on a batch of 5: ") as error:
        answerer(feeds())
    assert error.value.what.startswith(f"{tmp_path}/fixed.onnx: ")
    assert "\n" not in error.value.what
    assert "batch" in str(error.value.hint)


def test_probabilities_are_refused_and_their_logarithms_are_not(tmp_path: Path) -> None:
    soft = write_onnx(tmp_path / "soft.onnx", last="Softmax")
    with pytest.raises(ConfigError, match=r"^soft.onnx answers with probabilities, expected logits$"):
        teacher(soft).open(CONTRACT)(feeds())
    logs = write_onnx(tmp_path / "logs.onnx", last="LogSoftmax")
    assert np.exp(teacher(logs).open(CONTRACT)(feeds())).sum(axis=1) == pytest.approx(1)


def test_the_path_is_from_the_folder_of_the_file_that_names_it(linear_onnx: Path, tmp_path: Path) -> None:
    given = {"use": "onnx", "path": "teacher.onnx"}
    found = OnnxTeacher.model_validate(given, context={"folder": tmp_path})
    assert found.open(CONTRACT)(feeds()) == pytest.approx(expected(feeds()), abs=1e-5)
    with pytest.raises(ValidationError, match="no such file"):
        OnnxTeacher.model_validate(given, context={"folder": tmp_path / "elsewhere"})


def test_its_identity_is_its_content_wherever_it_lies(linear_onnx: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "renamed.onnx"
    moved.parent.mkdir()
    shutil.copy(linear_onnx, moved)
    assert teacher(moved).identity() == teacher(linear_onnx).identity()
    assert str(tmp_path) not in json.dumps(teacher(linear_onnx).identity())
    other = write_onnx(tmp_path / "other.onnx", weight=2 * WEIGHT)
    assert teacher(other).identity() != teacher(linear_onnx).identity()


def test_its_external_data_is_part_of_its_identity(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "large.onnx", external="large.bin")
    before = teacher(path).identity()
    assert teacher(path).open(CONTRACT)(feeds()) == pytest.approx(expected(feeds()), abs=1e-5)
    (tmp_path / "large.bin").write_bytes((2 * WEIGHT).tobytes())
    assert teacher(path).identity() != before
    assert teacher(path).open(CONTRACT)(feeds()) == pytest.approx(2 * expected(feeds()), abs=1e-4)


def test_a_file_with_a_normalisation_of_its_own_is_fed_with_it(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "own.onnx")
    preprocessing = {"mean": [0.2, 0.4], "std": [0.5, 2.0]}
    contract = ModelContract(
        modality="image",
        inputs=(InputSpec(name="image", shape=SHAPE, preprocessing=preprocessing),),
        classes=CONTRACT.classes,
    )
    own = OnnxTeacher(use="onnx", path=path, mean=(0.485, 0.456), std=(0.229, 0.224))
    pixels = np.random.default_rng(2).random((5, *SHAPE)).astype(np.float32)

    def normalised(mean: list[float], std: list[float]) -> Feeds:
        form = (1, 2, 1, 1)
        return {"image": ((pixels - np.reshape(mean, form)) / np.reshape(std, form)).astype(np.float32)}

    answer = own.open(contract)(normalised([0.2, 0.4], [0.5, 2.0]))
    assert answer == pytest.approx(expected(normalised([0.485, 0.456], [0.229, 0.224])), abs=1e-3)
    assert own.identity() != OnnxTeacher(use="onnx", path=path).identity()


def test_a_mean_without_its_deviation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="mean and std belong together"):
        OnnxTeacher(use="onnx", path=write_onnx(tmp_path / "own.onnx"), mean=(0.5, 0.5))
