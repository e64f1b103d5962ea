from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.data.modalities.base import feeds_for
from edgekd.data.samples import Split
from edgekd.training import evaluate
from edgekd.training.evaluate import count_right, predict_logits
from edgekd.training.execution import Execution
from edgekd.training.loop import TrainingData
from edgekd.training.replicas import Replicas
from edgekd.training.workers import ALONE, Workers

from .conftest import network, same, weights


def test_logits_are_those_of_eval_mode_in_the_order_of_the_samples(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = network()
    feeds = feeds_for(data.contract, data.validation.samples)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(feeds["image"])).numpy()
    monkeypatch.setattr(evaluate, "BATCH_SIZE", 64)  # so that the last of these is ragged
    found = predict_logits(module.train(), feeds)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-4)


def test_asking_changes_nothing_in_the_network(data: TrainingData) -> None:
    module = network().train()
    module.get_submodule("1").eval()
    before = weights(module)
    predict_logits(module, feeds_for(data.contract, data.validation.samples))
    assert same(weights(module), before)
    assert module.training
    assert not module.get_submodule("1").training


def test_what_is_right_is_counted_over_all_batches(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    answers = predict_logits(module, feeds_for(data.contract, data.validation.samples)).argmax(axis=1)
    labels = answers.copy()
    labels[:37] = (labels[:37] + 1) % 10
    monkeypatch.setattr(evaluate, "BATCH_SIZE", 30)
    changed = Split(data.validation.samples, labels)
    assert count_right(Replicas(module, ALONE), changed, data.contract) == len(labels) - 37


class Remembering(nn.Module):
    """Keeps an activation in an attribute on its way, as U-nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        self.skip = x.flatten(1)
        sorted_pixels = torch.tanh(x.flatten(1) * 1.5).sort(dim=1).values  # which takes a while
        logits: Tensor = self.head(sorted_pixels) + self.skip[:, :10]
        return logits


def test_shards_count_with_networks_of_their_own(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "BATCH_SIZE", 7)
    module = Remembering()
    alone = count_right(Replicas(module, ALONE), data.validation, data.contract)
    with Workers(Execution(shards=3)) as workers:
        assert {count_right(Replicas(module, workers), data.validation, data.contract) for _ in range(20)} == {alone}


def test_several_inputs_go_to_the_module_in_their_order() -> None:
    class Difference(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x - y

    feeds = {"b": np.full((3, 2), 5, dtype=np.float32), "a": np.full((3, 2), 2, dtype=np.float32)}
    assert predict_logits(Difference(), feeds).tolist() == [[3, 3]] * 3
