from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgekd.errors import ConfigError
from edgekd.training import workload
from edgekd.training.execution import Execution
from edgekd.training.lesson import Shapes
from edgekd.training.workers import ALONE, Workers
from edgekd.training.workload import SMALL_STEP, DryPass, Operations, matrix_rate, operations_of, settled, speed

from .conftest import network
from .test_teachers import batch

FOUR = Execution(shards=4, threads=2)
EIGHT = Execution(shards=8, threads=1)


def dry(operations: float, crossing: frozenset[str] = frozenset()) -> DryPass:
    shapes = Shapes(classes=10, samples=6, student={}, teachers={})
    return DryPass(shapes, Operations(operations / 2, operations / 2), crossing)


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def normed() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))


@pytest.mark.parametrize(
    ("module", "operations", "shards", "expected"),
    [
        (plain(), SMALL_STEP * 2, "auto", EIGHT),
        (normed(), SMALL_STEP * 2, "auto", FOUR),
        (plain(), SMALL_STEP / 2, "auto", Execution(shards=1, threads=1)),
        (plain(), SMALL_STEP / 2, 4, FOUR),
        (network(), SMALL_STEP * 2, "auto", FOUR),
        (nn.Sequential(plain(), nn.RReLU()), SMALL_STEP * 2, "auto", Execution(shards=1, threads=8)),
        (network(), SMALL_STEP / 2, "auto", Execution(shards=1, threads=1)),
    ],
    ids=[
        *("large", "large with batch norm", "small", "small, but asked for", "large with dropout"),
        *("large with random slopes", "small with dropout"),
    ],
)
def test_the_execution_follows_from_the_network(
    module: nn.Module, operations: float, shards: int | str, expected: Execution
) -> None:
    assert settled(FOUR, module, batch(128), dry(operations), shards=shards, section="teacher") == expected


def test_shards_of_a_network_that_draws_otherwise_than_by_dropout_are_refused_by_their_place() -> None:
    with pytest.raises(ConfigError, match=r"^teacher\.shards: .*draws random numbers") as error:
        settled(FOUR, nn.Sequential(plain(), nn.RReLU()), batch(), dry(SMALL_STEP * 2), shards=4, section="teacher")
    assert "leave `shards` out" in str(error.value.hint)


def test_precision_is_kept() -> None:
    reduced = Execution(precision="bfloat16", shards=2)
    assert settled(reduced, plain(), batch(), dry(0), shards="auto", section="teacher").precision == "bfloat16"


@pytest.mark.parametrize(
    ("make", "samples", "expected"),
    [
        (normed, 128, FOUR),
        (normed, 96, Execution("float32", 3, 2)),
        (normed, 20, Execution("float32", 1, 8)),
        (plain, 128, EIGHT),
        (plain, 20, Execution("float32", 2, 4)),
        (plain, 12, Execution("float32", 1, 8)),
    ],
)
def test_a_batch_of_all_samples_there_are_is_cut_into_parts_that_are_large_enough(
    make: Callable[[], nn.Module], samples: int, expected: Execution
) -> None:
    found = settled(FOUR, make(), batch(samples), dry(SMALL_STEP * 2), shards="auto", section="teacher")
    assert found == expected


def test_more_shards_than_samples_are_refused_by_their_place() -> None:
    with pytest.raises(ConfigError, match=r"^teacher\.shards: 4 are more than the 3 samples of a batch"):
        settled(FOUR, plain(), batch(3), dry(SMALL_STEP * 2), shards=4, section="teacher")


def test_a_layer_without_an_output_a_sample_keeps_a_batch_whole() -> None:
    crossed = dry(SMALL_STEP * 2, crossing=frozenset({"teacher"}))
    found = settled(FOUR, plain(), batch(128), crossed, shards="auto", section="distill")
    assert found == Execution("float32", 1, 8)
    with pytest.raises(ConfigError, match=r"^distill\.shards: a layer that a loss reads"):
        settled(FOUR, plain(), batch(128), crossed, shards=4, section="distill")


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_operations_of_recurrent_layers_are_counted(kind: Callable[..., nn.Module], gates: int) -> None:
    layers = kind(16, 32, num_layers=2, bidirectional=True, batch_first=True)
    with torch.no_grad(), operations_of() as operations:
        layers(torch.zeros(8, 10, 16))
    first, second = (16 + 32) * 32, (2 * 32 + 32) * 32
    assert operations() == 2 * 8 * 10 * gates * 2 * (first + second)


def test_operations_of_convolutions_and_products_are_counted_by_hand() -> None:
    convolution = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    product = nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 4, 5, bias=False))
    with torch.no_grad(), operations_of() as operations:
        convolution(torch.zeros(7, 2, 4, 4))
        product(torch.zeros(7, 2, 4, 4))
    assert operations() == 2 * 7 * (3 * 2 * 9 * 4 * 4 + 2 * 4 * 4 * 5)


def test_the_matrix_rate_is_a_rate_of_operations() -> None:
    with Workers(Execution()) as workers:
        rate = matrix_rate(workers, seconds=0.05)
    assert 1e8 < rate < 1e13


def test_speed_is_that_of_the_steps_and_its_share_of_plain_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "matrix_rate", lambda _workers: 3e6)
    found = speed(ALONE, Operations(student=1e4, teachers=7e9), samples=1000, batch=10, seconds=4.0)
    assert found.samples_per_s == 250
    assert found.matrix_share == pytest.approx(100 * 1e4 * 3 / 4 / 3e6)
