from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.modalities.base import contract_for, feeds_for
from edgekd.data.samples import Split
from edgekd.errors import ConfigError, StageError
from edgekd.training import evaluate
from edgekd.training.evaluate import count_right, predict_logits
from edgekd.training.execution import Execution
from edgekd.training.lesson import Answers, Lesson, Shapes
from edgekd.training.loop import TrainingData, one_cycle
from edgekd.training.losses.base import Loss, Term
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.fitnet import FitNet
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.replicas import Replicas
from edgekd.training.teachers import Live
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.workers import ALONE

from .conftest import HINTON, OPTIONS, StopAfter, StoppedError, network, own, run, same, weights


def test_a_network_learns_the_digits(data: TrainingData, work: Path) -> None:
    model = network()
    result = run(model, data, work, options=OPTIONS.model_copy(update={"epochs": 12}))
    first, last = result.history.epochs[0], result.history.last
    assert last.loss < first.loss
    assert last.validation_accuracy > 0.9
    assert not model.training
    logits = predict_logits(model, feeds_for(data.contract, data.validation.samples))
    right = logits.argmax(axis=1) == data.validation.labels
    assert last.validation_correct == right.sum()  # of the weights that are left, not of a better epoch before
    assert count_right(Replicas(model, ALONE), data.validation, data.contract) == right.sum()


def test_a_network_learns_rows_of_numbers(work: Path) -> None:
    drawn = np.random.default_rng(0)
    labels = drawn.integers(0, 3, 600)
    features = drawn.normal(size=(600, 5)).astype(np.float32)
    features[:, 2] += 3 * labels
    split = Split(features, labels.astype(np.int64))
    contract = contract_for("vector", features, ("a", "b", "c"))
    vectors = TrainingData(split.take(np.arange(500)), split.take(np.arange(500, 600)), contract)
    options = TrainingOptions(epochs=8, batch_size=50, learning_rate=0.02, augment=AugmentOptions(noise=0.1))
    torch.manual_seed(0)
    result = run(nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)), vectors, work, options=options)
    assert (
        result.history.last.validation_accuracy > 0.85
    )  # the best rule reaches 0.91: neighbours are 3 standard deviations apart


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
    run(network(), data, work, losses=HINTON, teachers={"teacher": Live(teacher)})
    assert same(weights(teacher), before)  # running means and variances of batch norm are among them
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in teacher.parameters())


class Recording(nn.Module):
    """A network that keeps what it is shown and says the same to the same image."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.seen: list[tuple[bool, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, x.detach().clone()))
        logits: Tensor = self.linear(x.flatten(1))
        return logits

    @property
    def lessons(self) -> list[Tensor]:
        """What it was shown in training, without the dry pass and the validation."""
        return [inputs for training, inputs in self.seen if training]


def test_all_networks_see_the_same_augmented_images_and_teachers_are_in_eval_mode(
    data: TrainingData, work: Path
) -> None:
    student, teacher, other = Recording(), Recording(), Recording()
    options = OPTIONS.model_copy(update={"epochs": 1})
    run(student, data, work, options=options, losses=HINTON, teachers={"a": Live(teacher), "b": Live(other)})
    assert teacher.lessons == other.lessons == []
    assert len(student.lessons) == len(data.train) // 100
    asked = [inputs for _, inputs in teacher.seen[1:]]  # the first is the dry pass
    assert len(asked) == len(student.lessons)
    for mine, theirs, others in zip(student.lessons, asked, [each for _, each in other.seen[1:]], strict=True):
        assert torch.equal(mine, theirs)
        assert torch.equal(mine, others)


def test_images_labels_rows_and_teacher_answers_stay_together(data: TrainingData, work: Path) -> None:
    """With no augmentation every image can be found again, so the pairing can be checked."""
    teacher = Recording()
    known = {
        row.numpy().tobytes(): label for row, label in zip(normalised(data), data.train.labels.tolist(), strict=True)
    }
    student = Recording()
    lessons: list[Lesson] = []

    def term(lesson: Lesson) -> Tensor:
        lessons.append(lesson)
        return lesson.student.logits.square().mean()

    options = OPTIONS.model_copy(update={"epochs": 2, "augment": AugmentOptions()})
    run(student, data, work, options=options, losses=[own(term)], teachers={"teacher": Live(teacher)})
    assert len(lessons) == len(student.lessons) == 22
    for inputs, lesson in zip(student.lessons, lessons, strict=True):
        assert [known[row.numpy().tobytes()] for row in inputs] == lesson.batch.labels.tolist()
        assert torch.equal(normalised(data)[lesson.batch.rows], inputs)
        with torch.no_grad():
            assert torch.allclose(teacher.linear(inputs.flatten(1)), lesson.teachers["teacher"].logits)
    assert [lesson.progress for lesson in lessons] == pytest.approx([step / 21 for step in range(22)])
    assert [lesson.batch.view for lesson in lessons] == [0] * 22  # without augmentation there is one view


def test_in_two_views_a_term_is_the_mean_of_what_both_are_worth_and_teachers_hear_both(
    data: TrainingData, work: Path
) -> None:
    lessons: list[Lesson] = []
    cross_entropy, kd = (loss.build(Shapes(10, len(data.train), {}, {})) for loss in HINTON)

    def term(lesson: Lesson) -> Tensor:
        lessons.append(lesson)
        return cross_entropy(lesson) + kd(lesson)

    teacher = Recording()
    options = OPTIONS.model_copy(update={"epochs": 1, "second_view": AugmentOptions(rotate=30)})
    run(network(), data, work, options=options, losses=[own(term)], teachers={"teacher": Live(teacher)})
    assert len(lessons) == len(data.train) // 100
    for lesson in lessons:
        assert len(lesson.batch.rows) == len(lesson.student.logits) == len(lesson.teachers["teacher"].logits) == 200
        with torch.no_grad():
            assert torch.allclose(
                teacher.linear(lesson.batch.inputs["image"].flatten(1)), lesson.teachers["teacher"].logits
            )
            apart = [
                Lesson(
                    lesson.batch.only(look),
                    Answers(lesson.student.logits[look::2]),
                    {"teacher": Answers(lesson.teachers["teacher"].logits[look::2])},
                    lesson.progress,
                )
                for look in (0, 1)
            ]
            for each in (cross_entropy, kd):
                assert float(each(lesson)) == pytest.approx(sum(float(each(one)) for one in apart) / 2, rel=1e-5)


def test_in_two_views_as_many_steps_are_taken_and_a_resumed_training_ends_in_the_same_weights(
    data: TrainingData, work: Path, tmp_path: Path
) -> None:
    options = OPTIONS.model_copy(update={"second_view": AugmentOptions(rotate=30)})
    whole, progress = network(), StopAfter()
    run(whole, data, work, options=options, progress=progress)
    assert progress.total == 3 * (len(data.train) // 100)
    (tmp_path / "other").mkdir()
    stopped = network()
    with pytest.raises(StoppedError):
        run(stopped, data, tmp_path / "other", options=options, progress=StopAfter(15))
    run(stopped, data, tmp_path / "other", options=options)
    assert same(weights(whole), weights(stopped))
    once = network()
    (tmp_path / "once").mkdir()
    run(once, data, tmp_path / "once")
    assert not same(weights(once), weights(whole))


def normalised(data: TrainingData) -> Tensor:
    pixels = torch.from_numpy(np.asarray(data.train.samples, np.float64)).permute(0, 3, 1, 2) / 255
    preprocessing = data.contract.inputs[0].preprocessing
    mean, std = preprocessing["mean"], preprocessing["std"]
    return ((pixels - torch.tensor(mean, dtype=torch.float64)) / torch.tensor(std, dtype=torch.float64)).float()


def test_every_epoch_shows_every_image_at_most_once_in_another_order(data: TrainingData, work: Path) -> None:
    student = Recording()
    run(student, data, work, options=OPTIONS.model_copy(update={"epochs": 2, "augment": AugmentOptions()}))
    steps = len(data.train) // 100
    orders = [torch.cat(student.lessons[start : start + steps]).flatten(1) for start in (0, steps)]
    copies = len({row.numpy().tobytes() for row in orders[0]})
    assert copies >= len(orders[0]) - 5  # the digits hold a few identical images
    assert not torch.equal(orders[0], orders[1])


class Scaled(nn.Module):
    """A term with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, lesson: Lesson) -> Tensor:
        return (self.scale - 3).square() + 0 * lesson.student.logits.sum()


def test_a_learned_term_is_trained_too(data: TrainingData, work: Path) -> None:
    term = Scaled()
    run(network(), data, work, losses=[own(term)])
    assert 1.05 < float(term.scale.detach()) < 3


def test_a_projector_is_learned_with_the_student_and_disturbs_neither_weights_nor_order(
    data: TrainingData, tmp_path: Path
) -> None:
    """With weight 0 the hint teaches nothing, so the student must come out as without it, to the bit."""
    ended = []
    hint = FitNet(use="fitnet", student="2", teacher="5", weight=0.0)
    for number, losses in enumerate(([*HINTON], [*HINTON, hint])):
        work, model = tmp_path / str(number), network()
        work.mkdir()
        result = run(model, data, work, losses=losses, teachers={"teacher": Live(network(seed=5))})
        ended.append(weights(model))
    assert result.history.last.terms["fitnet"] > 0
    assert same(ended[0], ended[1])


def test_a_hint_brings_the_students_layer_near_the_teachers(data: TrainingData, work: Path) -> None:
    hint = FitNet(use="fitnet", student="2", teacher="2", weight=10.0)
    options = OPTIONS.model_copy(update={"epochs": 6})
    teacher = network(seed=5)
    history = run(network(), data, work, losses=[*HINTON, hint], teachers={"a": Live(teacher)}, options=options).history
    assert history.last.terms["fitnet"] < history.epochs[0].terms["fitnet"] / 2


def test_a_loss_is_told_classes_samples_and_shapes_of_the_layers_that_it_reads(data: TrainingData, work: Path) -> None:
    told: list[Shapes] = []

    class Asking(FitNet):
        def build(self, shapes: Shapes) -> Term:
            told.append(shapes)
            return super().build(shapes)

    asking = Asking(use="asking", student="0", teacher="5", network="b")
    teachers = {"a": Live(network(1)), "b": Live(network(2))}
    run(network(), data, work, losses=[asking], teachers=teachers, options=OPTIONS.model_copy(update={"epochs": 1}))
    (shapes,) = told
    assert (shapes.classes, shapes.samples) == (10, len(data.train))
    assert shapes.student == {"0": (8, 4, 4)}
    assert shapes.teachers == {"a": {}, "b": {"5": (12, 2, 2)}}


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (FitNet(use="fitnet", student="9", teacher="5"), "student: no layer is called '9'"),
        (FitNet(use="fitnet", student="2", teacher="55"), "a: no layer is called '55'"),
        (
            FitNet(use="fitnet", student="2", teacher="2", network="b"),
            "the loss fitnet needs a teacher that it does not find: only a teaches here",
        ),
        (
            FitNet(use="fitnet", student="2", teacher="8"),
            "a layer of shape (8, 4, 4) cannot be projected to one of shape (10,)",
        ),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_the_first_step_with_its_place(
    data: TrainingData, work: Path, loss: Loss, words: str
) -> None:
    progress = StopAfter(0)
    losses = [CrossEntropy(use="cross_entropy"), FitNet(use="fitnet", student="2", teacher="5"), loss]
    with pytest.raises(ConfigError) as error:
        run(network(), data, work, losses=losses, teachers={"a": Live(network(1))}, progress=progress)
    assert str(error.value) == f"teacher.losses.2: {words}"
    assert progress.steps == 0


def test_a_loss_without_its_teacher_is_refused(data: TrainingData, work: Path) -> None:
    with pytest.raises(ConfigError, match="the loss kd needs a teacher that it does not find: nobody teaches here"):
        run(network(), data, work, losses=HINTON)


def test_several_teachers_are_heard_together_or_one_by_its_name(data: TrainingData, tmp_path: Path) -> None:
    ended = {}
    for network_name in (None, "a", "b"):
        work, model = tmp_path / str(network_name), network()
        work.mkdir()
        kd = SoftTargets(use="kd", network=network_name, temperature=Fixed(use="fixed", value=2.0))
        run(model, data, work, losses=[kd], teachers={"a": Live(network(1)), "b": Live(network(2))})
        ended[network_name] = weights(model)
    assert not same(ended["a"], ended["b"])
    assert not same(ended["a"], ended[None])
    (tmp_path / "alone").mkdir()
    model = network()
    alone = SoftTargets(use="kd", temperature=Fixed(use="fixed", value=2.0))
    run(model, data, tmp_path / "alone", losses=[alone], teachers={"b": Live(network(2))})
    assert same(weights(model), ended["b"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_no_number_stops_with_what_to_change(data: TrainingData, work: Path) -> None:
    infinite = own(lambda lesson: lesson.student.logits.sum() * math.inf)
    with pytest.raises(StageError, match="teacher: the loss became (nan|inf|-inf)") as error:
        run(network(), data, work, losses=[infinite])
    assert "lower teacher.learning_rate, which is 0.01" in str(error.value.hint)
    assert not (work / "checkpoint.json").exists()


def test_the_term_that_made_the_loss_no_number_is_named(data: TrainingData, work: Path) -> None:
    labels, wrong = CrossEntropy(use="cross_entropy"), own(lambda lesson: lesson.student.logits.sum() * math.nan)
    with pytest.raises(StageError, match=r"the loss became nan through \S*own\S* in a step"):
        run(network(), data, work, losses=[labels, wrong])


def test_an_augmentation_that_the_input_has_no_use_for_is_named_by_its_place(work: Path) -> None:
    rows = Split(np.ones((20, 3), np.float32), np.arange(20) % 2)
    data = TrainingData(rows, rows, contract_for("vector", rows.samples, ("a", "b")))
    options = OPTIONS.model_copy(update={"augment": AugmentOptions(flip=True)})
    with pytest.raises(ConfigError, match=r"^teacher\.augment: .*flip") as error:
        run(nn.Linear(3, 2), data, work, options=options)
    assert error.value.where == "teacher.augment"


def test_progress_counts_every_step_and_tells_each_epochs_validation(data: TrainingData, work: Path) -> None:
    progress = StopAfter()
    run(network(), data, work, progress=progress)
    assert progress.steps == progress.total == 3 * (len(data.train) // 100)
    assert [note.partition(",")[0] for note in progress.notes] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_a_batch_larger_than_the_data_is_one_batch_of_all(data: TrainingData, work: Path) -> None:
    options = OPTIONS.model_copy(update={"batch_size": 10**6, "epochs": 1})
    student, progress = Recording(), StopAfter()
    run(student, data, work, options=options, progress=progress)
    assert progress.total == 1
    assert [len(inputs) for inputs in student.lessons] == [len(data.train)]


def test_bfloat16_trains_and_leaves_float32_weights(data: TrainingData, work: Path) -> None:
    model = network()
    options = OPTIONS.model_copy(update={"epochs": 8})
    hint = FitNet(use="fitnet", student="2", teacher="2")
    result = run(
        model,
        data,
        work,
        options=options,
        losses=[*HINTON, hint],
        teachers={"teacher": Live(network(seed=3))},
        execution=Execution(precision="bfloat16"),
    )
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


def test_what_is_validated_in_shards_is_the_mean_that_is_kept(
    data: TrainingData, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "BATCH_SIZE", 30)  # so that every shard has some
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10))
    options = OPTIONS.model_copy(update={"averaging": 0.9, "shards": 2})
    result = run(model, data, work, options=options, execution=Execution(shards=2))
    assert result.history.shards == 2
    right = count_right(Replicas(model, ALONE), data.validation, data.contract)
    assert result.history.last.validation_correct == right
