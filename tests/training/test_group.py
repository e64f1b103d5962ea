"""Several processes train one network together, started by torchrun as a user would; here on the processor, by gloo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edgekd.training.execution import Execution, Place, place_here
from edgekd.training.group import SINGLE, Group
from edgekd.training.weights import read_tensors
from edgekd.training.workers import Workers
from tests.command import python

from .conftest import same

PROGRAM = """
import json
import sys
from pathlib import Path

import torch
from torch import nn

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.digits import Digits
from edgekd.data.modalities.base import contract_for
from edgekd.data.split import stratified_split
from edgekd.errors import ConfigError
from edgekd.models.conv import ConvStack
from edgekd.progress import Silent
from edgekd.training.execution import Execution
from edgekd.training.group import join, leave
from edgekd.training.loop import TrainingData, train
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.fitnet import FitNet
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.network import build_network
from edgekd.training.optimizers.muon import Muon
from edgekd.training.recorded import Recordings
from edgekd.training.teachers import Live
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.weights import save_weights

asked = json.loads(sys.argv[1])
group = join()
folder = Path(asked["folder"]) / str(group.rank)
folder.mkdir(parents=True, exist_ok=True)
images = Digits(use="digits").load(Silent())
kept, held = stratified_split(images.train.labels, 200, seed=0)
split = images.train.take(kept)
contract = contract_for("image", split.samples, images.classes)
data = TrainingData(split, images.train.take(held), contract)
# each process draws other first weights and another objective: those of the first one count
model = build_network(ConvStack(use="conv", width=6, stages=2), contract, group.rank)
if asked.get("dropout"):
    model = nn.Sequential(*list(model)[:-1], nn.Dropout(0.2), list(model)[-1])
teacher = build_network(ConvStack(use="conv", width=8, stages=2), contract, 7)
twin = build_network(ConvStack(use="conv", width=5, stages=2), contract, 10 + group.rank)
options = TrainingOptions(
    epochs=3, batch_size=asked.get("batch_size", 101), learning_rate=0.01, views=2, averaging=asked.get("averaging", 0),
    optimizer=Muon(use="muon"), augment=AugmentOptions(shift=1, mixup=0.3), shards=asked["shards"],
    second_view=AugmentOptions(rotate=20) if asked.get("second_view") else None,
)
losses = [
    CrossEntropy(use="cross_entropy", weight=0.1),
    SoftTargets(use="kd", weight=0.9, temperature=Fixed(use="fixed", value=4.0)),
]
if not asked.get("dropout"):
    losses.append(FitNet(use="fitnet", weight=0.01, student="stages.0", teacher="stages.0"))


class Stop(Silent):
    def say(self, line):
        print(line)


def stop_after(epochs):
    class Stopping(Stop):
        def task(self, label, total):
            return _Task(total // options.epochs * epochs)
    return Stopping()


class _Task:
    def __init__(self, left):
        self.left = left

    def __enter__(self):
        return self.advance

    def __exit__(self, *_):
        pass

    def advance(self, amount=1, *, note=None):
        if amount and self.left == 0:
            raise KeyboardInterrupt
        self.left -= amount


def run(progress):
    return train(
        model, losses, data, options, seed=3,
        execution=Execution(shards=asked["shards"], processes=group.size), work=folder, progress=progress,
        section="distill", name="student", teachers={"teacher": Live(teacher)}, group=group,
        peers={"twin": twin} if asked.get("peer") else {},
        recordings=Recordings(folder / "answers", {"teacher": "t"}) if asked.get("recorded", True) else None,
    )


if asked.get("stop"):
    try:
        run(stop_after(asked["stop"]))
    except KeyboardInterrupt:
        print("stopped")
    leave()
    sys.exit()
try:
    result = run(Stop())
except ConfigError as error:
    print(f"{error} ({error.hint})")
    leave()
    sys.exit()
save_weights(model, folder / "final.safetensors")
save_weights(twin, folder / "twin.safetensors")
(folder / "history.json").write_text(result.history.model_dump_json())
leave()
"""


def start(processes: int, asked: dict[str, object]) -> str:
    """What the processes print; one alone is started without torchrun."""
    return python(PROGRAM, json.dumps(asked), processes=processes, timeout_s=300, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, two shards."""
    folder = tmp_path_factory.mktemp("alone")
    start(1, {"folder": str(folder), "shards": 2})
    return folder / "0"


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "final.safetensors")


def test_two_processes_train_what_one_does_in_two_shards(tmp_path: Path, alone: Path) -> None:
    start(2, {"folder": str(tmp_path), "shards": 1})
    first, second = weights_in(tmp_path / "0"), weights_in(tmp_path / "1")
    assert same(first, second)
    assert same(first, weights_in(alone))
    histories = [(folder / "history.json").read_text() for folder in (alone, tmp_path / "0", tmp_path / "1")]
    assert histories[1] == histories[2]
    assert histories[1].replace('"shards":1', '"shards":2').replace('"processes":2', '"processes":1') == histories[0]
    # only the first one keeps anything
    assert (tmp_path / "0" / "checkpoint.json").exists()
    assert list((tmp_path / "0" / "answers").rglob("*.safetensors"))
    assert not (tmp_path / "1" / "checkpoint.json").exists()
    assert not (tmp_path / "1" / "answers").exists()


def test_two_processes_train_in_two_views_what_one_does_in_two_shards(tmp_path: Path) -> None:
    start(2, {"folder": str(tmp_path / "two"), "shards": 1, "second_view": True})
    start(1, {"folder": str(tmp_path / "one"), "shards": 2, "second_view": True})
    assert same(weights_in(tmp_path / "two" / "0"), weights_in(tmp_path / "two" / "1"))
    assert same(weights_in(tmp_path / "two" / "0"), weights_in(tmp_path / "one" / "0"))


def test_they_go_on_where_they_were_stopped_with_what_the_first_one_kept(tmp_path: Path, alone: Path) -> None:
    assert start(2, {"folder": str(tmp_path), "shards": 1, "stop": 2}).count("stopped") == 2
    said = start(2, {"folder": str(tmp_path), "shards": 1})
    assert "student: going on after epoch 2" in said
    assert same(weights_in(tmp_path / "0"), weights_in(alone))
    assert same(weights_in(tmp_path / "1"), weights_in(alone))


def test_shards_in_each_of_them_and_an_average_of_the_weights(tmp_path: Path) -> None:
    asked: dict[str, object] = {"averaging": 0.9, "recorded": False}
    start(2, {"folder": str(tmp_path / "two"), "shards": 2, **asked})
    start(1, {"folder": str(tmp_path / "one"), "shards": 4, **asked})
    first, second = weights_in(tmp_path / "two" / "0"), weights_in(tmp_path / "two" / "1")
    assert same(first, second)
    one = weights_in(tmp_path / "one" / "0")
    # (a + b) + (c + d) against ((a + b) + c) + d
    for name, each in first.items():
        torch.testing.assert_close(each, one[name], rtol=2e-3, atol=2e-4)


def test_a_peer_learns_in_both_of_them(tmp_path: Path, alone: Path) -> None:
    start(2, {"folder": str(tmp_path / "two"), "shards": 1, "peer": True})
    start(1, {"folder": str(tmp_path / "one"), "shards": 2, "peer": True})
    first, second, one = (tmp_path / "two" / "0", tmp_path / "two" / "1", tmp_path / "one" / "0")
    for name in ("final", "twin"):
        found = [read_tensors(folder / f"{name}.safetensors") for folder in (first, second, one)]
        assert same(found[0], found[1])
        assert same(found[0], found[2])
    assert not same(weights_in(one), weights_in(alone))


def test_dropout_differs_between_them_and_the_weights_do_not(tmp_path: Path) -> None:
    start(2, {"folder": str(tmp_path), "shards": 1, "dropout": True})
    assert same(weights_in(tmp_path / "0"), weights_in(tmp_path / "1"))


def test_a_batch_smaller_than_they_are_many_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    said = start(2, {"folder": str(tmp_path), "shards": 1, "batch_size": 1})
    expected = "distill.batch_size: a batch of 1 samples is too small for 2 processes (set it to 64 or more"
    assert expected in said  # torchrun ends the other one, who may not have come to say it


@pytest.mark.parametrize(("size", "pieces", "count"), [(1, 1, 5), (3, 1, 10), (2, 3, 7), (4, 2, 3)])
def test_parts_cover_every_row_once_and_differ_by_one(size: int, pieces: int, count: int) -> None:
    parts = Group(0, size).parts(count, pieces)
    assert [row for part in parts for row in range(count)[part]] == list(range(count))
    lengths = [part.stop - part.start for part in parts]
    assert len(parts) == size * pieces
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("size", "pieces", "count"), [(1, 2, 202), (3, 1, 10), (2, 3, 14)])
def test_rows_of_one_sample_are_not_cut_apart(size: int, pieces: int, count: int) -> None:
    parts = Group(0, size).parts(count, pieces, together=2)
    assert [row for part in parts for row in range(count)[part]] == list(range(count))
    assert all(part.start % 2 == 0 and part.stop % 2 == 0 for part in parts)
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 2


def test_a_process_takes_its_own_part() -> None:
    taken = [Workers(Execution(shards=2), Group(rank, 3)).own_slices(60) for rank in range(3)]
    assert taken == [[slice(20 * r, 20 * r + 10), slice(20 * r + 10, 20 * r + 20)] for r in range(3)]
    assert Workers(Execution(shards=2), Group(1, 3)).slices(60) == [slice(0, 30), slice(30, 60)]


def test_the_whole_lies_in_memory_as_its_parts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_gather(everybody: list[torch.Tensor], part: torch.Tensor) -> None:
        for each in everybody:
            each.copy_(part)

    monkeypatch.setattr("torch.distributed.all_gather", all_gather)
    part = torch.randn(3, 4, 5, 2)
    for each in (part, part.to(memory_format=torch.channels_last)):
        whole = Group(0, 2).gathered(each, 6)
        assert torch.equal(whole, torch.cat([part, part]))
        assert whole.stride() == torch.cat([each, each]).stride()


def test_one_process_is_its_own_group() -> None:
    part = torch.arange(3)
    assert SINGLE.gathered(part, 3) is part
    SINGLE.add_up([part])
    SINGLE.copy([part])
    assert SINGLE.leads
    assert SINGLE.same("x") == "x"
    assert part.tolist() == [0, 1, 2]


def test_who_one_is_stands_in_torchruns_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert place_here() == Place(0, 1, 0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    assert place_here() == Place(0, 1, 0)  # some other program's
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert place_here() == Place(3, 4, 1)
