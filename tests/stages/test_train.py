"""The train stage: what it records of its teachers, and under which key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.digits import Digits
from edgekd.models.conv import ConvStack
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.stages.data import DataStage
from edgekd.stages.networks import TrainedNetwork
from edgekd.stages.train import TrainStage
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.temperatures.fixed import Fixed

OPTIONS = TrainingOptions(epochs=2, batch_size=128, augment=AugmentOptions(shift=1))


def network(name: str, options: TrainingOptions, *, taught: bool = False, width: int = 4) -> TrainedNetwork:
    hint = SoftTargets(use="kd", temperature=Fixed(use="fixed", value=4))
    return TrainedNetwork(
        name=name,
        section="distill" if taught else "teacher",
        model=ConvStack(use="conv", width=width, stages=2),
        options=options,
        losses=(CrossEntropy(use="cross_entropy"), *((hint,) if taught else ())),
        sources=("teacher",) if taught else (),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Path]]:
    """A folder with a cache, and what trainings read: the data and a teacher."""
    folder = tmp_path_factory.mktemp("trainings")
    found = run(DataStage(Digits(use="digits")), folder / "data", folder, {})
    teacher = TrainStage(network("teacher", OPTIONS.model_copy(update={"epochs": 1})), (), "image")
    trained = run(teacher, folder / "teacher", folder, found)
    return folder, {**found, "weights@teacher": trained["weights"]}


def run(
    stage: DataStage | TrainStage, work: Path, folder: Path, inputs: Mapping[str, Path], seed: int = 0
) -> dict[str, Path]:
    work.mkdir()
    context = Context(work, folder / "cache", stage.outputs, seed, Silent())
    stage.run(context, inputs)
    return {port: context.output(port) for port in stage.outputs}


def recordings(folder: Path) -> set[Path]:
    return set((folder / "cache" / "answers").rglob("*.safetensors"))


def student(
    folder: Path,
    inputs: Mapping[str, Path],
    name: str,
    options: TrainingOptions = OPTIONS,
    *,
    seed: int = 0,
    width: int = 4,
) -> dict[str, Path]:
    sources = (network("teacher", OPTIONS),)
    return run(
        TrainStage(network("student", options, taught=True, width=width), sources, "image"),
        folder / name,
        folder,
        inputs,
        seed,
    )


def test_every_student_of_a_teacher_reads_what_the_first_one_recorded(place: tuple[Path, Mapping[str, Path]]) -> None:
    folder, inputs = place
    student(folder, inputs, "first")
    kept = recordings(folder)
    assert len(kept) == 2, "one a view"
    student(folder, inputs, "wider", width=6)
    student(folder, inputs, "other steps", OPTIONS.model_copy(update={"batch_size": 100, "learning_rate": 0.1}))
    assert recordings(folder) == kept
    again = student(folder, inputs, "again")
    assert again["weights"].read_bytes() == (folder / "first" / "outputs" / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("changed", ["augmentation", "seed", "teacher", "samples"])
def test_whatever_changes_an_answer_is_recorded_anew(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path, changed: str
) -> None:
    folder, inputs = place
    student(folder, inputs, f"before {changed}")
    kept = recordings(folder)
    options, seed, others = OPTIONS, 0, dict(inputs)
    if changed == "augmentation":
        options = OPTIONS.model_copy(update={"augment": AugmentOptions(shift=2)})
    elif changed == "seed":
        seed = 1
    elif changed == "teacher":
        teacher = TrainStage(network("teacher", OPTIONS.model_copy(update={"epochs": 1})), (), "image")
        others["weights@teacher"] = run(teacher, tmp_path / "teacher", tmp_path, inputs, seed=7)["weights"]
    else:
        others |= run(DataStage(Digits(use="digits", validation=100)), tmp_path / "data", tmp_path, {})
    student(folder, others, f"after {changed}", options, seed=seed)
    assert len(recordings(folder) - kept) == 2
    assert recordings(folder) > kept
