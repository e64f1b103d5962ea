"""What is particular about convolutions over the words of a text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from edgekd.models.ngram_convolutions import NgramConvolutions
from edgekd.models.text_network import WordDropout
from edgekd.training.network import build_network
from edgekd.training.replicas import obstacle

from .text_contracts import CUT, model, some, text_contract


def convolutions(**options: Any) -> NgramConvolutions:
    network = build_network(model("text_cnn", **options), text_contract(), 0)
    assert isinstance(network, NgramConvolutions)
    return network


@pytest.mark.parametrize("pooling", ["max", "mean", "both"])
def test_a_convolution_is_pooled_over_the_windows_around_each_word_of_the_text(pooling: str) -> None:
    network = convolutions(kernels=[3], channels=5, pooling=pooling, bag=True)
    text = some([7], 12, len(CUT))
    with torch.no_grad():
        words = network.table(text[0, :7])  # word by word, by hand
        weight, bias = (network.get_parameter(f"convolutions.0.{each}") for each in ("weight", "bias"))
        around = functional.pad(words.T, (1, 1))
        values = torch.stack([(weight * around[:, at : at + 3]).sum(dim=(1, 2)) + bias for at in range(7)]).clamp(min=0)
        pooled = {"max": [values.amax(0)], "mean": [values.mean(0)], "both": [values.amax(0), values.mean(0)]}[pooling]
        expected = network.head(torch.cat([*pooled, words.mean(0)]))
        assert torch.allclose(network(text)[0], expected, atol=1e-5)


def test_a_convolution_that_is_negative_on_the_whole_text_counts_zero_and_padding_does_not_win() -> None:
    network = convolutions(kernels=[2], channels=4)
    with torch.no_grad():
        bias = network.get_parameter("convolutions.0.bias")
        bias.fill_(-1000)
        assert torch.allclose(network(some([5], 12, len(CUT))), network.head.bias)
        bias.fill_(0)
        network.get_parameter("convolutions.0.weight").fill_(-1)
        network.get_parameter("table.entries.weight").fill_(
            1
        )  # every word is negative; nothing there would be 0, and more
        assert torch.allclose(network(some([5], 12, len(CUT))), network.head.bias)


def test_whole_words_are_left_out_in_training_and_none_afterwards() -> None:
    torch.manual_seed(0)
    layer = WordDropout(0.25)
    values = torch.ones(200, 50, 3)
    left = layer.train()(values)
    assert torch.equal(left[..., 0], left[..., 2])
    assert left.unique().tolist() == [0, pytest.approx(1 / 0.75)]
    assert float((left[..., 0] == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(layer.eval()(values), values)


@pytest.mark.parametrize("use", ["text_cnn", "text_ngrams", "text_transformer"])
@pytest.mark.parametrize(("dropout", "embedding_dropout"), [(0.5, 0), (0, 0), (0, 0.2)])
def test_a_batch_can_be_computed_in_shards(use: str, dropout: float, embedding_dropout: float) -> None:
    inputs = [some([12, 3, 4, 5], 12, 10), some([12, 3, 4, 5], 12, 10)]
    assert (
        obstacle(
            build_network(model(use, dropout=dropout, embedding_dropout=embedding_dropout), text_contract(), 0), inputs
        )
        is None
    )
