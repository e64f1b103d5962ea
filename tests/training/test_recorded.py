"""A recorded answer is the teacher's to exactly this sample in this view, or it is asked again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.training import recorded
from edgekd.training.evaluate import BATCH_SIZE
from edgekd.training.execution import Execution
from edgekd.training.lesson import Answers, Batch
from edgekd.training.loop import TrainingData
from edgekd.training.losses.base import Loss
from edgekd.training.losses.fitnet import FitNet
from edgekd.training.recorded import Recorded, RecordedLooks, Recordings, make_room
from edgekd.training.teachers import Live
from edgekd.training.views import Views
from edgekd.training.workers import ALONE, Workers

from .conftest import HINTON, OPTIONS, StopAfter, StoppedError, network, run, same, weights

TWO = Execution(shards=2)
CUT = OPTIONS.model_copy(update={"shards": 2})


class Teacher:
    """Says of each image its mean and its brightest pixel, and of the layer `half` its upper half; it counts."""

    def __init__(self, scale: float = 1.0) -> None:
        self.asked: list[NDArray[np.int64]] = []
        self.scale = scale

    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
        self.asked.append(batch.rows)
        images = batch.inputs["image"].flatten(1)
        logits = torch.stack([images.mean(dim=1), images.amax(dim=1)], dim=1) * self.scale
        return Answers(logits, {"half": images[:, :32]} if "half" in taps else {})


def views(data: TrainingData, **changes: object) -> Views:
    options = OPTIONS.model_copy(update=changes)
    return Views(data.train, data.contract, options, seed=0, section="distill")


def shown(_note: str) -> None:
    """Nobody looks."""


def expected(batch: Batch) -> Answers:
    said = Teacher()(batch, ("half",))
    return Answers(said.logits.half().float(), {"half": said.taps["half"].half().float()})


@pytest.mark.parametrize("batch_size", [7, 100, 1000])
def test_each_sample_gets_the_answer_to_itself_in_any_order_and_batch(
    data: TrainingData, tmp_path: Path, batch_size: int
) -> None:
    these = views(data, batch_size=batch_size)
    teacher = Recorded(Teacher(), these, ("half",), tmp_path / "answers", shown)
    for epoch in (0, 2, 1):
        for batch in these.epoch(epoch):
            said = teacher(batch, ("half",))
            assert torch.equal(said.logits, expected(batch).logits)
            assert torch.equal(said.taps["half"], expected(batch).taps["half"])


def test_all_samples_of_a_view_are_asked_once_whoever_listens(data: TrainingData, tmp_path: Path) -> None:
    first, second = Teacher(), Teacher()
    for teacher, size in ((first, 100), (second, 33)):
        these = views(data, batch_size=size)
        kept = Recorded(teacher, these, (), tmp_path / "answers", shown)
        for epoch in (0, 1):
            for batch in these.epoch(epoch):
                assert torch.equal(kept(batch, ()).logits, expected(batch).logits)
    assert np.concatenate(first.asked).tolist() == 2 * list(range(len(data.train)))
    assert max(map(len, first.asked)) == BATCH_SIZE
    assert second.asked == []


def test_few_views_are_shown_again_and_asked_once(data: TrainingData, tmp_path: Path) -> None:
    teacher, these = Teacher(), views(data, views=2, epochs=3)
    kept = Recorded(teacher, these, (), tmp_path / "answers", shown)
    numbers = []
    for epoch in range(3):
        for batch in these.epoch(epoch):
            kept(batch, ())
            numbers.append(batch.view)
    assert sorted(set(numbers)) == [0, 1]
    assert numbers[-1] == 0
    assert sum(map(len, teacher.asked)) == 2 * len(data.train)


def test_without_augmentation_there_is_one_view(data: TrainingData, tmp_path: Path) -> None:
    teacher, these = Teacher(), views(data, augment=AugmentOptions())
    kept = Recorded(teacher, these, (), tmp_path / "answers", shown)
    for epoch in range(3):
        for batch in these.epoch(epoch):
            kept(batch, ())
    assert sum(map(len, teacher.asked)) == len(data.train)


@pytest.mark.parametrize("damage", ["cut", "changed", "renamed", "empty"])
def test_a_damaged_recording_is_asked_again(data: TrainingData, tmp_path: Path, damage: str) -> None:
    these, folder = views(data), tmp_path / "answers"
    batch = next(these.epoch(0))
    Recorded(Teacher(), these, (), folder, shown)(batch, ())
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "changed":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "renamed":  # another view's answers in this one's place
        Recorded(Teacher(), these, (), folder, shown)(next(these.epoch(1)), ())
        (other,) = folder.glob("1-*")
        other.replace(path)
    else:
        path.write_bytes(b"")
    teacher = Teacher()
    said = Recorded(teacher, these, (), folder, shown)(batch, ())
    assert torch.equal(said.logits, expected(batch).logits)
    assert sum(map(len, teacher.asked)) == len(data.train)


def test_answers_of_other_data_are_asked_again(data: TrainingData, tmp_path: Path) -> None:
    fewer = TrainingData(data.train.take(np.arange(500)), data.validation, data.contract)
    for each in (fewer, data):
        these, teacher = views(each), Teacher()
        batch = next(these.epoch(0))
        said = Recorded(teacher, these, (), tmp_path / "answers", shown)(batch, ())
        assert torch.equal(said.logits, expected(batch).logits)
        assert sum(map(len, teacher.asked)) == len(each.train)


def test_an_answer_too_large_for_half_precision_stays_whole(data: TrainingData, tmp_path: Path) -> None:
    these = views(data)
    batch = next(these.epoch(0))
    for _ in range(2):
        said = Recorded(Teacher(scale=1e6), these, (), tmp_path / "answers", shown)(batch, ())
        assert torch.equal(said.logits, Teacher(scale=1e6)(batch, ()).logits)


def test_a_folder_that_cannot_be_written_costs_time_only(data: TrainingData, tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("a file in the folder's place")
    these = views(data)
    batch = next(these.epoch(0))
    assert torch.equal(
        Recorded(Teacher(), these, (), tmp_path / "answers", shown)(batch, ()).logits, expected(batch).logits
    )


def test_the_longest_unused_recordings_make_room(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "older", "oldest")):
        path = tmp_path / name / "0-0.safetensors"
        path.parent.mkdir()
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    make_room(tmp_path, most_bytes=250)
    assert sorted(path.parent.name for path in tmp_path.rglob("*.safetensors")) == ["new", "older"]


def student(
    data: TrainingData,
    work: Path,
    folder: Path,
    *,
    options: TrainingOptions = CUT,
    execution: Execution = TWO,
    teacher: str = "one",
    losses: Sequence[Loss] = HINTON,
    progress: StopAfter | None = None,
) -> tuple[dict[str, torch.Tensor], int]:
    """The weights that a student ends in, and how often its teacher was shown a sample to record it."""
    work.mkdir(exist_ok=True)
    live, shows = Live(network(seed=5)), []

    class Counting(Live):
        def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
            shows.append(len(batch.rows))
            return super().__call__(batch, taps, workers)

    model = network()
    model.register_module("7", torch.nn.Identity())  # for dropout, which would be trained in one shard
    recordings = Recordings(folder, {"teacher": teacher})
    run(
        model,
        data,
        work,
        losses=losses,
        options=options,
        teachers={"teacher": Counting(live.module)},
        execution=execution,
        recordings=recordings,
        progress=progress,
    )
    return weights(model), sum(shows) - options.batch_size  # without the dry pass


def test_a_second_student_asks_nothing_and_learns_the_same(data: TrainingData, tmp_path: Path) -> None:
    first, asked = student(data, tmp_path / "a", tmp_path / "kept")
    again, asked_again = student(data, tmp_path / "b", tmp_path / "kept")
    assert (asked, asked_again) == (3 * len(data.train), 0)
    assert same(first, again)
    alone, _ = student(data, tmp_path / "c", tmp_path / "kept", teacher="two")
    assert same(first, alone)


@pytest.mark.parametrize(
    "changed",
    [
        {"options": CUT.model_copy(update={"augment": AugmentOptions(shift=2)})},
        {"execution": Execution(shards=1)},
        {"teacher": "another"},
        {"losses": [*HINTON, FitNet(use="fitnet", student="2", teacher="2")]},
    ],
    ids=["augmentation", "arithmetic", "teacher", "layers"],
)
def test_whatever_changes_an_answer_is_asked_again(
    data: TrainingData, tmp_path: Path, changed: dict[str, object]
) -> None:
    student(data, tmp_path / "a", tmp_path / "kept")
    _, asked = student(data, tmp_path / "b", tmp_path / "kept", **changed)  # type: ignore[arg-type]
    assert asked == 3 * len(data.train)


def test_a_longer_training_asks_for_the_further_views_only(data: TrainingData, tmp_path: Path) -> None:
    student(data, tmp_path / "a", tmp_path / "kept")
    longer = CUT.model_copy(update={"epochs": 5, "batch_size": 50})
    _, asked = student(data, tmp_path / "b", tmp_path / "kept", options=longer)
    assert asked == 2 * len(data.train)


@pytest.mark.parametrize("vanished", [False, True])
def test_stopped_and_resumed_it_learns_the_same(data: TrainingData, tmp_path: Path, vanished: bool) -> None:
    whole, _ = student(data, tmp_path / "a", tmp_path / "kept")
    with pytest.raises(StoppedError):
        student(data, tmp_path / "b", tmp_path / "other", progress=StopAfter(15))
    resumed, _ = student(data, tmp_path / "b", tmp_path / ("third" if vanished else "other"))
    assert same(whole, resumed)


def test_answers_that_would_fill_the_disk_are_asked_in_every_step(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "MOST_BYTES", 1000)
    _, asked = student(data, tmp_path / "a", tmp_path / "kept")
    assert asked == 3 * (len(data.train) // 100) * 100
    assert not (tmp_path / "kept").exists()


def test_an_intact_recording_of_somebody_else_is_used(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    these = views(data)
    batch = next(these.epoch(0))
    Recorded(Teacher(), these, (), tmp_path / "answers", shown)(batch, ())

    def refused(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    teacher = Teacher()
    Recorded(teacher, these, (), tmp_path / "answers", shown)(batch, ())
    assert teacher.asked == []


def test_what_a_killed_training_left_makes_room_too(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "tmp123" / "view.safetensors.partial"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(100))
    make_room(tmp_path, most_bytes=50)
    assert not path.exists()


def test_teachers_together_stay_below_the_bound(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = 10 * 2 * len(data.train) * 3
    monkeypatch.setattr(recorded, "MOST_BYTES", 2 * (one + 1))
    (tmp_path / "a").mkdir()
    run(
        network(),
        data,
        tmp_path / "a",
        losses=HINTON,
        options=CUT.model_copy(update={"shards": 1}),
        teachers={name: Live(network(seed=seed)) for seed, name in enumerate(("first", "second"))},
        recordings=Recordings(tmp_path / "kept", {"first": "1", "second": "2"}),
    )
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_teacher_that_draws_random_numbers_takes_none_of_the_students(data: TrainingData, tmp_path: Path) -> None:
    class Noisy(Teacher):
        def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
            said = super().__call__(batch, taps, workers)
            return Answers(said.logits + torch.randn(said.logits.shape))

    these = views(data)
    batch = next(these.epoch(0))
    state = torch.random.get_rng_state()
    said = Recorded(Noisy(), these, (), tmp_path / "answers", shown)(batch, ())
    assert torch.equal(torch.random.get_rng_state(), state)
    again = Recorded(Noisy(), these, (), tmp_path / "other", shown)(batch, ())
    assert torch.equal(said.logits, again.logits)


SECOND = AugmentOptions(rotate=30, noise=0.2)


def test_each_view_of_a_sample_gets_the_answer_to_itself_in_any_order_and_batch(
    data: TrainingData, tmp_path: Path
) -> None:
    asked = Teacher()
    for size in (7, 100, 1000):
        these = views(data, batch_size=size, second_view=SECOND)
        kept = RecordedLooks(
            [
                Recorded(asked, these, ("half",), tmp_path / "first", shown, 0),
                Recorded(asked, these, ("half",), tmp_path / "second", shown, 1),
            ]
        )
        for epoch in (0, 2, 1):
            for batch in these.epoch(epoch):
                said = kept(batch, ("half",))
                assert torch.equal(said.logits, expected(batch).logits)
                assert torch.equal(said.taps["half"], expected(batch).taps["half"])
    assert sum(map(len, asked.asked)) == 3 * 2 * len(data.train)


TWICE = CUT.model_copy(update={"second_view": SECOND})


def test_in_two_views_a_second_student_asks_nothing_and_learns_the_same(data: TrainingData, tmp_path: Path) -> None:
    first, asked = student(data, tmp_path / "a", tmp_path / "kept", options=TWICE)
    again, asked_again = student(data, tmp_path / "b", tmp_path / "kept", options=TWICE)
    assert asked == 2 * 3 * len(data.train) + TWICE.batch_size  # the dry pass shows both views
    assert asked_again == TWICE.batch_size
    assert same(first, again)


def test_in_two_views_it_learns_almost_what_it_would_if_it_asked_in_every_step(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_, _ = student(data, tmp_path / "a", tmp_path / "kept", options=TWICE)
    monkeypatch.setattr(recorded, "MOST_BYTES", 1000)
    asking, asked = student(data, tmp_path / "b", tmp_path / "none", options=TWICE)
    assert asked == 3 * (len(data.train) // 100) * 200 + TWICE.batch_size
    for name, each in asking.items():
        torch.testing.assert_close(recorded_[name], each, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"augment": AugmentOptions(shift=2)}, 1),
        ({"second_view": AugmentOptions(rotate=31)}, 1),
        ({"second_view": OPTIONS.augment, "augment": SECOND}, 2),
        ({"batch_size": 50}, 0),
        ({"second_view": None}, 1),
    ],
    ids=["first", "second", "exchanged", "batch size", "one view"],
)
def test_of_two_views_the_one_that_is_changed_is_asked_again(
    data: TrainingData, tmp_path: Path, changed: dict[str, object], anew: int
) -> None:
    student(data, tmp_path / "a", tmp_path / "kept", options=TWICE)
    options = TWICE.model_copy(update=changed)
    _, asked = student(data, tmp_path / "b", tmp_path / "kept", options=options)
    assert asked == anew * 3 * len(data.train) + (options.looks - 1) * options.batch_size


@pytest.mark.parametrize("vanished", [False, True])
def test_in_two_views_stopped_and_resumed_it_learns_the_same(
    data: TrainingData, tmp_path: Path, vanished: bool
) -> None:
    whole, _ = student(data, tmp_path / "a", tmp_path / "kept", options=TWICE)
    with pytest.raises(StoppedError):
        student(data, tmp_path / "b", tmp_path / "other", options=TWICE, progress=StopAfter(15))
    resumed, _ = student(data, tmp_path / "b", tmp_path / ("third" if vanished else "other"), options=TWICE)
    assert same(whole, resumed)
