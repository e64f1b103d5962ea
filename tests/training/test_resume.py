"""An interrupted training goes on after the last finished epoch and ends in the same weights, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgekd.config.training import TrainingOptions
from edgekd.progress import Silent
from edgekd.training.lesson import Lesson
from edgekd.training.loop import TrainingData
from edgekd.training.losses.base import Loss
from edgekd.training.losses.crd import ContrastiveRepresentation
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.fitnet import FitNet
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.losses.wkd_logits import WassersteinLogits
from edgekd.training.teachers import Live
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.temperatures.learned import Learned as LearnedTemperature
from edgekd.training.weights import read_tensors

from .conftest import HINTON, OPTIONS, StopAfter, StoppedError, network, own, same, weights
from .conftest import run as train_with


class Learned(nn.Module):
    """A loss term with a weight of its own, which a checkpoint must keep as well."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, lesson: Lesson) -> Tensor:
        return nn.functional.cross_entropy(lesson.student.logits * self.scale, lesson.batch.labels)


def run(
    data: TrainingData,
    work: Path,
    progress: Silent,
    options: TrainingOptions = OPTIONS,
    seed: int = 0,
    others: tuple[Loss, ...] = (),
) -> tuple[dict[str, Tensor], object]:
    """The final weights, the term's own among them, and the history."""
    model, term = network(), Learned()
    losses = [own(term), *others]
    result = train_with(model, data, work, losses=losses, options=options, seed=seed, progress=progress)
    return {**weights(model), "scale": term.scale.detach().clone()}, result.history


@pytest.fixture
def whole(data: TrainingData, tmp_path: Path) -> tuple[dict[str, Tensor], object]:
    (tmp_path / "whole").mkdir()
    return run(data, tmp_path / "whole", Silent())


@pytest.mark.parametrize("stopped_at", [0, 5, 11, 12, 25, 33])
def test_stopped_at_any_step_it_ends_in_the_same_weights(
    data: TrainingData, work: Path, whole: tuple[dict[str, Tensor], object], stopped_at: int
) -> None:
    assert len(data.train) // 100 == 11  # so that these steps lie in, at the end of and between epochs
    if stopped_at < 33:
        with pytest.raises(StoppedError):
            run(data, work, StopAfter(stopped_at))
    progress = StopAfter()
    ended, history = run(data, work, progress)
    assert same(ended, whole[0])
    assert history == whole[1]
    finished = stopped_at // 11 if stopped_at < 33 else 0
    assert progress.lines == ([f"network: going on after epoch {finished}"] if finished else [])
    assert progress.steps == progress.total


def test_stopped_again_and_again_it_still_ends_in_the_same_weights(
    data: TrainingData, work: Path, whole: tuple[dict[str, Tensor], object]
) -> None:
    for steps in (13, 13):
        with pytest.raises(StoppedError):
            run(data, work, StopAfter(steps))
    assert same(run(data, work, Silent())[0], whole[0])


def test_a_finished_training_is_not_trained_again(
    data: TrainingData, work: Path, whole: tuple[dict[str, Tensor], object]
) -> None:
    run(data, work, Silent())
    ended, history = run(data, work, StopAfter(0))  # a single step would raise
    assert same(ended, whole[0])
    assert history == whole[1]


@pytest.mark.parametrize("damage", ["flip tensors", "cut tensors", "no tensors", "flip json", "cut json", "no json"])
def test_a_damaged_checkpoint_is_said_and_started_over_never_used(
    data: TrainingData, work: Path, whole: tuple[dict[str, Tensor], object], damage: str
) -> None:
    with pytest.raises(StoppedError):
        run(data, work, StopAfter(25))
    kind, part = damage.split()
    path = work / "checkpoint.json" if part == "json" else next(work.glob("epoch-*.safetensors"))
    content = bytearray(path.read_bytes())
    if kind == "no":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        place = content.index(b'"loss":') + 9 if part == "json" else len(content) - 40
        content[place] ^= 1
        path.write_bytes(content)
    progress = StopAfter()
    ended, _ = run(data, work, progress)
    assert same(ended, whole[0])
    warned = [line for line in progress.lines if line.startswith("warning: network: the checkpoint cannot be used")]
    assert len(warned) == (0 if damage == "no json" else 1)


@pytest.mark.parametrize("change", ["options", "seed", "losses"])
def test_a_checkpoint_of_another_training_is_not_used(data: TrainingData, work: Path, change: str) -> None:
    with pytest.raises(StoppedError):
        run(data, work, StopAfter(25))
    options = OPTIONS.model_copy(update={"learning_rate": 0.02}) if change == "options" else OPTIONS
    others = (CrossEntropy(use="cross_entropy"),) if change == "losses" else ()
    progress = StopAfter()
    run(data, work, progress, options, seed=1 if change == "seed" else 0, others=others)
    assert "it belongs to another training" in progress.lines[0]


@pytest.mark.parametrize(
    ("term", "part"),
    [
        (FitNet(use="fitnet", student="0", teacher="3", weight=5.0), "running_mean"),
        (SoftTargets(use="kd", temperature=LearnedTemperature(use="learned")), "theta"),
        (WassersteinLogits(use="wkd_logits", temperature=Fixed(use="fixed", value=8.0)), "covariance"),
    ],
    ids=["projector", "temperature", "costs"],
)
def test_a_distillation_goes_on_with_what_its_terms_learned(
    data: TrainingData, tmp_path: Path, term: Loss, part: str
) -> None:
    """A projector is learned, and its batch norm has statistics: both must come back for the same weights."""
    losses = [*HINTON, term]

    def distilled(folder: str, progress: Silent) -> tuple[dict[str, Tensor], object]:
        (tmp_path / folder).mkdir(exist_ok=True)
        student = network()
        history = train_with(
            student,
            data,
            tmp_path / folder,
            losses=losses,
            teachers={"teacher": Live(network(seed=5))},
            progress=progress,
        ).history
        return weights(student), history

    whole, history = distilled("whole", Silent())
    with pytest.raises(StoppedError):
        distilled("stopped", StopAfter(25))
    ended, same_history = distilled("stopped", Silent())
    assert same(ended, whole)
    assert same_history == history
    kept = read_tensors(next((tmp_path / "whole").glob("epoch-*.safetensors")))
    assert any(name.startswith("objective.") and name.endswith(part) for name in kept)


def test_a_distillation_with_a_bank_goes_on_with_it_and_draws_the_same(data: TrainingData, tmp_path: Path) -> None:
    losses = [*HINTON, ContrastiveRepresentation(use="crd", student="0", teacher="3", weight=0.8, negatives=50)]

    def distilled(folder: str, progress: Silent) -> dict[str, Tensor]:
        (tmp_path / folder).mkdir(exist_ok=True)
        student, teachers = network(), {"teacher": Live(network(seed=5))}
        train_with(student, data, tmp_path / folder, losses=losses, teachers=teachers, progress=progress)
        return weights(student)

    whole = distilled("whole", Silent())
    with pytest.raises(StoppedError):
        distilled("stopped", StopAfter(25))
    assert same(distilled("stopped", Silent()), whole)


def test_only_the_last_checkpoint_is_kept(data: TrainingData, work: Path) -> None:
    run(data, work, Silent())
    assert sorted(path.name for path in work.iterdir()) == ["checkpoint.json", "epoch-3.safetensors"]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.digits import Digits
from edgekd.data.modalities.base import contract_for
from edgekd.data.split import stratified_split
from edgekd.models.conv import ConvStack
from edgekd.progress import Silent
from edgekd.training.execution import Execution
from edgekd.training.loop import TrainingData, train
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.network import build_network
from edgekd.training.weights import save_weights

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
images = Digits(use="digits").load(Silent())
kept, held = stratified_split(images.train.labels, 200, seed=0)
split = images.train.take(kept)
contract = contract_for("image", split.samples, images.classes)
model = build_network(ConvStack(use="conv", stages=2), contract, 0)
options = TrainingOptions(epochs=20, batch_size=64, shards=2, augment=AugmentOptions(shift=1))
train(
    model, [CrossEntropy(use="cross_entropy")], TrainingData(split, images.train.take(held), contract), options,
    seed=3, execution=Execution(shards=2), work=folder, progress=Silent(), section="teacher", name="network",
)
save_weights(model, folder / "final.safetensors")
"""


def _finished(folder: Path) -> int:
    """The newest epoch that a checkpoint was written for."""
    return max((int(path.stem.partition("-")[2]) for path in folder.glob("epoch-*.safetensors")), default=0)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_really_killed_twice_it_ends_in_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(SCRIPT)

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), str(tmp_path / name), str(Path.cwd())])

    assert start("whole").wait(300) == 0
    for epoch in (2, 6):
        victim = start("killed")
        deadline_s = time.monotonic() + 300
        while _finished(tmp_path / "killed") < epoch:
            assert victim.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
        victim.send_signal(signal.SIGKILL)
        assert victim.wait(60) == -signal.SIGKILL
        assert not (tmp_path / "killed" / "final.safetensors").exists()
    assert start("killed").wait(300) == 0
    expected, ended = (read_tensors(tmp_path / name / "final.safetensors") for name in ("whole", "killed"))
    assert same(ended, expected)
