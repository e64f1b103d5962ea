from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.errors import StageError
from edgekd.progress import Silent
from edgekd.training.evaluate import predict_logits
from edgekd.training.loop import TrainingData, TrainingResult, one_cycle, precision_of, train
from edgekd.training.losses.base import Batch, Loss
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.objective import Objective, objective_from

from .conftest import OPTIONS, StopAfter, network, same, weights

LABELS: list[Loss] = [CrossEntropy(use="cross_entropy")]
HINTON: list[Loss] = [CrossEntropy(use="cross_entropy", weight=0.1), SoftTargets(use="kd", weight=0.9)]


def run(
    model: nn.Module,
    data: TrainingData,
    work: Path,
    *,
    options: TrainingOptions = OPTIONS,
    objective: Objective | None = None,
    teacher: nn.Module | None = None,
    progress: Silent | None = None,
    seed: int = 0,
) -> TrainingResult:
    return train(
        model,
        objective or objective_from(LABELS, 4.0),
        data,
        options,
        seed=seed,
        work=work,
        progress=progress or Silent(),
        label="teacher",
        teacher=teacher,
    )


def test_a_network_learns_the_digits(data: TrainingData, work: Path) -> None:
    model = network()
    result = run(model, data, work, options=OPTIONS.model_copy(update={"epochs": 12}))
    first, last = result.history.epochs[0], result.history.last
    assert last.loss < first.loss
    assert last.validation_accuracy > 0.9
    assert not model.training
    right = predict_logits(model, data.validation.images, data.image).argmax(axis=1) == data.validation.labels
    assert last.validation_correct == right.sum()  # of the weights that are left, not of a better epoch before


def test_the_seed_alone_decides_the_weights(data: TrainingData, tmp_path: Path) -> None:
    results = []
    for number, (seed, noise) in enumerate([(1, 10), (1, 20), (2, 10)]):
        torch.manual_seed(noise)  # what others drew before must not matter
        model = network()
        work = tmp_path / str(number)
        work.mkdir()
        state = torch.random.get_rng_state()
        run(model, data, work, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        results.append(weights(model))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_the_teacher_is_asked_and_never_changed(data: TrainingData, work: Path) -> None:
    teacher = network(seed=5).train()
    for parameter in teacher.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = weights(teacher)
    run(network(), data, work, objective=objective_from(HINTON, 4.0), teacher=teacher)
    assert same(weights(teacher), before)  # running means and variances of batch norm are among them
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in teacher.parameters())


class Recording(nn.Module):
    """A network that keeps what it is shown and says the same to the same image."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.seen: list[Tensor] = []
        self.modes: set[bool] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        self.modes.add(self.training)
        logits: Tensor = self.linear(x.flatten(1))
        return logits


def test_both_networks_see_the_same_augmented_images_and_the_teacher_is_in_eval_mode(
    data: TrainingData, work: Path
) -> None:
    student, teacher = Recording(), Recording()
    options = OPTIONS.model_copy(update={"epochs": 1})
    run(student, data, work, options=options, objective=objective_from(HINTON, 4.0), teacher=teacher)
    assert teacher.modes == {False}
    assert len(teacher.seen) == len(data.train) // 100
    for mine, theirs in zip(student.seen, teacher.seen, strict=False):  # the student sees the validation images too
        assert torch.equal(mine, theirs)


def test_images_labels_and_teacher_answers_stay_together(data: TrainingData, work: Path) -> None:
    """With no augmentation every image can be found again, so the pairing can be checked."""
    teacher = Recording()
    known = {
        row.numpy().tobytes(): label for row, label in zip(normalised(data), data.train.labels.tolist(), strict=True)
    }
    seen: list[tuple[Tensor, Tensor | None, Tensor]] = []
    student = Recording()

    def term(batch: Batch) -> Tensor:
        seen.append((student.seen[-1], batch.teacher, batch.labels))
        return batch.student.square().mean()

    options = OPTIONS.model_copy(update={"epochs": 2, "augment": AugmentOptions()})
    run(student, data, work, options=options, objective=Objective([("own", 1.0, term)]), teacher=teacher)
    for inputs, soft, labels in seen:
        assert [known[row.numpy().tobytes()] for row in inputs] == labels.tolist()
        with torch.no_grad():
            assert soft is not None
            assert torch.allclose(teacher.linear(inputs.flatten(1)), soft)


def normalised(data: TrainingData) -> Tensor:
    pixels = torch.from_numpy(data.train.images.astype(np.float64)).permute(0, 3, 1, 2) / 255
    return ((pixels - data.image.mean[0]) / data.image.std[0]).float()


def test_every_epoch_shows_every_image_at_most_once_in_another_order(data: TrainingData, work: Path) -> None:
    student = Recording()
    run(student, data, work, options=OPTIONS.model_copy(update={"epochs": 2, "augment": AugmentOptions()}))
    batches = [seen for seen in student.seen if len(seen) == 100]
    steps = len(data.train) // 100
    orders = [torch.cat(batches[start : start + steps]).flatten(1) for start in (0, steps)]
    copies = len({row.numpy().tobytes() for row in orders[0]})
    assert copies >= len(orders[0]) - 5  # the digits hold a few identical images
    assert not torch.equal(orders[0], orders[1])


def test_a_learned_term_is_trained_too(data: TrainingData, work: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, batch: Batch) -> Tensor:
            return (self.scale - 3).square() + 0 * batch.student.sum()

    term = Scaled()
    run(network(), data, work, objective=Objective([("scaled", 1.0, term)]))
    assert 1.05 < float(term.scale.detach()) < 3


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_no_number_stops_with_what_to_change(data: TrainingData, work: Path) -> None:
    objective = Objective([("own", 1.0, lambda batch: batch.student.sum() * math.inf)])
    with pytest.raises(StageError, match="teacher: the loss became (nan|inf|-inf)") as error:
        run(network(), data, work, objective=objective)
    assert "lower teacher.learning_rate, which is 0.01" in str(error.value.hint)
    assert not (work / "checkpoint.json").exists()


def test_progress_counts_every_step_and_tells_each_epochs_validation(data: TrainingData, work: Path) -> None:
    progress = StopAfter()
    run(network(), data, work, progress=progress)
    assert progress.steps == progress.total == 3 * (len(data.train) // 100)
    assert [note.partition(",")[0] for note in progress.notes] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_a_batch_larger_than_the_data_is_one_batch_of_all(data: TrainingData, work: Path) -> None:
    student = Recording()
    run(student, data, work, options=OPTIONS.model_copy(update={"epochs": 1, "batch_size": 10**6}))
    assert len(student.seen[0]) == len(data.train)


def test_bfloat16_trains_and_leaves_float32_weights(data: TrainingData, work: Path) -> None:
    model = network()
    options = OPTIONS.model_copy(update={"precision": "bfloat16", "epochs": 8})
    result = run(model, data, work, options=options, objective=objective_from(HINTON, 4.0), teacher=network(seed=3))
    assert result.history.precision == "bfloat16"
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert math.isfinite(result.history.last.loss)


def test_the_learning_rate_rises_along_a_line_and_falls_along_a_cosine() -> None:
    rates = one_cycle(TrainingOptions(epochs=1, learning_rate=2.0, warmup=0.2), 100)
    assert rates[:20] == pytest.approx([2.0 * (step + 1) / 20 for step in range(20)])
    assert rates.index(max(rates)) == 19
    assert all(before > after for before, after in itertools.pairwise(rates[19:]))
    assert rates[59] == pytest.approx(1.0, rel=0.03)  # half way down
    assert 0 < rates[-1] < 0.002
    assert one_cycle(TrainingOptions(epochs=1, learning_rate=2.0, warmup=0.0), 3)[0] == pytest.approx(2.0, rel=0.2)


def test_a_written_precision_is_kept_and_auto_takes_what_the_processor_is_made_for() -> None:
    assert precision_of(TrainingOptions(epochs=1, precision="float32")) == "float32"
    assert precision_of(TrainingOptions(epochs=1, precision="bfloat16")) == "bfloat16"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "avx512f" in flags:
        expected = "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
        assert precision_of(TrainingOptions(epochs=1)) == expected
