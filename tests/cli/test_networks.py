"""Networks by name, taps, given teachers and other kinds of input, through the real command."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekd.config.pipeline import load_pipeline
from edgekd.stages.assembly import assemble
from tests.command import REPOSITORY, Place, place_with, sets

PIPELINE = """\
name: small
data: {use: digits, validation: 0.15}
teacher: {model: {use: conv, width: 12, stages: 2}, epochs: 2}
networks:
  assistant:
    model: {use: conv, width: 8, stages: 2}
    epochs: 2
    from: [teacher]
student: {model: {use: conv, width: 4, stages: 2}}
distill:
  epochs: 2
  from: [teacher, assistant]
  temperature: {use: linear, start: 6, end: 2}
  losses:
    - {use: cross_entropy, weight: 0.1}
    - {use: kd, weight: 0.5}
    - {use: kd, weight: 0.4, network: assistant, temperature: 2}
    - {use: fitnet, student: stages.1, teacher: stages.1, network: teacher, weight: 10}
quantize: {candidates: [fp32, int8_weights]}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
GIVEN = PIPELINE.replace(
    "teacher: {model: {use: conv, width: 12, stages: 2}, epochs: 2}",
    "teacher: {given: {use: onnx, path: digits.onnx}}",
)
ANSWERS = GIVEN.replace("    - {use: fitnet", "    # - {use: fitnet")
"""Of a given network nothing but answers can be had."""
ELSEWHERE = REPOSITORY / "tests" / "golden" / "schema1" / "bundle" / "model.onnx"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which a student has learned from a teacher and an assistant, by answers and by a feature map."""
    place = place_with(tmp_path_factory.mktemp("taught"), PIPELINE)
    done = place.edgekd("run", "p.yaml")
    assert done.returncode in (0, 3), done.stderr
    return place


@pytest.fixture(scope="module")
def record(taught: Place) -> dict[str, Any]:
    """What that run says; other tests run there again."""
    return taught.last_run()


def test_a_student_learns_from_several_networks_and_a_layer(record: dict[str, Any]) -> None:
    ids = [stage["id"] for stage in record["stages"]]
    assert ids.index("train@teacher") < ids.index("train@assistant") < ids.index("train@student")
    assert "export@assistant" not in ids, "it only teaches"
    networks = record["records"]["network"]
    assert networks["assistant"]["learned_from"] == ["teacher"]
    assert networks["student"]["learned_from"] == ["teacher", "assistant"]
    terms = networks["student"]["history"]["epochs"][-1]["terms"]
    assert set(terms) == {"cross_entropy", "kd", "kd#2", "fitnet"}


def test_the_projector_of_a_feature_loss_does_not_ship(record: dict[str, Any]) -> None:
    records = record["records"]
    alone = records["network"]["student"]["parameters"]
    assert records["candidate"]["fp32"]["file"]["facts"]["parameters"] < 1.1 * alone


def test_a_changed_assistant_retrains_it_and_the_student_alone(taught: Place, record: dict[str, Any]) -> None:
    assert record["error"] == ""
    done = taught.edgekd("plan", "p.yaml", "--set", "networks.assistant.epochs=3")
    state = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert state["train@teacher"].startswith("cached")
    assert state["train@assistant"] == "will run  options.epochs 2 -> 3"
    assert state["train@student"] == "will run  after train@assistant"


def test_an_unknown_layer_is_named_with_the_nearest(taught: Place) -> None:
    done = taught.edgekd("run", "p.yaml", "--set", "distill.losses.3.student=stages.11")
    assert done.returncode == 2
    *_, line, hint = done.stderr.splitlines()
    assert line == "p.yaml:18: distill.losses.3: student: no layer is called 'stages.11'"
    assert "Traceback" not in done.stderr
    assert "stages.1" in hint


TWO_VIEWS = """\
distill.augment={shift: 1}
distill.second_view={rotate: 20, noise: 0.2, erase: 2}
distill.control=true
distill.losses.2={use: mlkd, weight: 0.1}
distill.losses.3={use: contrastive, student: stages.1, teacher: stages.1, network: teacher}
"""


def test_a_student_and_its_control_are_shown_two_views_in_a_step(taught: Place) -> None:
    changes = sets(*TWO_VIEWS.splitlines(), "distill.losses.1={use: pseudo_labels, named_in: first_view}")
    for name in ("student", "control"):
        done = taught.edgekd("run", "p.yaml", *changes, "--until", f"train@{name}")
        assert done.returncode == 0, done.stderr
        plan = taught.edgekd("plan", "p.yaml", *changes, "--set", "distill.second_view.erase=3").stdout
        state = {line.split()[0]: line.split(maxsplit=1)[1] for line in plan.splitlines()}
        assert state["train@assistant"].startswith("cached")
        assert state[f"train@{name}"] == "will run  options.second_view.erase 2 -> 3"


def test_a_class_cannot_be_carried_to_a_second_view_that_is_not_there(taught: Place) -> None:
    done = taught.edgekd("plan", "p.yaml", *sets("distill.losses.1={use: pseudo_labels, named_in: first_view}"))
    assert done.returncode == 2
    assert done.stderr.startswith("--set: distill.losses.1: named_in: there is no second view")


def test_a_cycle_of_networks_is_one_clear_line(taught: Place) -> None:
    done = taught.edgekd("plan", "p.yaml", "--set", "teacher.from=[assistant]")
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert "in a circle: teacher -> assistant -> teacher" in done.stderr


def test_an_onnx_file_from_elsewhere_teaches_and_is_the_reference(
    taught: Place, record: dict[str, Any], tmp_path: Path
) -> None:
    (stage,) = (each for each in record["stages"] if each["id"] == "export@teacher")
    digest = stage["outputs"]["model"]["digest"]
    shutil.copy(taught.folder / "store" / "blobs" / digest[:2] / f"{digest}.onnx", tmp_path / "elsewhere.onnx")
    text = PIPELINE.replace(
        "teacher: {model: {use: conv, width: 12, stages: 2}, epochs: 2}",
        "teacher: {given: {use: onnx, path: elsewhere.onnx}}",
    )
    before, _, after = text.partition("    - {use: fitnet")
    place = place_with(tmp_path, before + after.partition("\n")[2])
    done = place.edgekd("run", "p.yaml")
    assert done.returncode in (0, 3), done.stderr
    given = place.last_run()
    assert "train@teacher" not in [stage["id"] for stage in given["stages"]]
    assert given["records"]["exported"]["teacher"]["facts"]["sha256"] == digest
    same, other = (each["records"]["evaluation"]["here"]["models"]["teacher"] for each in (record, given))
    assert same["accuracy"] == other["accuracy"]


def test_of_a_given_file_with_several_outputs_the_logits_alone_go_on(tmp_path: Path) -> None:
    model = onnx.load(ELSEWHERE)
    hidden = onnx.helper.make_tensor_value_info(model.graph.node[-1].input[0], onnx.TensorProto.FLOAT, ("N", None))
    logits = model.graph.output.pop()
    model.graph.output.extend([hidden, logits])
    onnx.save(model, tmp_path / "digits.onnx")
    place = place_with(tmp_path, ANSWERS)
    done = place.edgekd("run", "p.yaml", "--until", "export@teacher")
    assert done.returncode == 0, done.stderr
    facts = place.last_run()["records"]["exported"]["teacher"]["facts"]
    assert [each["name"] for each in facts["outputs"]] == ["logits"]


def test_a_file_that_is_no_model_is_one_line_that_says_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "digits.onnx").write_text("no model")
    done = place_with(tmp_path, GIVEN).edgekd("run", "p.yaml", "--until", "export@teacher")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = (each for each in done.stderr.splitlines() if "digits.onnx" in each)
    assert line.startswith("p.yaml:3: teacher.given: ")
    assert "is not an ONNX model" in line


def test_the_version_of_the_runtime_counts_where_a_given_network_teaches(tmp_path: Path) -> None:
    shutil.copy(ELSEWHERE, tmp_path / "digits.onnx")
    for text, counts in ((PIPELINE, False), (GIVEN, True)):
        place_with(tmp_path, text.replace("    - {use: fitnet", "    # - {use: fitnet"))
        stages = {node.id: node.stage for node in assemble(load_pipeline(tmp_path / "p.yaml")).nodes}
        assert ("onnxruntime" in stages["train@student"].libraries) == counts


def test_a_given_teacher_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    shutil.copy(ELSEWHERE, tmp_path / "digits.onnx")
    text = ANSWERS.replace("use: digits", "use: breast_cancer").replace("use: conv, width", "use: mlp, width")
    done = place_with(tmp_path, text.replace(", stages: 2", "")).edgekd("run", "p.yaml", "--until", "export@teacher")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = (each for each in done.stderr.splitlines() if "digits.onnx" in each)
    assert line.startswith("p.yaml:3: teacher.given: ")
    assert line.endswith("takes (batch, 1, 8, 8), the data gives (N, 30)")


def test_vectors_go_all_the_way_to_a_bundle_that_predicts(tmp_path: Path) -> None:
    """A table of the user's, with strings as labels."""
    import numpy as np

    generator = np.random.default_rng(0)
    rows = ["height,width,kind"]
    for kind, centre in (("apple", 5.0), ("melon", 20.0)):
        for height, width in generator.normal(centre, 1.5, (200, 2)):
            rows.append(f"{height:.4f},{width:.4f},{kind}")
    (tmp_path / "fruit.csv").write_text("\n".join(rows) + "\n")
    place = place_with(
        tmp_path,
        """\
name: fruit
data: {use: csv, path: fruit.csv, label: kind}
teacher: {model: {use: mlp, width: 16}, epochs: 20, batch_size: 32, learning_rate: 0.01}
student: {model: {use: mlp, width: 4}}
distill:
  epochs: 20
  batch_size: 32
  learning_rate: 0.01
  augment: {noise: 0.05}
  losses: [{use: kd}]
targets: [here.yaml]
release: {min_accuracy: 0.8}
""",
    )
    done = place.edgekd("run", "p.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    (bundle,) = tmp_path.glob("runs/fruit/*/bundle")
    (tmp_path / "new.csv").write_text("5.1,4.9\n21.0,19.5\n")
    told = place.edgekd("predict", bundle, "new.csv")
    assert [line.split()[1] for line in told.stdout.splitlines()] == ["apple", "melon"], told.stderr
    (tmp_path / "fruit.csv").write_text("\n".join([*rows, "3.0,,apple"]) + "\n")
    missing = place.edgekd("run", "p.yaml")
    assert missing.returncode == 2
    assert "402" in missing.stderr.splitlines()[-2], "the line of the table"
    assert "width" in missing.stderr.splitlines()[-2], "and its column"


def test_a_release_that_demands_nothing_is_refused_before_the_run(tmp_path: Path) -> None:
    place = place_with(tmp_path, PIPELINE.replace("release: {max_accuracy_drop: 1.0}", "release: {}"))
    assert place.edgekd("plan", "p.yaml").returncode == 0, "the target file has a limit"
    (tmp_path / "here.yaml").write_text("name: here\ndevice: local\n")
    done = place.edgekd("run", "p.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("p.yaml:21: release: nothing is demanded of the model on here")
    assert not (tmp_path / "runs").exists()


def test_editing_a_module_that_an_own_file_imports_is_a_miss(tmp_path: Path) -> None:
    text = PIPELINE.replace("student: {model: {use: conv, width: 4, stages: 2}}", "student: {model: own/net.py:build}")
    place = place_with(tmp_path, text)
    own = tmp_path / "own"
    own.mkdir()
    (own / "net.py").write_text(
        "from torch import nn\nfrom helper import width\n\n\ndef build(contract):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width()), nn.ReLU(), nn.Linear(width(), 10))\n"
    )
    (own / "helper.py").write_text("def width():\n    return 5\n")
    arguments = ("p.yaml", "--set", "distill.losses=[{use: kd}]")
    done = place.edgekd("run", *arguments, "--until", "train@student")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train@student +cached", place.edgekd("plan", *arguments).stdout, re.MULTILINE)
    (own / "helper.py").write_text("def width():\n    return 6\n")
    planned = place.edgekd("plan", *arguments).stdout
    assert re.search(r"^train@student +will run  code \./helper\.py changed$", planned, re.MULTILINE), planned
    assert re.search(r"^train@teacher +cached", planned, re.MULTILINE)


def test_a_student_learns_from_other_samples_without_labels(tmp_path: Path) -> None:
    """The teacher knows digits; what the student is shown of it are other images and what it says to them."""
    (tmp_path / "own.py").write_text(OTHERS)
    text = PIPELINE.replace(
        "  epochs: 2\n  from: [teacher, assistant]", "  epochs: 2\n  transfer: {use: own.py:blurred}", 1
    )
    text = re.sub(r"networks:\n.*?(?=student:)", "", text, flags=re.DOTALL)
    text = re.sub(r"    - \{use: (cross_entropy|kd, weight: 0.4|fitnet).*\n", "", text)
    place = place_with(tmp_path, text)
    done = place.edgekd("run", "p.yaml", "--until", "train@student")
    assert done.returncode == 0, done.stderr
    assert "500 images without labels" in done.stderr
    wrong = place.edgekd("run", "p.yaml", "--until", "train@student", "--set", "distill.transfer.use=own.py:large")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "distill.transfer: its samples are of the form (1, 9, 9), those of `data` (1, 8, 8)" in wrong.stderr
    unread = place.edgekd("run", "p.yaml", "--until", "train@student", "--set", "distill.losses.0.use=cross_entropy")
    assert unread.returncode == 2
    assert "distill.losses.0" in unread.stderr
    assert "no training sample has one" in unread.stderr


OTHERS = """
import numpy as np

def of(size):
    images = np.random.default_rng(0).integers(0, 256, (500, size, size), dtype=np.uint8)
    labels = np.arange(500) % 2
    return dict(train_images=images, train_labels=labels, test_images=images, test_labels=labels, classes=["x", "y"])

def blurred():
    return of(8)

def large():
    return of(9)
"""
