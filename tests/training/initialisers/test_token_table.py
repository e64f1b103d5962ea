"""A table that starts with what a teacher says of each word."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.models.base import blank_inputs
from edgekd.models.pretrained import Pretrained
from edgekd.records.contract import ModelContract
from edgekd.training.initialisers.base import Taken
from edgekd.training.initialisers.token_outputs import NOT_IN_TABLE, alone, principal, weights
from edgekd.training.initialisers.token_table import TokenTable
from edgekd.training.network import build_network
from tests.models.text_contracts import CUT, FULL, WORDS, mini_lm, model, save_bert, text_contract

KNOWN = len(WORDS)
STUDENTS = {"text_cnn": 8, "text_ngrams": 8, "text_transformer": 8}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    folder = save_bert(tmp_path_factory.mktemp("weights") / "bert")
    network = build_network(model("transformers", name=str(folder)), text_contract(), 0)
    assert isinstance(network, Pretrained)
    return network


def student_of(use: str = "text_cnn", contract: ModelContract | None = None, width: int = 8) -> nn.Module:
    return build_network(model(use, embedding_width=width), contract or text_contract(), 0)


def fill(
    student: nn.Module, teacher: nn.Module, contract: ModelContract | None = None, frequent: float | None = 1e-3
) -> Taken:
    contract = contract or text_contract()
    start = TokenTable(use="token_table", network="teacher", frequent=frequent)
    return start.fill(student, teacher, blank_inputs(contract, 2), 0, contract)


def table_of(student: nn.Module) -> Tensor:
    return student.get_parameter("table.entries.weight").detach()


@pytest.mark.parametrize("use", STUDENTS)
def test_the_table_and_nothing_else_is_filled_and_each_time_with_the_same(use: str, teacher: Pretrained) -> None:
    fresh, filled, again = (student_of(use) for _ in range(3))
    before, random_numbers = copy.deepcopy(teacher.train().state_dict()), torch.random.get_rng_state()
    taken = fill(filled, teacher)
    fill(again, teacher.eval())
    assert torch.equal(torch.random.get_rng_state(), random_numbers)
    assert all(torch.equal(each, before[name]) for name, each in teacher.state_dict().items())
    changed = {name for name, each in filled.state_dict().items() if not torch.equal(each, fresh.state_dict()[name])}
    assert changed == {"table.entries.weight"}
    assert taken.tensors == len(fresh.state_dict())
    assert taken.fresh == dict.fromkeys(set(fresh.state_dict()) - changed, NOT_IN_TABLE)
    assert torch.equal(table_of(filled), table_of(again))


@pytest.mark.parametrize("frequent", [None, 1e-3])
def test_an_entrys_numbers_are_the_weighted_principal_components_of_what_is_said_of_it_alone(
    teacher: Pretrained, frequent: float | None
) -> None:
    student = student_of()
    size = float(table_of(student).square().mean().sqrt())
    fill(student, teacher, frequent=frequent)
    said = []
    for word in WORDS:
        text = torch.tensor([[FULL.index("[CLS]"), FULL.index(word), FULL.index("[SEP]")]], dtype=torch.int32)
        with torch.no_grad():
            said.append(teacher.outputs(text)[0].numpy().mean(axis=0))
    expected = PCA(8, svd_solver="full").fit_transform(np.array(said, dtype=np.float64))
    if frequent is not None:
        zipf = 1 / np.arange(2, KNOWN + 2)
        expected *= (frequent / (frequent + zipf / zipf.sum()))[:, None]
    expected *= size / np.sqrt(np.mean(expected**2))
    found = table_of(student)[2 : 2 + KNOWN].numpy()
    signs = np.sign((found * expected).sum(axis=0))
    assert np.allclose(found, expected * signs, atol=1e-4 * size)
    others = torch.cat([table_of(student)[:2], table_of(student)[2 + KNOWN :]])
    assert len(others) == 258
    assert not others.any(), "padding, what is unknown, and bytes start at zero"


def test_bytes_before_the_words_change_nothing(teacher: Pretrained) -> None:
    """They stand there in a vocabulary that is cut, and are no frequent words."""
    words, cut = student_of(), student_of(contract=text_contract(ids=(*CUT[:2], *CUT[-256:], *WORDS)))
    fill(words, teacher)
    fill(cut, teacher, text_contract(ids=(*CUT[:2], *CUT[-256:], *WORDS)))
    one, other = table_of(words)[2 : 2 + KNOWN], table_of(cut)[-KNOWN:]
    assert torch.allclose(other * (one.norm() / other.norm()), one, atol=1e-6)


def test_components_are_those_of_scikit_learn_and_their_signs_do_not_depend_on_the_values_order() -> None:
    values = torch.randn(50, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values *= torch.linspace(1, 3, 20)
    mine, theirs = principal(values, 6), PCA(6, svd_solver="full").fit_transform(values.numpy())
    assert np.allclose(mine.abs().numpy(), np.abs(theirs), atol=1e-9)
    assert torch.allclose(principal(values.flip(0), 6).flip(0), mine, atol=1e-9)


def test_pieces_are_read_alone_whatever_their_number_in_one_go(teacher: Pretrained) -> None:
    pieces = [4, 5, 6] * 300
    together = alone(teacher, pieces, 2, 3)
    assert torch.allclose(together[:3], alone(teacher, [4, 5, 6], 2, 3), atol=1e-5)
    assert torch.equal(together[:3], together[3:6])
    assert not torch.allclose(alone(teacher, [4], -1, -1), together[:1], atol=1e-3)


def test_frequent_entries_weigh_less() -> None:
    given = weights(6000, 1e-3)
    assert (given.diff() > 0).all()
    chances = np.array([1 / (place + 2) for place in range(6000)])
    assert np.allclose(given, 1e-3 / (1e-3 + chances / chances.sum()))


def test_what_cannot_start_so_is_refused_in_one_line(teacher: Pretrained, tmp_path: Path) -> None:
    rows = nn.Sequential(nn.Linear(3, 3))
    for student, given, contract, words in (
        (student_of(), student_of("text_ngrams"), text_contract(), "teacher is a HashedNgrams, which reads no words"),
        (rows, teacher, text_contract(), r"the student \(Sequential\) has no table with the 270 entries"),
        (student_of(width=13), teacher, text_contract(), "the table has 13 numbers for each entry, and 12 outputs"),
        (student_of(), teacher, text_contract(pieces=None), "the data say of none"),
        (student_of(contract=text_contract(ids=("[PAD]", "[UNK]", "x"))), teacher,
         text_contract(ids=("[PAD]", "[UNK]", "x")), "teacher knows no entry of the vocabulary"),
    ):  # fmt: skip
        before = copy.deepcopy(student.state_dict())
        with pytest.raises(ConfigError, match=words) as caught:
            fill(student, given, contract)
        assert "\n" not in str(caught.value)
        assert caught.value.hint
        assert all(torch.equal(each, before[name]) for name, each in student.state_dict().items())


def test_words_of_like_meaning_are_near_in_a_table_of_the_real_weights() -> None:
    folder = mini_lm()
    vocabulary = tuple((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    alike = [("good", "great"), ("film", "movie"), ("boring", "dull"), ("actor", "actress"), ("funny", "hilarious")]
    words = [each for pair in alike for each in pair]
    others = [each for each in vocabulary[2000:3500] if each.isalpha() and len(each) > 3 and each not in words]
    contract = text_contract(ids=("[PAD]", "[UNK]", *words, *others), pieces=vocabulary)
    network = build_network(model("transformers", name=str(folder)), contract, 0)
    student = student_of(contract=contract, width=24)
    fill(student, network, contract)
    table = nn.functional.normalize(table_of(student)[2:], dim=1)
    similar = table @ table.T
    for place in range(0, len(words), 2):
        pair = float(similar[place, place + 1])
        rest = similar[place, len(words) :]
        assert pair > 0.5
        assert float((rest > pair).float().mean()) < 0.01, f"{words[place]} is nearer to other words"
