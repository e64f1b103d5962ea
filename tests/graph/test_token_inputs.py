"""A text network with the inputs that transformers give, random and small, but theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import ConfigError
from edgekd.graph.adopt import adopt
from edgekd.graph.runtime import run_onnx
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.teachers.onnx import OnnxTeacher

NAMES = ("input_ids", "attention_mask", "token_type_ids")
CONTRACT = ModelContract(
    modality="text",
    inputs=(
        InputSpec(name="ids", dtype="int32", shape=(9,), varies=True, preprocessing={"first": -1}),
        InputSpec(
            name="pieces",
            dtype="int32",
            shape=(12,),
            varies=True,
            preprocessing={"first": 2, "last": 3, "vocabulary": [str(each) for each in range(50)]},
        ),
    ),
    classes=("a", "b", "c"),
)


class Named(nn.Module):
    def __init__(self) -> None:
        from transformers import BertConfig, BertForSequenceClassification

        super().__init__()
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=20,
            max_position_embeddings=32,
            num_labels=3,  # type: ignore[call-arg]  # it takes more than it declares
        )
        self.bert = BertForSequenceClassification(config)
        self.bert.train(False)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        logits: torch.Tensor = self.bert(**given).logits
        return logits


def exported(path: Path, free: dict[int, torch.export.Dim]) -> Path:
    """free: the dimensions that a call may choose."""
    torch.onnx.export(
        Named().train(False),
        tuple(torch.ones(2, 12, dtype=torch.int64) for _ in NAMES),
        path,
        input_names=list(NAMES),
        output_names=["logits"],
        dynamo=True,
        external_data=False,
        dynamic_shapes=tuple(free for _ in NAMES),
        verbose=False,
    )
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=32)}
    return exported(tmp_path_factory.mktemp("bert") / "bert.onnx", free)


def pieces(length: int = 12) -> NDArray[np.int32]:
    """Texts of 3 to 10 pieces, filled up with zeros."""
    generator = np.random.default_rng(0)
    found = generator.integers(1, 50, (20, length)).astype(np.int32)
    found[np.arange(length) >= generator.integers(3, 11, (20, 1))] = 0
    return found


def expected(given: NDArray[np.int32]) -> NDArray[np.float32]:
    ids = torch.from_numpy(given).long()
    with torch.no_grad():
        logits: NDArray[np.float32] = Named()(ids, (ids != 0).long(), torch.zeros_like(ids)).numpy()
    return logits


def test_a_file_of_transformers_takes_the_pieces_of_the_contract_alone(file: Path, tmp_path: Path) -> None:
    adopt(file, CONTRACT, tmp_path / "model.onnx")

    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == ["pieces"]
    assert run_onnx(tmp_path / "model.onnx", {"pieces": pieces()}) == pytest.approx(expected(pieces()), abs=1e-4)


def test_what_fills_a_text_up_changes_no_answer(file: Path, tmp_path: Path) -> None:
    adopt(file, CONTRACT, tmp_path / "model.onnx")
    long = np.concatenate([pieces(), np.zeros((20, 10), np.int32)], axis=1)
    assert run_onnx(tmp_path / "model.onnx", {"pieces": long}) == pytest.approx(expected(pieces()), abs=1e-4)


def test_such_a_teacher_answers_what_it_answers_there(file: Path) -> None:
    teacher = OnnxTeacher(use="onnx", path=file)
    feeds = {"ids": np.zeros((20, 9), np.int32), "pieces": pieces()}
    assert teacher.open(CONTRACT)(feeds) == pytest.approx(expected(pieces()), abs=1e-4)


def test_without_a_vocabulary_of_the_teachers_it_is_given_no_other_numbers(file: Path, tmp_path: Path) -> None:
    students = CONTRACT.model_copy(update={"inputs": CONTRACT.inputs[:1]})
    with pytest.raises(
        ConfigError, match=r"takes the pieces of words \(input_ids\), and the data say of none"
    ) as error:
        OnnxTeacher(use="onnx", path=file).open(students)
    assert "tokenizer: {vocabulary" in str(error.value.hint)
    assert not (tmp_path / "model.onnx").exists()


def test_another_vocabulary_than_its_own_is_told(file: Path, tmp_path: Path) -> None:
    rules = {**CONTRACT.inputs[1].preprocessing, "vocabulary": ["a", "b", "c"]}
    other = CONTRACT.inputs[1].model_copy(update={"preprocessing": rules})
    contract = CONTRACT.model_copy(update={"inputs": (CONTRACT.inputs[0], other)})
    with pytest.raises(ConfigError, match="trained with a vocabulary of 50 pieces, the one of the data has 3"):
        adopt(file, contract, tmp_path / "model.onnx")


def test_a_file_of_one_length_is_refused_where_shorter_texts_may_come(tmp_path: Path) -> None:
    path = exported(tmp_path / "fixed.onnx", {0: torch.export.Dim("batch")})
    with pytest.raises(ConfigError, match="takes 12 places only, where shorter ones may come"):
        OnnxTeacher(use="onnx", path=path).open(CONTRACT)
