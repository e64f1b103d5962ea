"""Networks that learn together: what each is taught, and that nothing else passes between them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.config.training import TrainingOptions
from edgekd.data.samples import Split
from edgekd.errors import ConfigError, StageError
from edgekd.progress import Silent
from edgekd.training.classroom import classroom
from edgekd.training.execution import Execution
from edgekd.training.lesson import Answers, Batch, Lesson
from edgekd.training.loop import TrainingData, TrainingResult, train
from edgekd.training.losses.base import Loss
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.fitnet import FitNet
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.optimizers.adamw import AdamW
from edgekd.training.optimizers.base import Optimizer
from edgekd.training.optimizers.muon import Muon
from edgekd.training.optimizers.sgd import Sgd
from edgekd.training.teachers import Live
from edgekd.training.temperatures.fixed import Fixed

from .conftest import IN_ONE, OPTIONS, StopAfter, StoppedError, network, own, same, weights


def mutual(*, weight: float = 1.0) -> list[Loss]:
    """The losses of the paper."""
    return [
        CrossEntropy(use="cross_entropy"),
        SoftTargets(use="kd", weight=weight, temperature=Fixed(use="fixed", value=1.0)),
    ]


def run(
    model: nn.Module,
    peers: Mapping[str, nn.Module],
    data: TrainingData,
    work: Path,
    losses: list[Loss],
    *,
    options: TrainingOptions = OPTIONS,
    execution: Execution = IN_ONE,
    progress: Silent | None = None,
    teachers: Mapping[str, Live] | None = None,
) -> TrainingResult:
    work.mkdir(exist_ok=True)
    return train(
        model,
        losses,
        data,
        options,
        seed=0,
        execution=execution,
        work=work,
        progress=progress or Silent(),
        section="distill",
        name="student",
        teachers=teachers or {},
        peers=peers,
    )


def plain(seed: int, width: int = 8) -> nn.Module:
    """Without dropout, so that it can be computed again, and in shards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(16 * width, 10)
        )


def small(data: TrainingData, count: int) -> TrainingData:
    rows = np.arange(count)
    train_split = Split(data.train.samples[rows], data.train.labels[rows])
    return TrainingData(train_split, data.validation, data.contract)


@pytest.mark.parametrize("widths", [(8, 5), (8, 5, 3)])
def test_a_steps_gradients_are_those_of_the_paper(data: TrainingData, work: Path, widths: tuple[int, ...]) -> None:
    """L_k = CE(y, p_k) + mean over l ≠ k of KL(p_l || p_k) has the gradient (p_k - y + p_k - mean p_l) / N by the
    logits of k, where all p are those before the step."""
    seen: list[Batch] = []

    def look(lesson: Lesson) -> Tensor:
        seen.append(lesson.batch)
        return lesson.student.logits.new_zeros(())

    cohort = [plain(seed, width) for seed, width in enumerate(widths)]
    alike = [copy.deepcopy(each).double().train() for each in cohort]
    options = TrainingOptions(epochs=1, batch_size=60, optimizer=Sgd(use="sgd", momentum=0.0))  # it adds to gradients
    peers = {f"peer{number}": each for number, each in enumerate(cohort[1:])}
    run(cohort[0], peers, small(data, 60), work, [*mutual(), own(look)], options=options)
    assert len(seen) == len(widths)  # a single step

    (inputs,), labels = seen[0].inputs.values(), seen[0].labels
    logits = [each(inputs.double()) for each in alike]
    probabilities = [np.exp(each.detach().numpy()) for each in logits]
    probabilities = [each / each.sum(axis=1, keepdims=True) for each in probabilities]
    truth = np.eye(10)[labels.numpy()]
    for number, (trained, again) in enumerate(zip(cohort, alike, strict=True)):
        mine = probabilities[number]
        others = np.mean([each for place, each in enumerate(probabilities) if place != number], axis=0)
        logits[number].backward(torch.from_numpy((mine - truth + mine - others) / len(labels)))
        for found, expected in zip(trained.parameters(), again.parameters(), strict=True):
            assert found.grad is not None
            assert expected.grad is not None
            torch.testing.assert_close(found.grad.double(), expected.grad, rtol=1e-4, atol=1e-6)


def test_no_gradient_passes_from_a_loss_into_what_a_peer_said() -> None:
    batch = Batch({"image": torch.zeros(4, 1, 8, 8)}, torch.arange(4), np.arange(4), view=0)
    room = classroom(plain(0), {}, mutual(), "distill", {"twin": plain(1)})
    said = [Answers(torch.randn(4, 10, requires_grad=True), {}) for _ in range(2)]
    for number, lesson in enumerate(room.lessons(batch, said, 0.0)):
        heard = lesson.teachers["twin"].logits
        assert torch.equal(heard, said[1 - number].logits)
        assert not heard.requires_grad
        heard.zero_()  # a loss that spoils what it hears spoils nobody's answers
        assert said[1 - number].logits.abs().sum() > 0
        terms = SoftTargets(use="kd", temperature=Fixed(use="fixed", value=1.0))
        for each in said:
            each.logits.grad = None
        terms.build(room.dry_pass(batch, classes=10, samples=4).shapes)(lesson).backward()  # type: ignore[no-untyped-call]
        assert said[number].logits.grad is not None
        assert said[1 - number].logits.grad is None


def test_a_peer_hears_what_the_student_hears_with_the_two_in_each_others_place() -> None:
    batch = Batch({"image": torch.zeros(2, 1, 8, 8)}, torch.zeros(2).long(), np.arange(2), view=0)
    teacher = plain(5)
    room = classroom(plain(0), {"teacher": Live(teacher)}, mutual(), "distill", {"a": plain(1), "b": plain(2)})
    student, a, b = said = [Answers(torch.full((2, 10), float(number)), {}) for number in range(3)]
    lessons = room.lessons(batch, said, 0.5)
    assert [lesson.student for lesson in lessons] == said
    for lesson, heard_as_a, heard_as_b in zip(lessons, (a, student, a), (b, b, student), strict=True):
        assert list(lesson.teachers) == ["teacher", "a", "b"]
        assert torch.equal(lesson.teachers["a"].logits, heard_as_a.logits)
        assert torch.equal(lesson.teachers["b"].logits, heard_as_b.logits)


@pytest.mark.parametrize("optimizer", [AdamW(use="adamw"), Sgd(use="sgd"), Muon(use="muon")], ids=lambda each: each.use)
def test_a_peer_that_counts_for_nothing_changes_no_bit_of_the_student(
    data: TrainingData, tmp_path: Path, optimizer: Optimizer
) -> None:
    """Student and peer both draw random numbers in each step, and both have an average."""
    options = OPTIONS.model_copy(update={"optimizer": optimizer, "averaging": 0.9, "epochs": 2})
    alone, beside, peer = network(), network(), network(seed=7)
    history = run(alone, {}, data, tmp_path / "alone", mutual()[:1], options=options).history
    result = run(beside, {"twin": peer}, data, tmp_path / "beside", mutual(weight=0), options=options)
    assert same(weights(beside), weights(alone))
    assert [each.loss for each in result.history.epochs] == [each.loss for each in history.epochs]
    assert [each.validation_correct for each in result.history.epochs] == [
        each.validation_correct for each in history.epochs
    ]
    assert not same(weights(peer), weights(network(seed=7)))


def test_in_shards_too_even_where_the_peer_cannot_be_cut(data: TrainingData, tmp_path: Path) -> None:
    """A network with dropout is computed in one piece, and the student in two all the same."""
    options = OPTIONS.model_copy(update={"shards": 2, "epochs": 1})
    alone, beside, halves = plain(0), plain(0), Execution(shards=2)
    run(alone, {}, data, tmp_path / "alone", mutual()[:1], options=options, execution=halves)
    peers = {"whole": network(), "cut": plain(3)}
    result = run(beside, peers, data, tmp_path / "beside", mutual(weight=0), options=options, execution=halves)
    assert same(weights(beside), weights(alone))
    assert result.history.shards == 2
    assert all(right > 40 for right in result.peers.values())  # of 200, by chance 20


def test_shards_change_nothing_but_batch_norm(data: TrainingData, tmp_path: Path) -> None:
    def flat(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    found = []
    for shards in (1, 3):
        options = OPTIONS.model_copy(update={"shards": shards, "epochs": 1})
        student, peer = flat(0), flat(1)
        execution = Execution(shards=shards)
        run(student, {"twin": peer}, data, tmp_path / str(shards), mutual(), options=options, execution=execution)
        found.append([*weights(student).values(), *weights(peer).values()])
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stopped_at", [5, 25])
def test_an_interrupted_cohort_ends_in_the_same_weights(data: TrainingData, tmp_path: Path, stopped_at: int) -> None:
    """With dropout and averages in both, and a projector of each, whose batch norm has statistics."""
    options = OPTIONS.model_copy(update={"averaging": 0.9})
    losses = [*mutual(), FitNet(use="fitnet", student="0", teacher="3", weight=5.0)]
    teachers = {"teacher": Live(network(seed=5))}

    def trained(folder: str, progress: Silent) -> tuple[TrainingResult, dict[str, Tensor], dict[str, Tensor]]:
        student, peer = network(), network(seed=7)
        work, peers = tmp_path / folder, {"twin": peer}
        result = run(student, peers, data, work, losses, options=options, progress=progress, teachers=teachers)
        return result, weights(student), weights(peer)

    whole, student, peer = trained("whole", Silent())
    with pytest.raises(StoppedError):
        trained("stopped", StopAfter(stopped_at))
    again, *ended = trained("stopped", Silent())
    assert same(ended[0], student)
    assert same(ended[1], peer)
    assert (again.history, again.peers) == (whole.history, whole.peers)
    finished, *_ = trained("stopped", StopAfter(0))  # a single step would raise
    assert (finished.history, finished.peers) == (whole.history, whole.peers)


def test_a_layer_that_a_peer_lacks_is_refused_with_its_name(data: TrainingData, work: Path) -> None:
    losses = [*mutual(), FitNet(use="fitnet", student="7", teacher="3", network="teacher")]
    teachers = {"teacher": Live(network(seed=5))}
    with pytest.raises(ConfigError, match="twin: no layer is called '7'") as caught:
        run(network(), {"twin": plain(1)}, data, work, losses, teachers=teachers)
    assert caught.value.where == "distill.losses.2"


def test_a_loss_that_does_not_fit_a_peer_names_it(data: TrainingData, work: Path) -> None:
    """The third layer gives maps in the student, and numbers in the peer."""
    peer = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    losses = [*mutual(), FitNet(use="fitnet", student="2", teacher="0", network="teacher")]
    with pytest.raises(ConfigError, match="twin: a layer of shape") as caught:
        run(network(), {"twin": peer}, data, work, losses, teachers={"teacher": Live(network(seed=5))})
    assert caught.value.where == "distill.losses.2"


def test_a_peer_whose_loss_is_no_number_is_named(data: TrainingData, work: Path) -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.last(x.flatten(1))
            return logits * (torch.inf if self.training else 1.0)

    with pytest.raises(StageError, match="distill: the loss of twin became"):
        run(network(), {"twin": Endless()}, data, work, mutual()[:1])
