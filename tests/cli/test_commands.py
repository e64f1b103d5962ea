"""The small commands, and wrong input, through the real command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import DIGITS, REPOSITORY, Place

COMMANDS = [
    "run", "plan", "fit", "sweep", "show", "bench", "check", "quantize", "doctor", "verify", "sign", "predict",
    "target", "init", "list", "schema", "gc",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['edgekd', '--help']\n"
        "from edgekd.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'numpy', 'scipy', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f" {command} " in done.stdout
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(place: Place, command: str) -> None:
    done = place.edgekd(command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 8


@pytest.mark.parametrize(
    ("before", "after", "line", "hint"),
    [
        ("seed: 0", "sede: 0", ": sede: unknown key", "hint: did you mean 'seed'?"),
        ("temperature: 4", "temperature: 0", "distill.temperature: input should be greater than 0, found 0", None),
        ("local.yaml", "loacl.yaml", "targets.0: no such file:", "hint: in "),
    ],
)
def test_a_wrong_pipeline_is_one_line_a_hint_and_exit_2(
    place: Place, before: str, after: str, line: str, hint: str | None
) -> None:
    text = DIGITS.read_text()
    assert before in text
    path = place.folder / "p.yaml"
    path.write_text(text.replace("../targets", str(REPOSITORY / "targets")).replace(before, after))
    done = place.edgekd("run", path)
    assert done.returncode == 2, done.stderr
    first = done.stderr.splitlines()[0]
    number = 1 + path.read_text().splitlines().index(
        next(each for each in path.read_text().splitlines() if after in each)
    )
    assert first.startswith(f"{path}:{number}: ")
    assert line in first
    assert len(done.stderr.splitlines()) == (1 if hint is None else 2)
    assert hint is None or done.stderr.splitlines()[1].startswith(hint)
    assert not (place.folder / "runs").exists(), "nothing is made before the input is right"


def test_a_missing_pipeline_names_those_that_are_there(place: Place) -> None:
    done = place.edgekd("run", REPOSITORY / "pipelines" / "mnits.yaml")
    assert done.returncode == 2
    assert "mnist.yaml" in done.stderr.splitlines()[1]


def test_a_mistyped_stage_is_refused_before_anything_is_made(place: Place) -> None:
    done = place.edgekd("run", DIGITS, "--until", "exprot")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "no stage 'exprot' in this pipeline"
    assert not (place.folder / "runs").exists()


def test_data_that_is_not_there_says_where_to_put_it(place: Place) -> None:
    here = Place(place.folder, {"EDGEKD_DATA": str(place.folder), "XDG_CACHE_HOME": str(place.folder / "cache")})
    done = here.edgekd("run", DIGITS.with_name("mnist.yaml"))
    assert done.returncode == 2, done.stderr
    *_, line, hint = done.stderr.splitlines()
    assert "mnist.yaml:" in line
    assert "data: MNIST is not here and could not be downloaded" in line
    assert "train-images-idx3-ubyte.gz" in hint
    assert str(place.folder / "MNIST" / "raw") in hint


def test_a_place_where_no_pipeline_can_be_written_is_told(place: Place) -> None:
    (place.folder / "photos" / "cat").mkdir(parents=True)
    os.mkfifo(place.folder / "pipe")
    (place.folder / "round").symlink_to("round")
    for to in ("pipe/own.yaml", f"{'x' * 300}/own.yaml", "round/own.yaml", "/proc/own.yaml"):
        done = place.edgekd("init", "photos", "--to", to)
        assert (done.returncode, done.stderr.startswith("cannot write a pipeline: ")) == (2, True), done.stderr
    done = place.edgekd("init", "x" * 300)
    assert done.returncode == 2, done.stderr


def test_a_key_far_too_deep_is_told(place: Place) -> None:
    done = place.edgekd("plan", DIGITS, "--set", f"{'a.' * 3000}b=1")
    assert done.returncode == 2
    assert "more than 100 keys inside each other" in done.stderr


def test_the_name_of_a_broken_picture_does_nothing_to_the_terminal(place: Place) -> None:
    for name in (*(f"cat/{k}" for k in "abcd"), "dog/\x1b[31ma", "dog/b", "dog/c", "dog/d"):
        path = place.folder / "pets" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture")
    pipeline = DIGITS.read_text().replace("use: digits", f"use: image_folder\n  path: {place.folder}/pets\n  size: 8")
    (place.folder / "p.yaml").write_text(pipeline.replace("../targets", str(REPOSITORY / "targets")))
    done = place.edgekd("run", place.folder / "p.yaml", "--until", "data")
    assert done.returncode == 2, done.stderr
    assert "cat/a.png cannot be read: not an image" in done.stderr
    for name in "abcd":
        (place.folder / "pets" / "cat" / f"{name}.png").write_bytes(b"P5 1 1 255\n\0")
    done = place.edgekd("run", place.folder / "p.yaml", "--until", "data")
    assert done.returncode == 2, done.stderr
    assert "dog/\\x1b[31ma.png cannot be read: not an image" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "group", ["datasets", "models", "losses", "temperatures", "optimizers", "teachers", "schemes", "devices"]
)
def test_list_prints_names_with_their_options(place: Place, group: str) -> None:
    from edgekd.config.registry import GROUPS

    done = place.edgekd("list", group)
    assert done.returncode == 0, done.stderr
    for name in GROUPS[group].members:
        assert f"{name}: " in done.stdout
    assert "(default " in done.stdout or group in ("devices", "temperatures", "teachers")


def test_list_alone_prints_the_names_of_every_group(place: Place) -> None:
    from edgekd.config.registry import GROUPS

    done = place.edgekd("list")
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ") for line in done.stdout.splitlines())
    assert {name: told[name].split(", ") for name in GROUPS} == {
        name: list(group.members) for name, group in GROUPS.items()
    }


def test_list_layers_names_what_a_tap_can_read(place: Place) -> None:
    done = place.edgekd("list", "layers", DIGITS)
    assert done.returncode == 0, done.stderr
    teacher, _, student = done.stdout.partition("student:")
    assert re.search(r"^ +stages\.1 +48 x 4 x 4$", teacher, re.MULTILINE), done.stdout
    assert re.search(r"^ +stages\.1 +16 x 4 x 4$", student, re.MULTILINE), done.stdout
    assert place.edgekd("list", "layers").returncode == 2


def test_list_of_something_unknown_names_the_nearest(place: Place) -> None:
    done = place.edgekd("list", "modles")
    assert done.returncode == 2
    assert "did you mean 'models'?" in done.stderr


@pytest.mark.parametrize("kind", ["pipeline", "target"])
def test_the_schema_is_json_and_the_shipped_one_is_this_one(place: Place, kind: str) -> None:
    done = place.edgekd("schema", kind)
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    shipped = REPOSITORY / f"{kind}s" / f"{kind}.schema.json"
    assert json.loads(shipped.read_text()) == schema, f"run: edgekd schema {kind} > {kind}s/{kind}.schema.json"


def test_init_writes_a_pipeline_that_is_right_and_overwrites_nothing(place: Place) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        folder = place.folder / "photos" / name
        folder.mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (40, 40), (number * 5, number * 3, 9 + number)).save(folder / f"{number}.png")
    done = place.edgekd("init", "photos")
    assert done.returncode == 0, done.stderr
    assert "next: edgekd run pipelines/own.yaml" in done.stdout
    planned = place.edgekd("plan", "pipelines/own.yaml")
    assert planned.returncode == 0, planned.stderr
    ran = place.edgekd("run", "pipelines/own.yaml", "--until", "data")
    assert ran.returncode == 0, ran.stderr
    assert "2 classes" in ran.stderr
    assert place.edgekd("init", "photos").returncode == 2
    assert place.edgekd("init", "nowhere").returncode == 2


@pytest.mark.parametrize("to", ["own.yaml", "pipelines/own.yaml", "there/1: x.yaml", "there/pipelines/#.yaml"])
def test_init_writes_something_that_runs_wherever_it_goes(place: Place, to: str) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        folder = place.folder / "photos: #1" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(folder / "1.png")
    done = place.edgekd("init", "photos: #1", "--to", to)
    assert done.returncode == 0, done.stderr
    planned = place.edgekd("plan", to)
    assert planned.returncode == 0, planned.stderr
    assert "train@teacher" in planned.stdout


def test_gc_on_an_empty_store_removes_nothing(place: Place) -> None:
    done = place.edgekd("gc", "--unused-for", "0")
    assert done.returncode == 0
    assert done.stdout.startswith("removed 0 results, 0 files")
