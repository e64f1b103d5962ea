"""What every network for texts must do: padding says nothing, and any length can be exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.models.base import blank_inputs
from edgekd.models.text_network import trimmed
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.network import build_network, count_parameters

from .text_contracts import CUT, FULL, model, save_bert, some, text_contract

OPTIONS: dict[str, dict[str, Any]] = {
    "text_cnn": {},
    "text_cnn of everything": {"pooling": "both", "bag": True, "projection": 32, "kernels": [1, 2, 5]},
    "text_cnn of means": {"pooling": "mean", "embedding_dropout": 0.5},
    "text_ngrams": {},
    "text_ngrams of three": {"ngrams": 3, "buckets": 50},
    "text_ngrams of words": {"ngrams": 1},
    "text_transformer": {},
    "text_transformer of one width": {"embedding_width": None, "depth": 1, "heads": 2, "width": 16},
    "transformers": {"name": "bert"},
    "transformers of the first": {"name": "bert", "pooling": "first"},
}
Make = Callable[..., nn.Module]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_bert(folder / "bert")
    return folder


@pytest.fixture(params=OPTIONS)
def make(request: pytest.FixtureRequest, bert: Path) -> Make:
    """A network for a contract, whose weights say something: with fresh ones some would hardly see their input."""
    use = str(request.param).partition(" ")[0]

    def made(contract: ModelContract, seed: int = 0) -> nn.Module:
        network = build_network(model(use, folder=bert, **OPTIONS[request.param]), contract, seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for each in network.parameters():
                each.add_(torch.randn(each.shape, generator=generator) * 0.1)
        return network

    return made


def texts(contract: ModelContract, lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    return some(lengths, contract.shape[0], len(CUT), seed), some(lengths, contract.shape[0], len(FULL), seed + 1)


def test_the_answer_does_not_depend_on_what_fills_a_text_up(make: Make) -> None:
    short, long = text_contract(12), text_contract(24)
    inputs = texts(short, [12, 5, 1, 7])
    twice = [nn.functional.pad(each, (0, 12)) for each in inputs]
    one, other = make(short), make(long)
    for name, value in other.state_dict().items():
        value[: len(one.state_dict()[name])] = one.state_dict()[name]  # only positions are more for longer texts
    with torch.no_grad():
        expected = one(*inputs)
        assert torch.allclose(other(*twice), expected, atol=1e-6)
        # alone, without the longer ones beside it, and as it is exported: not trimmed to the longest
        for row in range(4):
            alone = other(*(each[row : row + 1] for each in twice))
            assert torch.allclose(alone, expected[row : row + 1], atol=1e-6)
        program = torch.export.export(other, tuple(twice))
        assert torch.allclose(program.module()(*twice), expected, atol=1e-6)
    assert expected.std(dim=0).min() > 1e-3, "the network does not see its input"


def test_a_text_of_nothing_has_an_answer(make: Make) -> None:
    contract = text_contract()
    network = make(contract)
    with torch.no_grad():
        assert torch.isfinite(network(*blank_inputs(contract, 3))).all()


def test_a_network_learns_with_all_of_its_weights_and_depends_on_its_seed_alone(make: Make) -> None:
    contract = text_contract()
    network = make(contract).train()
    loss = network(*texts(contract, [12, 8, 3, 2])).square().sum()
    loss.backward()
    assert all(each.grad is not None for each in network.parameters()), "some weights can never learn"
    states = [make(contract, seed).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())
    assert any(not torch.equal(one, states[2][name]) for name, one in states[0].items())


def test_a_file_takes_batches_and_texts_of_any_length(make: Make, tmp_path: Path) -> None:
    contract = text_contract(32)
    network = make(contract)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=1, max=32)
    program = torch.onnx.export(
        network,
        blank_inputs(contract, 2),
        input_names=["ids", "pieces"],
        output_names=["logits"],
        opset_version=18,
        dynamo=True,
        dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
        verbose=False,
    )
    assert program is not None
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for samples, longest in ((1, 1), (1, 2), (3, 5), (2, 32), (7, 17)):
        lengths = [max(1, longest - row) for row in range(samples)]
        inputs = texts(text_contract(longest), lengths, seed=longest)
        fed = {name: each.numpy() for name, each in zip(("ids", "pieces"), inputs, strict=True)}
        given = session.run(None, {each.name: fed[each.name] for each in session.get_inputs()})[0]
        with torch.no_grad():
            assert np.allclose(given, network(*inputs), atol=1e-4)


def test_a_batch_is_computed_as_far_as_its_longest_text_goes() -> None:
    assert torch.equal(trimmed(torch.tensor([[1, 2, 0, 0], [1, 0, 3, 0]])), torch.tensor([[1, 2, 0], [1, 0, 3]]))
    assert trimmed(torch.zeros(2, 5, dtype=torch.int32)).shape == (2, 1)
    network = build_network(model("text_cnn"), text_contract(64), 0)
    seen: list[tuple[int, ...]] = []
    network.get_submodule("table").register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))
    network(some([3, 9], 64, 100))
    assert seen == [(2, 9, 24)]


def test_a_network_of_ids_does_not_ask_for_pieces_and_reads_only_its_own() -> None:
    for use in ("text_cnn", "text_ngrams", "text_transformer"):
        both, alone = text_contract(), text_contract(pieces=None)
        networks = [build_network(model(use), each, 0) for each in (both, alone)]
        ids, pieces = texts(both, [12, 4])
        with torch.no_grad():
            assert torch.equal(networks[0](ids, pieces), networks[1](ids))
            assert torch.equal(networks[0](ids, pieces.flip(0)), networks[1](ids))


@pytest.mark.parametrize("use", ["text_cnn", "text_ngrams", "text_transformer"])
def test_a_network_for_texts_says_that_rows_are_none(use: str) -> None:
    rows = ModelContract(modality="vector", inputs=(InputSpec(name="input", shape=(4,)),), classes=("a", "b"))
    with pytest.raises(ConfigError, match=f"the model {use} reads texts, and these samples are of the kind 'vector'"):
        model(use).build(rows)


V = len(CUT)


@pytest.mark.parametrize(
    ("use", "options", "parameters"),
    [
        ("text_cnn", {}, V * 24 + 14 * 24 * 64 + 4 * 64 + 256 * 3 + 3),
        ("text_cnn", {"kernels": [3], "channels": 8, "pooling": "both", "bag": True}, V * 24 + 584 + (16 + 24) * 3 + 3),
        ("text_cnn", {"kernels": [2], "channels": 4, "projection": 32}, V * 24 + 24 * 32 + 64 * 4 + 4 + 15),
        ("text_ngrams", {"buckets": 100}, V * 16 + 100 * 16 + 16 * 3 + 3),
        ("text_ngrams", {"ngrams": 1, "embedding_width": 4}, V * 4 + 4 * 3 + 3),
        (
            "text_transformer",
            {"width": 8, "heads": 2, "feed_forward": 16, "depth": 1, "embedding_width": 4},
            V * 4 + 4 * 8 + 12 * 8 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 3 * 16 + 8 * 3 + 3,
        ),
    ],
)
def test_parameters_are_as_counted_by_hand(use: str, options: dict[str, Any], parameters: int) -> None:
    assert count_parameters(model(use, **options).build(text_contract(12))) == parameters
