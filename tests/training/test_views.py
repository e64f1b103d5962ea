"""What a sample looks like depends on (seed, view, row) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.modalities.base import contract_for
from edgekd.data.samples import Split
from edgekd.errors import ConfigError
from edgekd.training import views as module
from edgekd.training.execution import Execution
from edgekd.training.lesson import Batch
from edgekd.training.looks import view_table
from edgekd.training.views import Views
from edgekd.training.workers import Workers

EVERYTHING = AugmentOptions(shift=2, rotate=20, scale=0.2, shear=10, flip=True, erase=3)
DRAWN = np.random.default_rng(0)
IMAGES = Split(DRAWN.integers(0, 256, (70, 9, 7, 3)).astype(np.uint8), DRAWN.integers(0, 4, 70))
ROWS = Split(DRAWN.normal(size=(70, 5)).astype(np.float32), DRAWN.integers(0, 4, 70))


def views(
    split: Split = IMAGES,
    *,
    augment: AugmentOptions = EVERYTHING,
    batch_size: int = 16,
    seed: int = 5,
    epochs: int = 9,
    views: int | None = None,
    second: AugmentOptions | None = None,
) -> Views:
    kind = "image" if len(split.samples.shape) == 4 else "vector"
    contract = contract_for(kind, split.samples, ("a", "b", "c", "d"))
    options = TrainingOptions(epochs=epochs, batch_size=batch_size, augment=augment, views=views, second_view=second)
    return Views(split, contract, options, seed=seed, section="teacher")


def by_row(batches: Iterable[Batch]) -> dict[int, Tensor]:
    return {int(row): x for each in batches for row, x in zip(each.rows, next(iter(each.inputs.values())), strict=True)}


@pytest.mark.parametrize(
    ("split", "augment"), [(IMAGES, EVERYTHING), (ROWS, AugmentOptions(noise=0.3))], ids=["images", "rows"]
)
def test_the_batch_size_changes_no_sample(split: Split, augment: AugmentOptions) -> None:
    whole, parts, single = (by_row(views(split, augment=augment, batch_size=size).epoch(3)) for size in (70, 8, 1))
    assert len(whole) == len(single) == 70
    assert len(parts) == 64
    assert all(torch.equal(each, whole[row]) for row, each in parts.items())
    assert all(torch.equal(each, whole[row]) for row, each in single.items())


def test_another_view_or_another_seed_shows_other_samples() -> None:
    one = by_row(views(batch_size=70).epoch(0))
    for other in (by_row(views(batch_size=70).epoch(1)), by_row(views(batch_size=70, seed=6).epoch(0))):
        assert sum(torch.equal(each, one[row]) for row, each in other.items()) < 3


def test_an_epoch_is_the_same_whichever_were_made_before_and_whatever_others_draw() -> None:
    fresh = list(views().epoch(2))
    made = views()
    for number in (0, 1):
        list(made.epoch(number))
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    again = list(made.epoch(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for left, right in zip(fresh, again, strict=True):
        assert np.array_equal(left.rows, right.rows)
        assert torch.equal(left.inputs["image"], right.inputs["image"])


def test_the_order_is_the_same_for_every_network_and_data_and_another_in_each_epoch() -> None:
    orders = [np.concatenate([each.rows for each in views(batch_size=7).epoch(number)]) for number in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(70))
    assert not np.array_equal(orders[0], orders[1])
    plain = np.concatenate([each.rows for each in views(ROWS, augment=AugmentOptions(), batch_size=35).epoch(0)])
    assert np.array_equal(plain, orders[0])
    assert np.corrcoef(orders[0], np.arange(70))[0, 1] < 0.5


def test_labels_and_rows_belong_to_the_samples() -> None:
    plain = views(augment=AugmentOptions())
    inputs = plain.kind.feed(np.asarray(IMAGES.samples), plain.specs)["image"]
    for batch in plain.epoch(0):
        assert np.array_equal(batch.inputs["image"].numpy(), inputs[batch.rows])
        assert np.array_equal(batch.labels.numpy(), IMAGES.labels[batch.rows])
        assert batch.view == 0


def test_images_lie_channels_last_and_rows_as_they_are() -> None:
    for augment in (EVERYTHING, AugmentOptions()):
        image = next(views(augment=augment).epoch(0)).inputs["image"]
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert not image.is_contiguous()
    assert next(views(ROWS, augment=AugmentOptions()).epoch(0)).inputs["features"].is_contiguous()


def test_a_ragged_batch_is_left_out_and_its_samples_come_in_another_epoch() -> None:
    made = views(batch_size=32)
    assert made.steps == 2
    left_out = [set(range(70)) - set(by_row(made.epoch(number))) for number in range(8)]
    assert {len(each) for each in left_out} == {6}
    assert not set.intersection(*left_out)


@given(
    seed=st.integers(0, 2**32 - 1),
    view=st.integers(0, 10_000),
    rows=st.integers(1, 40),
    more=st.integers(0, 40),
    numbers=st.integers(0, 9),
)
def test_a_row_of_a_view_is_the_same_however_many_follow_it(
    seed: int, view: int, rows: int, more: int, numbers: int
) -> None:
    table = view_table(seed, view, rows, numbers)
    assert table.shape == (rows, numbers)
    assert np.array_equal(view_table(seed, view, rows + more, numbers)[:rows], table)
    assert ((table >= 0) & (table < 1)).all()
    if table.size:
        assert not np.array_equal(view_table(seed, view + 1, rows, numbers), table)
        assert not np.array_equal(view_table(seed ^ 1, view, rows, numbers), table)


def test_a_view_is_pinned_so_that_recorded_answers_stay_valid() -> None:
    pinned = [0.277970282193581, 0.445153123967549, 0.9337384056832592, 0.6828411581325566]
    assert view_table(7, 2, 2, 2).ravel().tolist() == pinned


def test_an_option_that_this_kind_of_input_has_no_use_for_is_refused_by_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^teacher\.augment: .*flip"):
        views(ROWS, augment=AugmentOptions(flip=True))


def test_fewer_views_than_epochs_are_shown_again_in_another_order() -> None:
    these = views(epochs=5, views=2)
    first, again = list(these.epoch(1)), list(these.epoch(3))
    assert [batch.view for batch in (*first, *again)] == [1] * 8
    assert not np.array_equal(first[0].rows, again[0].rows)
    shown = by_row(first)
    assert all(torch.equal(each, shown[row]) for row, each in by_row(again).items() if row in shown)


def test_shards_change_no_sample() -> None:
    rows = np.arange(50)
    with Workers(Execution(shards=3)) as workers:
        cut = views().batch(rows, 2, workers)
    whole = views().batch(rows, 2)
    assert torch.equal(cut.inputs["image"], whole.inputs["image"])
    assert cut.inputs["image"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(cut.labels, whole.labels)


@pytest.mark.parametrize("together", [1, 40, 10_000])
@pytest.mark.parametrize("shards", [1, 2])
def test_batches_made_together_are_those_made_one_by_one(
    monkeypatch: pytest.MonkeyPatch, together: int, shards: int
) -> None:
    monkeypatch.setattr(module, "TOGETHER", together)
    mixed = EVERYTHING.model_copy(update={"mixup": 0.5})
    made = views(augment=mixed, batch_size=9, second=STRONG)
    asked = []
    begun = made._begun

    def watched(rows: NDArray[np.int64], view: int, workers: Workers, look: int | None = None) -> Callable[[], Batch]:
        asked.append(len(rows))
        return begun(rows, view, workers, look)

    monkeypatch.setattr(made, "_begun", watched)
    with Workers(Execution(shards=shards)) as workers:
        found = list(made.epoch(3, workers))
    monkeypatch.undo()
    assert asked == {1: [9] * 7, 40: [18, 18, 18, 9], 10_000: [63]}[together]
    assert len(found) == made.steps == 7
    for batch in found:
        alone = made.batch(batch.rows[::2], 3)
        assert np.array_equal(batch.rows, alone.rows)
        assert torch.equal(batch.labels, alone.labels)
        assert torch.equal(batch.inputs["image"], alone.inputs["image"])
        assert batch.inputs["image"].stride() == alone.inputs["image"].stride()
        assert batch.mixed is not None
        assert alone.mixed is not None
        assert torch.equal(batch.mixed.labels, alone.mixed.labels)
        assert torch.equal(batch.mixed.share, alone.mixed.share)
        assert (batch.view, batch.labelled, batch.looks) == (alone.view, alone.labelled, alone.looks)


WEAK, STRONG = AugmentOptions(crop=2, flip=True), AugmentOptions(rotate=30, noise=0.5, erase=4)


def test_a_second_view_shows_every_sample_twice_in_a_step_and_changes_nothing_in_the_first() -> None:
    both, alone = views(augment=WEAK, second=STRONG), views(augment=WEAK)
    assert both.steps == alone.steps
    for batch, first in zip(both.epoch(3), alone.epoch(3), strict=True):
        assert batch.looks == 2
        assert batch.rows.tolist() == np.repeat(first.rows, 2).tolist()
        assert torch.equal(batch.labels, first.labels.repeat_interleave(2))
        assert torch.equal(batch.inputs["image"][0::2], first.inputs["image"])
        assert torch.equal(batch.only(0).inputs["image"], first.inputs["image"])
        assert (batch.only(1).inputs["image"] != first.inputs["image"]).flatten(1).any(1).all()
        assert batch.inputs["image"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_neither_batches_nor_shards_nor_the_first_options_change_a_second_view(mixup: float) -> None:
    second = STRONG.model_copy(update={"mixup": mixup})
    expected = by_row(each.only(1) for each in views(second=second, batch_size=70).epoch(3))
    for first, size in ((EVERYTHING, 8), (WEAK, 70), (AugmentOptions(), 33)):
        found = by_row(each.only(1) for each in views(augment=first, second=second, batch_size=size).epoch(3))
        assert len(found) >= 64
        assert all(torch.equal(each, expected[row]) for row, each in found.items())
    rows = np.arange(51)
    with Workers(Execution(shards=3), looks=2) as workers:
        cut = views(second=second).batch(rows, 3, workers)
    assert torch.equal(cut.inputs["image"], views(second=second).batch(rows, 3).inputs["image"])


def test_two_views_that_ask_for_the_same_are_two_draws() -> None:
    (batch,) = views(augment=STRONG, second=STRONG, batch_size=70).epoch(0)
    first, second = batch.only(0).inputs["image"], batch.only(1).inputs["image"]
    assert (first != second).flatten(1).any(1).all()


def test_only_the_changed_view_is_another_one_in_each_epoch() -> None:
    made = views(augment=AugmentOptions(), second=STRONG, batch_size=70, epochs=4)
    epochs = [next(made.epoch(number)) for number in range(2)]
    plain, changed = ([by_row([batch.only(number)]) for batch in epochs] for number in (0, 1))
    assert [batch.view for batch in epochs] == [0, 1]
    assert all(torch.equal(each, plain[1][row]) for row, each in plain[0].items())
    assert not any(torch.equal(each, changed[1][row]) for row, each in changed[0].items())


def test_a_second_view_without_any_change_is_the_sample_itself() -> None:
    made = views(second=AugmentOptions())
    inputs = made.kind.feed(np.asarray(IMAGES.samples), made.specs)["image"]
    for batch in made.epoch(1):
        assert np.array_equal(batch.only(1).inputs["image"].numpy(), inputs[batch.only(1).rows])


def test_alternating_in_both_shows_a_sample_and_its_mirror_image_in_every_step() -> None:
    alternating = AugmentOptions(flip="alternating")
    made = views(augment=alternating, second=alternating, batch_size=70, epochs=4)
    first = None
    for number in range(3):
        (batch,) = made.epoch(number)
        one, other = batch.only(0), batch.only(1)
        assert torch.equal(one.inputs["image"], other.inputs["image"].flip(3))
        shown = by_row([one])
        if first is not None:
            assert all(torch.equal(each, first[row].flip(2)) for row, each in shown.items())
        first = shown


def test_what_one_view_mixes_leaves_the_other_whole() -> None:
    (batch,) = views(augment=WEAK, second=AugmentOptions(mixup=1), batch_size=70).epoch(0)
    assert batch.mixed is not None
    assert (batch.mixed.share[0::2] == 1).all()
    assert torch.equal(batch.mixed.labels[0::2], batch.labels[0::2])
    (alone,) = views(augment=AugmentOptions(mixup=1), batch_size=70).epoch(0)
    assert alone.mixed is not None
    assert 0 < float(batch.mixed.share[1::2].mean()) < 1
    assert not torch.equal(batch.mixed.share[1::2], alone.mixed.share)  # a draw of its own
    only = batch.only(1)
    assert only.mixed is not None
    assert torch.equal(only.mixed.labels, batch.mixed.labels[1::2])


def test_an_option_of_the_second_view_is_refused_by_its_own_place() -> None:
    with pytest.raises(ConfigError, match=r"^teacher\.second_view: .*flip"):
        views(ROWS, augment=AugmentOptions(), second=AugmentOptions(flip=True))


def test_a_second_view_is_pinned_so_that_recorded_answers_stay_valid() -> None:
    pinned = [view_table(7, 2, 1, 2, stream).ravel().tolist() for stream in ((), (3,), (2,), (4,))]
    assert len({each[0] for each in pinned}) == 4
    assert pinned[1] == [0.8996264322889888, 0.13513327779053286]


def test_texts_of_a_batch_are_about_as_long_as_each_other() -> None:
    drawn = np.random.default_rng(0)
    texts = np.array([b" ".join([b"word"] * int(count)) for count in drawn.integers(1, 40, 400)])
    contract = contract_for("text", texts, ("a", "b"))
    options = TrainingOptions(epochs=2, batch_size=16)
    made = Views(Split(texts, drawn.integers(0, 2, 400)), contract, options, seed=0, section="teacher")
    lengths = [(batch.inputs["ids"] != 0).sum(dim=1) for batch in made.epoch(0)]
    assert np.mean([int(each.max() - each.min()) for each in lengths]) < 4
    assert len({int(row) for batch in made.epoch(1) for row in batch.rows}) == 400
    order = made.shortest_first()
    taken = (made.batch(order, 0).inputs["ids"] != 0).sum(dim=1)
    assert torch.equal(taken, taken.sort().values)
    assert sorted(order.tolist()) == list(range(400))
