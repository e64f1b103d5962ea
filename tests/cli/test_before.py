"""What cannot work is said before the teacher is trained, and what cannot be shown too."""

from __future__ import annotations

import pytest

from tests.command import Place, place_with, sets

PIPELINE = """\
name: small
data: {use: digits, validation: 0.2}
teacher: {model: {use: conv, width: 6, stages: 2}, epochs: 1}
student: {model: {use: conv, width: 4, stages: 2}}
distill: {epochs: 1, losses: [{use: cross_entropy, weight: 0.1}, {use: kd}]}
quantize: {candidates: [fp32]}
targets: [here.yaml]
release: {max_accuracy_drop: 0.001}
"""
OWN = """\
import torch
from torch import nn


def fails(contract):
    raise RuntimeError("no such thing")


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images):
        found = self.head(images.flatten(1))
        return found if found.sum() > 0 else 2 * found


def branching(contract):
    return Branching()


def loss(lesson):
    raise ValueError("it fails in the first step")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    here = place_with(tmp_path_factory.mktemp("before"), PIPELINE)
    (here.folder / "own.py").write_text(OWN)
    return here


@pytest.mark.parametrize(
    ("change", "told", "code"),
    [
        ("student.model={use: own.py:fails}", "own.py:6: own.py:fails failed: RuntimeError: no such thing", 2),
        ("student.model={use: own.py:branching}", "student.model: cannot export the model", 4),
        ("distill.losses=[{use: own.py:loss}]", "own.py:loss failed: ValueError: it fails in the first step", 2),
        ("distill.losses=[{use: fitnet, student: gone, teacher: pool}]", "distill.losses.0: student: no layer", 2),
        ("distill.losses=[{use: fitnet, student: pool, teacher: gone}]", "distill.losses.0: teacher: no layer", 2),
        ("distill.leave_out=[eleven]", "distill.leave_out.0: no class is called 'eleven'", 2),
    ],
)
def test_what_fails_in_the_students_first_step_fails_before_the_teachers(
    place: Place, change: str, told: str, code: int
) -> None:
    done = place.edgekd("run", "p.yaml", *sets(change))
    assert done.returncode == code, done.stderr
    assert told.replace("{folder}", str(place.folder)) in done.stderr
    assert "train@teacher" not in done.stderr


def test_a_checkpoint_of_no_numbers_is_blamed_itself(place: Place) -> None:
    import torch
    from safetensors.torch import save_file

    from edgekd.models.conv import ConvStack
    from tests.stages.test_train import contract_of_digits

    network = ConvStack(use="conv", width=6, stages=2).build(contract_of_digits())
    weights = network.state_dict()
    weights["head.weight"] = torch.full_like(weights["head.weight"], float("nan"))
    save_file(weights, place.folder / "nan.safetensors")
    done = place.edgekd("run", "p.yaml", *sets(f"teacher.checkpoint={place.folder / 'nan.safetensors'}"))
    assert done.returncode == 2
    assert "teacher.checkpoint: " in done.stderr
    assert "the tensor head.weight is not finite" in done.stderr
    assert "learning_rate" not in done.stderr


def test_a_limit_that_the_test_samples_cannot_show_is_told_at_the_start_and_another_student_begins_behind_it(
    place: Place,
) -> None:
    done = place.edgekd("run", "p.yaml", "--until", "train")
    assert done.returncode == 0, done.stderr
    before, teacher, _ = done.stderr.partition("train@teacher: running")
    assert teacher
    assert "release.max_accuracy_drop: 449 test images cannot show 0.001" in before
    assert "at least 2,770 are needed" in before

    changed = sets("student.model={use: conv, width: 5, stages: 2}")
    again = place.edgekd("run", "p.yaml", *changed, "--from", "train@student", "--until", "train")
    assert again.returncode == 0, again.stderr
    assert "train@teacher: cached" in again.stderr, "what is found before decides nothing of it"
    assert "preflight: running" in again.stderr
    assert "449 test images cannot show 0.001" in again.stderr


def test_what_did_not_pass_is_kept_apart_and_says_why(place: Place) -> None:
    done = place.edgekd("run", "p.yaml")
    assert done.returncode in (1, 3), done.stderr
    (folder,) = place.folder.glob("runs/small/*/not-released")
    assert sorted(each.name for each in folder.iterdir()) == ["WHY.txt", "here.fp32.onnx"]
    assert not (folder.parent / "bundle").exists()
    why = (folder / "WHY.txt").read_text()
    assert why.startswith("These models were not released: the verdict of the gate is ")
    assert "release.max_accuracy_drop: " in why
    record = place.last_run()
    shipped = place.stored(record, "choose@here", "model")
    assert (folder / "here.fp32.onnx").read_bytes() == shipped.read_bytes()
    (levers,) = record["records"]["release"]["release"]["levers"].values()
    for line in levers:
        assert line in done.stdout
        assert line in why
    assert f"{folder.relative_to(place.folder)}  (not released: " in done.stdout
