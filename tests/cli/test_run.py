"""The main job through the real command, on scikit-learn's digits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import DIGITS, QUICK, Place, sets

STAGES = ["data", "teacher", "distill", "export", "quantize", "validate@local", "measure@local", "release"]


def last_run(place: Place) -> dict[str, Any]:
    newest = max(place.folder.glob("runs/*/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    content: dict[str, Any] = json.loads(newest.read_text())
    return content


def ran(record: dict[str, Any]) -> list[str]:
    return [stage["id"] for stage in record["stages"] if stage["state"] == "ran"]


def weights(record: dict[str, Any]) -> list[str]:
    return [stage["outputs"]["weights"]["digest"] for stage in record["stages"] if "weights" in stage["outputs"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which the whole digits pipeline has run once, as shipped."""
    here = Place(tmp_path_factory.mktemp("digits"))
    done = here.edgekd("run", DIGITS)
    # a busy machine may leave a latency undecided; anything else is a failure of the main job
    assert done.returncode in (0, 3), done.stderr + done.stdout
    return here


def test_the_main_job_reaches_a_verdict_with_its_evidence(place: Place) -> None:
    record = last_run(place)
    assert record["schema"] == 1
    assert ran(record) == STAGES
    assert record["teacher"]["validation_correct"] / record["teacher"]["validation_total"] >= 0.97
    evaluation = record["evaluations"]["local"]
    assert evaluation["images"] == 449
    for name in ("teacher", "student", "int8"):
        accuracy = evaluation["models"][name]["accuracy"]
        assert sum(accuracy["per_class_correct"]) == accuracy["correct"]
        assert accuracy["correct"] / accuracy["total"] >= 0.95
    assert record["quantized"]["facts"]["size_bytes"] <= 1.5 * record["quantized"]["facts"]["parameters"] + 8192
    assert record["exported"]["student"]["parity"]["flipped"] == 0
    assert {check["name"] for check in record["release"]["checks"]["local"]} >= {"accuracy_drop", "p90_latency_ms"}


def test_a_rerun_runs_nothing_says_the_same_and_imports_no_torch(place: Place) -> None:
    before = last_run(place)
    program = (
        "import sys; sys.argv = ['edgekd', *sys.argv[1:]]\n"
        "from edgekd.cli import main\n"
        "try: main()\n"
        "finally: print('HEAVY', sorted({'torch', 'onnxruntime', 'onnx', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", str(DIGITS)],
        cwd=place.folder,
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    after = last_run(place)
    assert ran(after) == []
    assert after["release"] == before["release"]
    assert after["latencies"] == before["latencies"]
    assert f"verdict: {after['release']['verdict']}" in done.stdout


def test_changing_a_gate_limit_reruns_only_the_gate(place: Place) -> None:
    done = place.edgekd("run", DIGITS, *sets("release.max_accuracy_drop=0.0001"))
    assert ran(last_run(place)) == ["release"]
    assert done.returncode in (1, 3), "449 images cannot show a drop below 0.01 points"


def test_comments_and_the_order_of_keys_rerun_nothing(place: Place) -> None:
    lines = DIGITS.read_text().splitlines()
    start = lines.index("student:")
    end = lines.index("distill:")
    moved = ["# moved", *lines[:start], *lines[end:], "", *lines[start:end]]
    own = place.folder / "pipelines" / "other.yaml"
    own.parent.mkdir(exist_ok=True)
    text = "\n".join(moved).replace("../targets", str(DIGITS.parents[1] / "targets"))
    own.write_text(text)
    done = place.edgekd("plan", own)
    assert done.returncode == 0, done.stderr
    assert "will run" not in done.stdout


def test_changing_distillation_reruns_it_and_what_follows(place: Place) -> None:
    done = place.edgekd("plan", DIGITS, *sets("distill.temperature=6"))
    state = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert [state[stage].startswith("cached") for stage in STAGES] == [True, True] + [False] * 6
    assert state["distill"].endswith("options.temperature 4.0 -> 6.0")


def test_only_validate_reads_the_test_images() -> None:
    from edgekd.config.pipeline import load_pipeline
    from edgekd.stages.assembly import assemble

    readers = [
        node.stage.name for node in assemble(load_pipeline(DIGITS)).nodes if ("data", "test") in node.inputs.values()
    ]
    assert readers == ["validate"]


def test_training_validation_and_test_images_do_not_overlap(place: Place) -> None:
    import numpy as np

    from edgekd.data.digits import Digits
    from edgekd.progress import Silent
    from edgekd.records.arrays import load_arrays

    record = last_run(place)
    outputs = record["stages"][0]["outputs"]
    paths = {
        port: place.folder / "store" / "blobs" / each["digest"][:2] / f"{each['digest']}.{each['kind']}"
        for port, each in outputs.items()
    }
    parts = {port: load_arrays(paths[port])["images"] for port in ("train", "validation", "test")}
    rows = np.concatenate([each.reshape(len(each), -1) for each in parts.values()])
    whole = Digits(use="digits").load(Silent())
    everything = np.concatenate([whole.train.images, whole.test.images]).reshape(1797, -1)
    assert np.array_equal(rows[np.lexsort(rows.T)], everything[np.lexsort(everything.T)]), "each image is in one part"


def test_show_prints_the_run_again_and_json_for_machines(place: Place) -> None:
    shown = place.edgekd("show", "last")
    assert shown.returncode == 0
    assert "verdict:" in shown.stdout
    assert "int8" in shown.stdout
    machine = json.loads(place.edgekd("show", "last", "--json").stdout)
    assert machine["schema"] == 1
    missing = place.edgekd("show", "runs/none")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 2)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The digests of teacher and student of a quick run that nothing disturbed."""
    here = Place(tmp_path_factory.mktemp("uninterrupted"))
    done = here.edgekd("run", DIGITS, *sets(*QUICK), "--until", "distill")
    assert done.returncode == 0, done.stderr
    return weights(last_run(here))


@pytest.mark.parametrize(
    ("line", "finished"),
    [
        ("data: running", []),
        ("epoch 2/4", ["data"]),
        ("teacher: done", ["data", "teacher"]),
        ("distill 34/", ["data", "teacher"]),
    ],
)
def test_a_killed_run_goes_on_and_ends_in_the_same_weights(
    tmp_path: Path, uninterrupted: list[str], line: str, finished: list[str]
) -> None:
    here = Place(tmp_path)
    arguments = ["run", DIGITS, *sets(*QUICK), "--until", "distill"]
    process = here.start(*arguments)
    assert process.stderr is not None
    for said in process.stderr:
        if line in said:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = here.edgekd(*arguments)
    assert done.returncode == 0, done.stderr
    record = last_run(here)
    assert [stage["id"] for stage in record["stages"] if stage["state"] == "cached"] == finished
    assert weights(record) == uninterrupted
    if "/" in line:
        assert "going on after epoch" in done.stderr


def test_ctrl_c_ends_in_one_line_and_exit_130(tmp_path: Path) -> None:
    here = Place(tmp_path)
    process = here.start("run", DIGITS, *sets(*QUICK), "--until", "distill")
    assert process.stderr is not None
    for said in process.stderr:
        if "epoch 1/4" in said:
            process.send_signal(signal.SIGINT)
            break
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in rest
    assert last_run(here)["error"] == "interrupted"


def test_two_runs_at_once_share_the_work(tmp_path: Path, uninterrupted: list[str]) -> None:
    here = Place(tmp_path)
    arguments = ["run", DIGITS, *sets(*QUICK), "--until", "distill"]
    both = [here.start(*arguments) for _ in range(2)]
    said = [each.communicate(timeout=300)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    records = [json.loads(path.read_text()) for path in here.folder.glob("runs/*/*/run.json")]
    assert len(records) == 2
    assert [weights(record) for record in records] == [uninterrupted, uninterrupted]
    assert sorted(stage for record in records for stage in ran(record)) == ["data", "distill", "teacher"]


def test_a_teacher_that_is_not_worth_learning_from_stops_the_run(tmp_path: Path) -> None:
    here = Place(tmp_path)
    done = here.edgekd("run", DIGITS, *sets(*QUICK), *sets("teacher.epochs=1", "teacher.min_accuracy=0.999"))
    assert done.returncode == 4
    *_, line, hint = done.stderr.splitlines()
    assert line.startswith("teacher: the teacher is right on")
    assert hint.startswith("hint: train it for longer")
    again = here.edgekd(
        "run", DIGITS, *sets(*QUICK), *sets("teacher.epochs=1", "teacher.min_accuracy=0"), "--until", "teacher"
    )
    assert again.returncode == 0
    assert "teacher: cached" in again.stderr, "a lower threshold does not train it again"


def test_a_checkpoint_that_does_not_fit_names_the_tensor(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    checkpoint = tmp_path / "w.safetensors"
    save_file({"0.0.weight": torch.zeros(3, 1, 3, 3)}, checkpoint)
    done = Place(tmp_path).edgekd("run", DIGITS, *sets(*QUICK), *sets(f"teacher.checkpoint={checkpoint}"))
    assert done.returncode == 2
    *_, line, _hint = done.stderr.splitlines()
    assert line.startswith("--set: teacher.checkpoint: ")
    assert "(3, 1, 3, 3)" in line


def test_a_student_as_big_as_the_teacher_is_warned_about(tmp_path: Path) -> None:
    here = Place(tmp_path)
    arguments = [
        *sets(*QUICK),
        *sets("teacher.epochs=1", "distill.epochs=1", "student.model={use: conv, width: 8, stages: 2}"),
    ]
    for _ in range(2):  # from the store too
        done = here.edgekd("run", DIGITS, *arguments, "--until", "distill")
        assert done.returncode == 0, done.stderr
        assert "warning: the student has" in done.stderr


def test_a_shortened_real_mnist_pipeline_runs(tmp_path: Path, edgekd_data: Path) -> None:
    here = Place(tmp_path, {"EDGEKD_DATA": str(edgekd_data)})
    done = here.edgekd(
        "run",
        DIGITS.with_name("mnist.yaml"),
        *sets(
            "data.validation=48000",
            "teacher.epochs=2",
            "teacher.min_accuracy=0.2",
        ),
        *sets("distill.epochs=1", "release={max_accuracy_drop: 1.0}"),
        timeout_s=600,
    )
    assert done.returncode in (0, 3), done.stderr
    record = last_run(here)
    assert record["evaluations"]["local"]["images"] == 10_000
    assert record["student"]["parameters"] <= 10_000, "the student of the shipped pipeline"
