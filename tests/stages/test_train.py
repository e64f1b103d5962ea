"""The train stage: what it records of its teachers, and under which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.digits import Digits
from edgekd.errors import ConfigError, StageError
from edgekd.models.conv import ConvStack
from edgekd.models.reused import Reused
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.network import NetworkRecord, ReuseRecord, StartRecord
from edgekd.stages.data import DataStage
from edgekd.stages.files import load_record, load_split
from edgekd.stages.networks import Peer, TrainedNetwork
from edgekd.stages.train import TrainStage
from edgekd.training.initialisers.narrowed import Narrowed
from edgekd.training.loop import TrainingData, TrainingResult
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.losses.sim_kd import ReusedFeatures
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.weights import read_tensors

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
    work.mkdir(parents=True)
    context = Context(work, folder / "cache", stage.outputs, seed, Silent())
    stage.run(context, inputs)
    return {port: context.output(port) for port in stage.outputs}


def contract_of_digits() -> ModelContract:
    return ModelContract(
        modality="image",
        inputs=(InputSpec(name="image", shape=(1, 8, 8), preprocessing={"mean": [0.3], "std": [0.4]}),),
        classes=tuple("0123456789"),
    )


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


def test_a_student_starts_with_the_units_of_its_teacher_and_says_how_many(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path
) -> None:
    folder, inputs = place
    loaded = replace(
        network("student", OPTIONS, width=3), options=None, start=Narrowed(use="narrowed", network="teacher")
    )
    stage = TrainStage(loaded, (), "image", network("teacher", OPTIONS))
    assert stage.inputs == ("train", "validation", "contract", "weights@teacher")
    (tmp_path / "work").mkdir()
    context = Context(tmp_path / "work", folder / "cache", stage.outputs, 0, Silent())
    assert stage.run(context, inputs).endswith("% of validation right · 14 of 14 tensors from teacher")
    record = load_record(NetworkRecord, context.output("training"))
    assert record.started_from == StartRecord(network="teacher", tensors=14)
    mine, theirs = (read_tensors(path) for path in (context.output("weights"), inputs["weights@teacher"]))
    rows = [row.tolist() for row in theirs["stages.0.0.0.weight"]]
    assert all(row.tolist() in rows for row in mine["stages.0.0.0.weight"])


def test_a_student_that_nothing_fits_is_told_where_it_is_written(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path
) -> None:
    folder, inputs = place
    start = Narrowed(use="narrowed", network="teacher")
    wide = replace(network("student", OPTIONS, width=9), section="distill", start=start)
    with pytest.raises(ConfigError, match=r"student\.start: no weights of teacher fit"):
        run(TrainStage(wide, (), "image", network("teacher", OPTIONS)), tmp_path / "student", folder, inputs)


def test_what_a_reused_classifier_costs_is_recorded_and_the_classifier_is_the_teachers(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path
) -> None:
    folder, inputs = place
    teacher, plain = network("teacher", OPTIONS), network("student", OPTIONS, taught=True, width=3)
    model = Reused(use="reused", body=plain.model, lender=teacher.model, reduction=2)
    reusing = replace(plain, model=model, losses=(ReusedFeatures(use="sim_kd"),), lender="teacher")
    start = Narrowed(use="narrowed", network="teacher")
    for name, begun, origin in (("fresh", None, None), ("narrowed", start, teacher)):
        stage = TrainStage(replace(reusing, start=begun), (teacher,), "image", origin, teacher)
        assert stage.inputs == ("train", "validation", "contract", "weights@teacher")
        found = run(stage, tmp_path / name, folder, inputs)
        mine, theirs = (read_tensors(path) for path in (found["weights"], inputs["weights@teacher"]))
        assert all(mine[each].equal(theirs[each]) for each in ("head.weight", "head.bias"))
        record = load_record(NetworkRecord, found["training"])
        learned = {each: tensor.numel() for each, tensor in mine.items() if each.endswith(("weight", "bias"))}
        projector = sum(count for each, count in learned.items() if each.startswith("pool.projector."))
        body = sum(count for each, count in learned.items() if each.startswith("stages."))
        assert record.parameters == body + projector + 8 * 10 + 10
        assert record.reused == ReuseRecord(
            network="teacher", projector=projector, classifier=8 * 10 + 10, without=body + 6 * 10 + 10
        )


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


def shown(folder: Path, inputs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, stage: TrainStage) -> list[int]:
    """The labels that the training of this stage is given, sorted."""
    given: list[list[int]] = []

    def look(module: object, losses: object, data: TrainingData, options: object, **_: object) -> TrainingResult:
        given.append(sorted(data.train.labels.tolist()))
        raise StageError("seen")

    monkeypatch.setattr("edgekd.training.loop.train", look)
    with pytest.raises(StageError, match="seen"):
        run(stage, folder / "work", folder, inputs)
    return given[0]


@pytest.fixture(scope="module")
def partly_labelled(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("partly")
    return run(DataStage(Digits(use="digits", labelled=0.1)), folder / "data", folder, {})


def test_without_a_teacher_it_is_shown_what_is_labelled_and_with_one_everything(
    place: tuple[Path, Mapping[str, Path]],
    partly_labelled: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = {**place[1], **partly_labelled}
    untaught = TrainStage(network("teacher", OPTIONS), (), "image")
    seen = shown(tmp_path / "alone", inputs, monkeypatch, untaught)
    assert len(seen) == 1213, "as many steps as with a teacher"
    labels = load_split(inputs["train"]).labels
    labelled = np.bincount(labels[labels >= 0])
    assert min(seen) == 0
    assert (abs(np.bincount(seen) / labelled - 10) <= 1).all(), "each about as often"
    taught = TrainStage(network("student", OPTIONS, taught=True), (network("teacher", OPTIONS),), "image")
    seen = shown(tmp_path / "taught", inputs, monkeypatch, taught)
    assert len(seen) == 1213
    assert seen.count(-1) == 1213 - 121
    twin = Peer("twin", "distill.peers.twin", ConvStack(use="conv", width=4))
    beside = TrainStage(replace(network("student", OPTIONS), peers=(twin,)), (), "image")
    assert shown(tmp_path / "beside", inputs, monkeypatch, beside) == seen


def test_a_class_that_is_left_out_is_never_shown(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = OPTIONS.model_copy(update={"leave_out": ("3", "8")})
    stage = TrainStage(network("student", options, taught=True), (network("teacher", OPTIONS),), "image")
    assert set(shown(tmp_path, place[1], monkeypatch, stage)) == {0, 1, 2, 4, 5, 6, 7, 9}


def test_peers_without_a_single_label_among_them_are_refused(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path
) -> None:
    unlabelled = run(DataStage(Digits(use="digits", labelled=0)), tmp_path / "data", tmp_path, {})
    twin = Peer("twin", "distill.peers.twin", ConvStack(use="conv", width=4))
    stage = TrainStage(replace(network("student", OPTIONS), peers=(twin,)), (), "image")
    with pytest.raises(ConfigError, match="student is shown no training sample at all"):
        run(stage, tmp_path / "work", tmp_path, {**place[1], **unlabelled})


def test_a_class_that_there_is_not_and_a_training_without_samples_are_refused(
    place: tuple[Path, Mapping[str, Path]], partly_labelled: Mapping[str, Path], tmp_path: Path
) -> None:
    wrong = TrainStage(network("teacher", OPTIONS.model_copy(update={"leave_out": ("33",)})), (), "image")
    with pytest.raises(ConfigError, match="no class is called '33'") as refused:
        run(wrong, tmp_path / "wrong", tmp_path, place[1])
    assert refused.value.where == "teacher.leave_out.0"
    everything = OPTIONS.model_copy(update={"leave_out": tuple("0123456789")})
    with pytest.raises(ConfigError, match="is shown no training sample at all"):
        run(TrainStage(network("teacher", everything), (), "image"), tmp_path / "all", tmp_path, partly_labelled)


def test_a_teacher_that_learned_smoothed_labels_is_warned_of(
    place: tuple[Path, Mapping[str, Path]], tmp_path: Path
) -> None:
    smooth = replace(network("teacher", OPTIONS), losses=(CrossEntropy(use="cross_entropy", label_smoothing=0.1),))
    told: list[list[str]] = []
    for teacher in (network("teacher", OPTIONS), smooth):
        stage = TrainStage(network("student", OPTIONS, taught=True), (teacher,), "image")
        work = tmp_path / str(len(told))
        work.mkdir()
        context = Context(work, tmp_path / "cache", stage.outputs, 0, Silent())
        stage.run(context, place[1])
        told.append([each for each in context.warnings if "label smoothing" in each])
    assert [len(each) for each in told] == [0, 1]
    assert told[1][0].startswith("teacher was trained with label smoothing")


def test_answers_to_other_rows_are_recorded_anew(place: tuple[Path, Mapping[str, Path]], tmp_path: Path) -> None:
    """As many samples are left without one class as without the other: nothing but their rows tells them apart."""
    folder, inputs = place
    labels = load_split(inputs["train"]).labels
    counts = np.bincount(labels)
    one, other = next((a, b) for a in range(10) for b in range(a) if counts[a] == counts[b])
    student(folder, inputs, "without one", OPTIONS.model_copy(update={"leave_out": (str(one),)}))
    kept = recordings(folder)
    student(folder, inputs, "without other", OPTIONS.model_copy(update={"leave_out": (str(other),)}))
    assert len(recordings(folder) - kept) == 2
