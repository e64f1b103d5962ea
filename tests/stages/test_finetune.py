"""How training in 8 bits is wired, by which losses it learns, and what becomes of a candidate that cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import JsonValue

from edgekd.config.pipeline import load_pipeline
from edgekd.errors import ConfigError
from edgekd.models.eight_bits import operators
from edgekd.pipeline.fingerprint import preimage
from edgekd.pipeline.plan import Node
from edgekd.pipeline.stage import Context
from edgekd.progress import Advance, Progress, Silent
from edgekd.records.candidate import CandidateRecord
from edgekd.records.finetuned import FinetunedRecord
from edgekd.stages.assembly import assemble
from edgekd.stages.files import load_record
from edgekd.stages.finetune import FinetuneStage, losses_of, options_of

PIPELINE = """\
name: small
data: {use: digits, validation: 0.2}
teacher: {model: {use: conv, width: 4, stages: 2}, epochs: 1}
student: {model: {use: conv, width: 4, stages: 2}}
distill: {epochs: 1, optimizer: muon, losses: [{use: cross_entropy, weight: 0.1}, {use: kd}]}
quantize: {candidates: [int8_qdq, {use: int8_qdq, finetune: 2}]}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
TUNED = "int8_qdq_finetuned"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here.yaml").write_text("name: here\ndevice: local\n")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    return tmp_path


def plan_of(folder: Path, *assignments: str) -> dict[str, Node]:
    return {node.id: node for node in assemble(load_pipeline(folder / "p.yaml", assignments=assignments)).nodes}


def decided_by(node: Node) -> Mapping[str, JsonValue]:
    return preimage(node.stage, {}, 0)


def stage_of(folder: Path, *assignments: str) -> FinetuneStage:
    stage = plan_of(folder, *assignments)[f"finetune@{TUNED}"].stage
    assert isinstance(stage, FinetuneStage)
    return stage


def test_only_what_asks_for_it_is_trained_in_8_bits(folder: Path) -> None:
    nodes = plan_of(folder)
    assert [name for name in nodes if name.startswith("finetune@")] == [f"finetune@{TUNED}"]
    tuned = nodes[f"quantize@{TUNED}"]
    assert tuned.inputs["trained"] == (f"finetune@{TUNED}", "model")
    assert not [name for name in plan_of(folder, "quantize.candidates=auto") if name.startswith("finetune@")]


def test_control_and_further_seeds_are_trained_so_where_such_a_file_is_chosen(folder: Path) -> None:
    nodes = plan_of(folder, "distill.control=true", "seeds=2")
    for network, further in (("control", 0), ("student.2", 1), ("control.2", 1)):
        node = nodes[f"finetune@{network}.here"]
        assert node.inputs["fp32"] == (f"export@{network}", "model")
        assert node.inputs["choice"] == ("choose@here", "choice")
        assert node.further_seed == further
        assert nodes[f"remake@{network}.here"].inputs["trained"] == (f"finetune@{network}.here", "model")
    assert "weights@teacher" not in nodes["finetune@control.here"].inputs


@pytest.mark.parametrize(
    "change",
    [
        "quantize.candidates=[{use: int8_qdq, finetune: 3}]",
        "quantize.candidates=[{use: int8_qdq, finetune: {epochs: 2, learning_rate: 0.001}}]",
        "quantize.max_accuracy_drop=0.01",
        "distill.temperature=2",
        "distill.batch_size=64",
    ],
)
def test_what_changes_the_file_decides_its_result(folder: Path, change: str) -> None:
    before, after = plan_of(folder)[f"finetune@{TUNED}"], plan_of(folder, change)[f"finetune@{TUNED}"]
    assert decided_by(before) != decided_by(after)


def test_another_untouched_candidate_changes_nothing_in_it(folder: Path) -> None:
    more = "quantize.candidates=[int8_weights, {use: int8_qdq, finetune: 2}]"
    before, after = plan_of(folder)[f"finetune@{TUNED}"], plan_of(folder, more)[f"finetune@{TUNED}"]
    assert decided_by(before) == decided_by(after)


def test_it_trains_with_small_steps_in_float32_on_the_same_samples(folder: Path) -> None:
    stage = stage_of(folder, "distill.augment={shift: 1}", "distill.averaging=0.9")
    network, finetune = stage.training.network, stage.candidates[TUNED].finetune
    assert finetune is not None
    options = options_of(network, finetune)
    assert network.options is not None
    assert (options.epochs, options.precision, options.averaging) == (2, "float32", 0.0)
    assert options.optimizer.use == "adamw"
    assert options.augment == network.options.augment


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ("[{use: cross_entropy}, {use: kd}]", ["cross_entropy", "kd"]),
        ("[{use: dkd}, {use: fitnet, student: stages.0, teacher: stages.0}]", ["dkd"]),
        ("[{use: cross_entropy}, {use: fitnet, student: stages.0, teacher: stages.0}]", ["cross_entropy", "kd"]),
    ],
)
def test_losses_of_layers_give_way_to_what_is_learned_from_answers(folder: Path, losses: str, kept: list[str]) -> None:
    network = stage_of(folder, f"distill.losses={losses}").training.network
    assert [each.use for each in losses_of(network)] == kept


def test_weights_that_no_step_is_learned_for_are_refused_with_the_line(folder: Path) -> None:
    with pytest.raises(ConfigError, match="finetune takes int8 weights"):
        plan_of(folder, "quantize.candidates=[{use: int8_qdq, weights: uint8, per_channel: false, finetune: 1}]")


def run(node: Node, work: Path, made: dict[tuple[str, str], Path], progress: Progress) -> None:
    """The node, with what was made before, to which its outputs are added."""
    work.mkdir(exist_ok=True)
    context = Context(work, work / "cache", node.stage.outputs, 0, progress)
    node.stage.run(context, {port: made[each] for port, each in node.inputs.items() if each in made})
    made |= {(node.id, port): path for port in node.stage.outputs if (path := context.output(port)).exists()}


def exported(folder: Path, nodes: Mapping[str, Node]) -> dict[tuple[str, str], Path]:
    """What the stages before training in 8 bits make."""
    made: dict[tuple[str, str], Path] = {}
    for name in ("data", "train@teacher", "train@student", "export@student"):
        run(nodes[name], folder / name, made, Silent())
    return made


def test_a_candidate_that_cannot_be_trained_is_refused_and_nothing_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(operators.OPERATORS, "Conv")
    nodes = plan_of(folder)
    made = exported(folder, nodes)
    for name in (f"finetune@{TUNED}", f"quantize@{TUNED}"):
        run(nodes[name], folder / name, made, Silent())

    record = load_record(FinetunedRecord, made[f"finetune@{TUNED}", "finetuned"])
    assert "Conv is not simulated" in record.refused
    candidate = load_record(CandidateRecord, made[f"quantize@{TUNED}", "candidate"])
    assert candidate.file is None
    assert "Conv is not simulated" in candidate.refused


class Killed(Silent):
    """Ends everything after the first epoch."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        def advance(amount: int = 1, *, note: str | None = None) -> None:
            if note and note.startswith("epoch 1/"):
                raise KeyboardInterrupt

        yield advance


def test_a_training_that_was_killed_goes_on_to_the_same_file(folder: Path) -> None:
    nodes = plan_of(folder)
    made = exported(folder, nodes)
    node = nodes[f"finetune@{TUNED}"]
    run(node, folder / "whole", made, Silent())
    whole = made[node.id, "model"].read_bytes()

    with pytest.raises(KeyboardInterrupt):
        run(node, folder / "killed", made, Killed())
    assert (folder / "killed" / "checkpoint.json").is_file()
    run(node, folder / "killed", made, Silent())

    assert made[node.id, "model"].parent.parent.name == "killed"
    assert made[node.id, "model"].read_bytes() == whole
