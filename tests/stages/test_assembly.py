"""How a pipeline is wired, what decides each stage's result, and that a stage is one file and one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

import pytest
from pydantic import JsonValue

from edgekd.config.pipeline import Pipeline, load_pipeline
from edgekd.devices import qemu
from edgekd.devices.counter import Counter
from edgekd.errors import ConfigError
from edgekd.models.conv import ConvStack
from edgekd.pipeline.engine import Selection
from edgekd.pipeline.fingerprint import preimage
from edgekd.pipeline.plan import Node, Plan
from edgekd.pipeline.stage import Context, Stage
from edgekd.progress import Silent
from edgekd.records.base import Record
from edgekd.stages import session, targets
from edgekd.stages.assembly import assemble
from edgekd.stages.train import TrainStage

PIPELINE = """\
name: small
data: {use: digits, validation: 0.2}
teacher: {model: conv, epochs: 1}
student: {model: {use: conv, width: 4}}
distill: {epochs: 1, losses: [{use: cross_entropy, weight: 0.1}, {use: kd}]}
quantize: {candidates: [int8_weights, int8_qdq, {use: int8_qdq, reduce_range: true}]}
targets: [here.yaml, arm.yaml]
release: {max_accuracy_drop: 1.0}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here.yaml").write_text("name: here\ndevice: local\n")
    (tmp_path / "arm.yaml").write_text("name: arm\ndevice: qemu\n")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    return tmp_path


def plan_of(folder: Path, *assignments: str) -> dict[str, Node]:
    return {node.id: node for node in assemble(load_pipeline(folder / "p.yaml", assignments=assignments)).nodes}


def decided_by(node: Node) -> dict[str, JsonValue]:
    """The pre-image with empty inputs; of a stage on an emulated machine without asking that machine."""
    return {**preimage(node.stage, {}, 0), "environment": {}}


def test_candidates_of_one_scheme_are_told_apart_and_fp32_is_always_compared_with(folder: Path) -> None:
    nodes = plan_of(folder)
    made = [name.partition("@")[2] for name in nodes if name.startswith("quantize@")]
    assert made == ["fp32", "int8_weights", "int8_qdq", "int8_qdq_reduced"]
    assert nodes["choose@here"].stage.identity() == {
        "allowed": ["int8_qdq", "int8_qdq_reduced", "int8_weights"],
        "objective": "latency",
        "max_accuracy_drop": 0.003,
        "margin": 0.03,
        "max_bytes": None,
    }


def candidates_of(folder: Path, listed: str) -> list[str]:
    nodes = plan_of(folder, f"quantize.candidates={listed}")
    return [name.partition("@")[2] for name in nodes if name.startswith("quantize@")]


def test_a_candidate_is_called_by_what_it_does_otherwise_and_by_a_number_where_that_is_the_same(folder: Path) -> None:
    listed = """[
        {use: int8_qdq, activations: int8}, {use: int8_qdq, per_channel: false, calibrate: percentile},
        {use: int8_qoperator, weights: uint8, per_channel: false}, {use: int8_qdq, calibration_samples: 64},
        {use: int8_qdq, calibration_samples: 32}, {use: int8_qdq, calibration_samples: 64},
        {use: int8_weights, layout: nchw}, {use: fp32, layout: nchw}
    ]"""
    assert candidates_of(folder, listed) == [
        "fp32",
        "int8_qdq_signed",
        "int8_qdq_per_tensor_percentile",
        "int8_qoperator_unsigned_weights",
        "int8_qdq",
        "int8_qdq-2",
        "int8_weights_nchw",
        "fp32_nchw",
    ]
    choosing = plan_of(folder, f"quantize.candidates={listed}")["choose@here"].stage.identity()
    assert isinstance(choosing, dict)
    allowed = choosing["allowed"]
    assert isinstance(allowed, list)
    assert "fp32_nchw" in allowed
    assert "fp32" not in allowed


def test_auto_is_one_of_every_kind(folder: Path) -> None:
    assert candidates_of(folder, "auto") == [
        "fp32",
        "fp16_weights",
        "int8_weights",
        "int8_weights_nchw",
        "padded",
        "int8_qdq",
        "int8_qdq_signed",
        "int8_qdq_per_tensor",
        "int8_qdq_signed_per_tensor",
        "int8_qdq_reduced",
        "int8_qoperator",
        "int8_qoperator_reduced",
    ]


def test_of_what_is_trained_again_only_the_chosen_file_is_made(folder: Path) -> None:
    nodes = plan_of(folder, "distill.control=true", "seeds=3", "quantize.candidates=auto")
    assert [name for name in nodes if name.startswith("remake@") and name.endswith(".here")] == [
        "remake@control.here",
        "remake@student.2.here",
        "remake@student.3.here",
        "remake@control.2.here",
        "remake@control.3.here",
    ]
    seeds = nodes["seeds@here"].inputs
    assert seeds["student@2"] == ("remake@student.2.here", "model")
    assert seeds["control.fp32@3"] == ("export@control.3", "model")


def test_what_can_be_repaired_reads_validation_samples_and_is_decided_by_the_limit(folder: Path) -> None:
    nodes, without = plan_of(folder), plan_of(folder, "quantize.repair=none")
    looser = plan_of(folder, "quantize.max_accuracy_drop=0.01")
    for plan, port, read in ((nodes, "validation", True), (without, "validation", False), (without, "exported", True)):
        assert (port in plan["quantize@int8_qdq"].inputs) == read
    assert "validation" not in nodes["quantize@int8_weights"].inputs, "there is nothing to repair in it"
    assert decided_by(nodes["quantize@int8_qdq"]) != decided_by(looser["quantize@int8_qdq"])
    assert decided_by(without["quantize@int8_qdq"]) != decided_by(nodes["quantize@int8_qdq"])
    assert decided_by(nodes["quantize@int8_weights"]) == decided_by(looser["quantize@int8_weights"])


def test_an_emulated_target_is_screened_and_validated_and_not_measured(folder: Path) -> None:
    nodes = plan_of(folder)
    assert {"screen@arm", "choose@arm", "validate@arm", "measure@here"} <= set(nodes)
    assert "measure@arm" not in nodes


def test_what_was_screened_where_nothing_counted_is_screened_again_once_something_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "machine_of", lambda _device: {})
    stage = plan_of(folder)["screen@arm"].stage
    monkeypatch.setattr(qemu, "counter", lambda _program: None)
    without = stage.environment()
    monkeypatch.setattr(qemu, "counter", lambda _program: Counter("qemu-aarch64", "9.2", Path("count.so")))
    assert stage.environment() != without


def test_each_target_ships_its_own_choice(folder: Path) -> None:
    release = plan_of(folder)["release"]
    assert release.inputs["model@here"] == ("choose@here", "model")
    assert release.inputs["model@arm"] == ("choose@arm", "model")


def test_the_control_is_the_student_but_for_teachers_and_what_needs_them(folder: Path) -> None:
    nodes = plan_of(folder, "distill.control=true")
    student, control = (decided_by(nodes[f"train@{name}"]) for name in ("student", "control"))
    assert isinstance(student["options"], dict)
    assert isinstance(control["options"], dict)
    different = {key for key in student["options"] if student["options"][key] != control["options"][key]}
    assert different == {"losses", "teachers"}
    assert nodes["train@control"].inputs == {
        port: source for port, source in nodes["train@student"].inputs.items() if not port.startswith("weights@")
    }
    losses = control["options"]["losses"]
    assert isinstance(losses, list)
    assert len(losses) == 1
    assert "export@control" in nodes
    assert not [name for name in nodes if name.startswith("quantize@control")]
    # of it is made what was chosen of the student's on the target, and nothing else
    assert nodes["remake@control.here"].inputs["fp32"] == ("export@control", "model")
    assert nodes["remake@control.here"].inputs["choice"] == ("choose@here", "choice")
    assert nodes["validate@here"].inputs["control"] == ("remake@control.here", "model")


def test_the_control_is_shown_texts_as_they_are_for_a_label_need_not_hold_for_changed_ones(folder: Path) -> None:
    (folder / "texts.txt").write_text("".join(f"{n % 2} word{n}\n" for n in range(20)))
    nodes = plan_of(
        folder,
        f"data={{use: text, train: {folder}/texts.txt, test: 0.2}}",
        "teacher.model=text_cnn",
        "student.model=text_cnn",
        "distill.control=true",
        "distill.augment={mask: 0.1, span: 0.2}",
    )
    student, control = (
        cast("dict[str, dict[str, JsonValue]]", decided_by(nodes[f"train@{name}"])["options"])
        for name in ("student", "control")
    )
    assert (student["augment"]["mask"], student["augment"]["span"]) == (0.1, 0.2)
    assert set(control["augment"].values()) <= {0, None}


START = "student.start={use: narrowed, network: teacher}"


def test_the_weights_to_start_from_arrive_and_count_and_the_control_does_without(folder: Path) -> None:
    before, after = (plan_of(folder, "distill.control=true", *each) for each in ((), (START,)))
    for name in ("train@teacher", "train@control"):
        assert decided_by(before[name]) == decided_by(after[name])
    one, other = (decided_by(each["train@student"])["options"] for each in (before, after))
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert {key for key in one if one[key] != other[key]} == {"start"}
    assert "initialisers/narrowed.py" in json.dumps(other["start"])
    kept = decided_by(plan_of(folder, START.replace("}", ", keep: first}"))["train@student"])["options"]
    assert kept != other


def test_a_network_that_only_gives_its_weights_is_an_input_all_the_same(folder: Path) -> None:
    untaught = ("distill.from=[]", "distill.losses=[cross_entropy]")
    assert "weights@teacher" not in plan_of(folder, *untaught)["train@student"].inputs
    student = plan_of(folder, *untaught, START)["train@student"]
    assert student.inputs["weights@teacher"] == ("train@teacher", "weights")
    assert set(student.inputs) == set(student.stage.inputs)


REUSE = ("student.classifier={network: teacher, reduction: 3}", "distill.losses=[sim_kd]")


def test_the_control_of_a_student_that_reuses_a_classifier_has_its_own(folder: Path) -> None:
    before, after = (plan_of(folder, "distill.control=true", *each) for each in ((), REUSE))
    for name in ("train@teacher", "export@control"):
        assert decided_by(before[name]) == decided_by(after[name])
    control = cast("TrainStage", after["train@control"].stage).network
    assert control.model.use == "conv"
    assert [loss.use for loss in control.losses] == ["cross_entropy"]
    assert "weights@teacher" not in after["train@control"].inputs


def test_whose_classifier_it_is_counts_and_its_weights_arrive(folder: Path) -> None:
    student = plan_of(folder, *REUSE, "distill.from=[]", "distill.losses=[cross_entropy]")["train@student"]
    assert student.inputs["weights@teacher"] == ("train@teacher", "weights")
    assert set(student.inputs) == set(student.stage.inputs)
    one, other = (
        decided_by(plan_of(folder, REUSE[1], f"student.classifier={{network: teacher, reduction: {each}}}")[name])
        for name, each in (("export@student", 3), ("export@student", 4))
    )
    assert one != other
    wide = plan_of(folder, *REUSE, "teacher.model={use: conv, width: 9}")["export@student"]
    assert decided_by(wide) != one, "the teacher's features decide how wide the projector is"


def test_a_variant_has_the_students_classifier_or_another_or_its_own(folder: Path) -> None:
    plain = "variants={soft: {losses: [kd]}, own: {classifier: null, losses: [kd]}}"
    nodes = plan_of(folder, *REUSE, plain)
    soft, own = (cast("TrainStage", nodes[f"train@{name}"].stage).network for name in ("soft", "own"))
    assert (soft.lender, soft.model.use) == ("teacher", "reused")
    assert (own.lender, own.model.use) == (None, "conv")
    nodes = plan_of(folder, "variants={sim: {classifier: {network: teacher}, losses: [sim_kd]}}")
    student, sim = (cast("TrainStage", nodes[f"train@{name}"].stage).network for name in ("student", "sim"))
    assert (student.lender, sim.lender) == (None, "teacher")


def test_an_assistant_with_a_reused_classifier_learns_its_features_unless_told_otherwise(folder: Path) -> None:
    assistant = "networks={mid: {model: conv, epochs: 1, from: [teacher], classifier: {network: teacher}}}"
    nodes = plan_of(folder, assistant, "student.classifier={network: mid}", "distill.from=[mid]", REUSE[1])
    mid, student = (cast("TrainStage", nodes[f"train@{name}"].stage).network for name in ("mid", "student"))
    assert [loss.use for loss in mid.losses] == ["sim_kd"]
    assert student.lender == "mid"


@pytest.mark.parametrize(
    ("assignments", "what", "hint"),
    [
        (
            ("distill.losses=[sim_kd]",),
            "distill.losses.0: sim_kd teaches the features of a reused classifier, and student has a classifier of its",
            "classifier: {network: teacher}",
        ),
        (
            (
                *REUSE,
                "networks={big: {model: conv, epochs: 1}}",
                "distill.from=[big]",
            ),
            "distill.losses.0: sim_kd teaches the features of a reused classifier, and student does not learn",
            "name teacher in `from`",
        ),
        (
            ("distill.select={trials: 2, space: {losses.1: [{use: kd}, {use: sim_kd}]}}",),
            "sim_kd teaches the features of a reused classifier",
            "",
        ),
    ],
)
def test_features_without_a_reused_classifier_are_refused_before_anything_is_trained(
    folder: Path, assignments: tuple[str, ...], what: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _ = [node.stage.identity() for node in plan_of(folder, *assignments).values()]
    assert what in str(caught.value)
    assert hint in (caught.value.hint or "")


def test_a_control_changes_nothing_about_student_and_candidates(folder: Path) -> None:
    before, after = plan_of(folder), plan_of(folder, "distill.control=true")
    for name in ("train@student", "export@student", "quantize@int8_weights", "screen@here", "measure@here"):
        assert decided_by(before[name]) == decided_by(after[name]), name


def test_runtime_settings_decide_the_release_that_writes_them(folder: Path) -> None:
    before = decided_by(plan_of(folder)["release"])
    (folder / "arm.yaml").write_text("name: arm\ndevice: qemu\nruntime: {threads: 2}\n")
    assert decided_by(plan_of(folder)["release"]) != before


def test_how_long_measuring_takes_screens_nothing_again(folder: Path) -> None:
    before = plan_of(folder)
    (folder / "here.yaml").write_text("name: here\ndevice: local\nmeasure: {seconds: 33}\n")
    after = plan_of(folder)
    assert decided_by(before["screen@here"]) == decided_by(after["screen@here"])
    assert decided_by(before["measure@here"]) != decided_by(after["measure@here"])


def test_a_loss_counts_only_where_it_is_used(folder: Path) -> None:
    code = {name: decided_by(node)["code"] for name, node in plan_of(folder).items()}
    for name in ("train@teacher", "train@student"):
        kinds = code[name]
        assert isinstance(kinds, dict)
        assert not [
            path for path in kinds if path.startswith("training/losses/") and path.endswith(("kd.py", "net.py"))
        ]
    assert "kd.py" in json.dumps(decided_by(plan_of(folder)["train@student"])["options"])
    assert "kd.py" not in json.dumps(decided_by(plan_of(folder)["train@teacher"])["options"])


def test_another_kind_of_device_counts_only_where_it_is_used(folder: Path) -> None:
    here = json.dumps(decided_by(plan_of(folder)["measure@here"]))
    assert "devices/local.py" in here
    assert "devices/ssh.py" not in here
    assert "devices/qemu.py" not in here


def test_nothing_is_released_without_a_demand(folder: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is demanded of the model on here"):
        plan_of(folder, "release={}")
    (folder / "here.yaml").write_text("name: here\ndevice: local\nlimits: {model_bytes: 9}\n")
    (folder / "arm.yaml").write_text("name: arm\ndevice: qemu\nlimits: {p90_latency_ms: 9}\n")
    with pytest.raises(ConfigError, match="on arm"):
        plan_of(folder, "release={}")


@pytest.mark.parametrize(
    ("assignment", "what"),
    [
        (
            "distill.losses=[{use: kd, network: nobody}]",
            "distill.losses.0.network: student does not learn from 'nobody'",
        ),
        ("distill.from=[]", "distill.losses.1: kd needs a teacher, and student learns from nobody"),
        (
            "distill={epochs: 1, from: [], peers: {twin: {}}, losses: [{use: kd}]}",
            "distill.losses: student and its peers learn from each other alone",
        ),
        (
            "distill={epochs: 1, peers: {twin: {}}, losses: [{use: kd, network: twn}]}",
            "distill.losses.0.network: student does not learn from 'twn'",
        ),
        (
            "variants={alone: {from: [], peers: {}}}",
            "distill.losses.1: kd needs a teacher, and alone learns from nobody",
        ),
    ],
)
def test_losses_that_no_teacher_hears_are_refused(folder: Path, assignment: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(folder, assignment)
    assert what in str(caught.value)
    assert caught.value.hint


class Counted(Record):
    """A record that no other part of edgekd knows."""

    kept_as: ClassVar[str] = "counted"

    training_samples: int


@dataclass(frozen=True)
class CountSamples(Stage):
    """A toy stage: its file, and one line where the plan is put together."""

    name = "toy"
    inputs = ("splits",)
    outputs = {"counted": "counted.json"}
    records = {"counted": Counted}
    libraries = ()

    def identity(self) -> JsonValue:
        return {}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        splits = json.loads(inputs["splits"].read_text())
        context.output("counted").write_text(Counted(training_samples=splits["train"]).model_dump_json())
        return "counted"


def test_a_stage_is_one_file_and_one_line_and_appears_in_the_run_by_its_kind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_toy(pipeline: Pipeline) -> Plan:
        plan = assemble(pipeline)
        toy = Node("toy", CountSamples(), {"splits": ("data", "splits")})
        return replace(plan, nodes=(plan.nodes[0], toy, *plan.nodes[1:]))

    monkeypatch.setattr(session, "assemble", with_a_toy)
    loaded = load_pipeline(folder / "p.yaml")
    run, record = session.run_pipeline(loaded, Selection(until="toy"), Silent(), runs=folder / "runs")
    assert record.all(Counted) == {"toy": Counted(training_samples=1078)}
    assert json.loads((run / "run.json").read_text())["records"]["counted"]["toy"] == {"training_samples": 1078}


def test_peers_are_the_students_and_its_variants_and_have_its_model_unless_they_say_another(folder: Path) -> None:
    nodes = plan_of(
        folder,
        "distill.from=[]",
        "distill.peers={twin: {}, wide: {model: {use: conv, width: 9}}}",
        "distill.control=true",
        "variants={soft: {temperature: 9}, pair: {peers: {twin: {}}}, taught: {from: [teacher], peers: {}}}",
    )
    stages = {name: cast("TrainStage", node.stage) for name, node in nodes.items() if name.startswith("train@")}
    widths = {
        name: {each.name: cast("ConvStack", each.model).width for each in stage.network.peers}
        for name, stage in stages.items()
    }
    assert widths == {
        "train@teacher": {},
        "train@student": {"twin": 4, "wide": 9},
        "train@soft": {"twin": 4, "wide": 9},
        "train@pair": {"twin": 4},
        "train@taught": {},
        "train@control": {},
    }
    assert stages["train@student"].network.sources == ()


def test_a_variant_is_the_student_but_for_what_it_says(folder: Path) -> None:
    nodes = plan_of(folder, "variants={few: {leave_out: [3]}, soft: {temperature: 9, losses: [{use: kd}]}}")
    student, few, soft = (
        cast("TrainStage", nodes[f"train@{name}"].stage).network for name in ("student", "few", "soft")
    )
    assert student.options is not None
    assert few == replace(student, name="few", options=student.options.model_copy(update={"leave_out": ("3",)}))
    assert [loss.use for loss in soft.losses] == ["kd"]
    assert replace(soft, losses=student.losses, name="student", section="distill") == student


def test_rows_of_numbers_have_no_raw_form_and_take_floats_unasked(folder: Path) -> None:
    vectors = "data.use=breast_cancer"
    assert "quantize@fp32" in plan_of(folder, vectors, "teacher.model=mlp", "student.model={use: mlp}")
    with pytest.raises(ConfigError, match="rows have no raw form that a file could take"):
        plan_of(folder, vectors, "teacher.model=mlp", "student.model={use: mlp}", "export.input=raw")


def test_what_files_take_and_give_decides_the_candidates_and_not_the_exports(folder: Path) -> None:
    one, other = plan_of(folder), plan_of(folder, "export.input=float", "export.output=label")
    for name in ("export@student", "train@student"):
        assert one[name].stage.identity() == other[name].stage.identity()
    for name in ("quantize@fp32", "quantize@int8_qdq"):
        assert one[name].stage.identity() != other[name].stage.identity()
