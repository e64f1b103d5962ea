from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError
from edgekd.training.classroom import classroom
from edgekd.training.lesson import Answers, Batch
from edgekd.training.loop import TrainingData
from edgekd.training.losses.fitnet import FitNet
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.taps import answers
from edgekd.training.teachers import Given, Live, Teaching
from edgekd.training.workload import Operations

from .conftest import HINTON, network, run, same, weights


def batch(count: int = 6) -> Batch:
    images = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return Batch({"image": images}, torch.zeros(count, dtype=torch.int64), np.arange(count), view=0)


def test_a_live_teacher_answers_the_same_each_time_and_does_not_move() -> None:
    module = network().train()
    before = weights(module)
    teacher = Live(module)
    first, second = teacher(batch(), ()), teacher(batch(), ())
    assert torch.equal(first.logits, second.logits)  # dropout is off
    assert same(weights(module), before)  # and batch norm's statistics stay
    one_by_one = torch.cat([module(each[None]) for each in batch().inputs["image"]])
    assert torch.allclose(first.logits, one_by_one, atol=1e-5)  # they, not the batch's, are what it normalises with


def test_nothing_that_a_live_teacher_says_has_a_gradient() -> None:
    module = network()
    student = nn.Linear(64, 10)
    said = Live(module)(batch(), ("2", "5"))
    assert not said.logits.requires_grad
    assert not any(each.requires_grad for each in said.taps.values())
    (student(batch().inputs["image"].flatten(1)) - said.logits).square().mean().backward()
    assert student.weight.grad is not None
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(parameter.requires_grad for parameter in module.parameters())  # others may still train it


def test_a_live_teacher_gives_the_layers_that_are_asked_for() -> None:
    module = network()
    said = Live(module)(batch(), ("2", "5"))
    expected = answers(module, (batch().inputs["image"],), ("2", "5"))
    assert {name: tuple(each.shape) for name, each in said.taps.items()} == {"2": (6, 8, 4, 4), "5": (6, 12, 2, 2)}
    assert all(torch.equal(each, expected.taps[name]) for name, each in said.taps.items())


def test_a_given_teacher_is_asked_with_plain_arrays_in_the_order_of_the_batch() -> None:
    asked: list[Feeds] = []

    def answerer(feeds: Feeds) -> NDArray[np.float32]:
        asked.append(feeds)
        return feeds["image"].reshape(len(feeds["image"]), -1)[:, :3]

    images = batch().inputs["image"].contiguous(memory_format=torch.channels_last)
    said = Given(answerer)(Batch({"image": images}, batch().labels, batch().rows, 0), ())
    assert asked[0]["image"].flags.c_contiguous
    assert np.array_equal(asked[0]["image"], images.numpy())
    assert torch.equal(said.logits, images.flatten(1)[:, :3])
    assert said.taps == {}


def test_a_given_teacher_has_no_layers_to_read() -> None:
    teacher = Given(lambda feeds: np.zeros((6, 3), dtype=np.float32))
    with pytest.raises(ConfigError, match="it is given, not trained here, so its layer 'conv' cannot be read") as error:
        teacher(batch(), ("conv",))
    assert "network" in str(error.value.hint)


def test_a_layer_of_a_given_teacher_is_named_with_the_loss_that_reads_it() -> None:
    teachers: dict[str, Teaching] = {
        "live": Live(network()),
        "given": Given(lambda feeds: np.zeros((6, 3), dtype=np.float32)),
    }
    losses = [
        FitNet(use="fitnet", student="2", teacher="5", network="live"),
        FitNet(use="fitnet", student="2", teacher="5", network="given"),
    ]
    with pytest.raises(ConfigError, match=r"^distill\.losses\.1: given: it is given, not trained here"):
        classroom(network(), teachers, losses, "distill").dry_pass(batch(), classes=10, samples=6)


def test_what_a_teacher_says_of_itself_keeps_its_own_place() -> None:
    def fails(feeds: Feeds) -> NDArray[np.float32]:
        raise ConfigError("it cannot", where="mine.py:3")

    with pytest.raises(ConfigError, match=r"^mine\.py:3: it cannot$"):
        classroom(network(), {"given": Given(fails)}, [SoftTargets(use="kd")], "distill").dry_pass(
            batch(), classes=10, samples=6
        )


class TwoLayers(nn.Module):
    """A network with the layers `a` and `b`."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Identity(), nn.Identity(), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.b(self.a(x)).flatten(1))
        return logits


def test_only_layers_that_some_loss_reads_are_taken_of_each_network() -> None:
    losses = [
        FitNet(use="fitnet", student="a", teacher="b", network="one"),
        FitNet(use="fitnet", student="a", teacher="a", network="two"),
        FitNet(use="fitnet", student="a", teacher="a", network="one"),
        SoftTargets(use="kd"),
    ]
    teachers = {name: Live(TwoLayers()) for name in ("one", "two", "three")}
    here = classroom(TwoLayers(), teachers, losses, "distill")
    (lesson,) = here.lessons(batch(), [Answers(torch.zeros(6, 10))], progress=0.25)
    assert here.student_taps == ("a",)
    assert {name: set(said.taps) for name, said in lesson.teachers.items()} == {
        "one": {"a", "b"},
        "two": {"a"},
        "three": set(),
    }
    assert lesson.progress == 0.25


def test_a_dry_pass_finds_shapes_and_work_and_changes_nothing() -> None:
    student, teacher = network(seed=1).train(), network(seed=2)
    before = [weights(student), weights(teacher)]
    state = torch.random.get_rng_state()
    here = classroom(student, {"t": Live(teacher)}, [FitNet(use="fitnet", student="2", teacher="5")], "distill")
    found = here.dry_pass(batch(), classes=10, samples=99)
    shapes, operations = found.shapes, found.operations
    assert not found.crossing
    assert (shapes.classes, shapes.samples) == (10, 99)
    assert shapes.student == {"2": (8, 4, 4)}
    assert shapes.teachers == {"t": {"5": (12, 2, 2)}}
    one = 2 * 6 * (8 * 9 * 16 + 12 * 8 * 9 * 4 + 48 * 10)
    assert operations == Operations(student=one, teachers=one)
    assert [same(weights(each), kept) for each, kept in zip((student, teacher), before, strict=True)] == [True, True]
    assert student.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_makes_no_difference_to_the_student_how_a_teacher_is_made(data: TrainingData, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def answerer(feeds: Feeds) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = module(torch.from_numpy(feeds["image"])).numpy()
        return logits

    ended = []
    for name, teacher in (("live", Live(module)), ("given", Given(answerer))):
        (tmp_path / name).mkdir()
        student = network()
        run(student, data, tmp_path / name, losses=HINTON, teachers={"teacher": teacher})
        ended.append(weights(student))
    assert same(ended[0], ended[1])
