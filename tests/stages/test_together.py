"""The real command under torchrun: the first process runs the pipeline, the others only help it to train."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.command import DIGITS, QUICK, Place, python, python_argv, sets


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("together"))


def test_the_main_job_is_done_once_and_trained_by_both(place: Place) -> None:
    for expected in ("train@student: running", "train@student: cached"):
        done = place.edgekd("run", DIGITS, "--until", "export@student", *sets(*QUICK), processes=2)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("run: ") == 1
        assert done.stderr.count(expected) == 1
    runs = sorted((place.folder / "runs" / "digits").iterdir())
    assert len(runs) == 2  # none of the second process' own
    record = json.loads((runs[0] / "run.json").read_text())
    histories = [each["history"] for each in record["records"]["network"].values()]
    assert [each["processes"] for each in histories] == [2] * len(histories)


def test_an_error_in_a_training_is_told_once(place: Place) -> None:
    changes = sets(*QUICK, "teacher.batch_size=1", "teacher.epochs=1")
    done = place.edgekd("run", DIGITS, *changes, processes=2)
    assert done.returncode == 1  # torchrun's own
    assert done.stderr.count("teacher.batch_size: a batch of 1 samples is too small for 2 processes") == 1


def test_a_process_with_another_pipeline_says_what_differs(place: Place) -> None:
    program = (
        "import os, sys\n"
        "from edgekd.cli import main\n"
        "sys.argv[1:] = [*sys.argv[1:], '--set', f'teacher.weight_decay={0.5 + int(os.environ[\"RANK\"])}']\n"
        "main()\n"
    )
    done = subprocess.run(
        python_argv("-c", program, "run", DIGITS, *sets(*QUICK), processes=2),
        cwd=place.folder,
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    assert "does not train what the first one does: options.weight_decay 0.5 -> 1.5" in done.stderr


PROGRAM = """
import os
import sys
from pathlib import Path

from edgekd.stages import together

rank = int(os.environ["RANK"])
together.SENT_BYTES = 1000
os.chdir(sys.argv[1 + rank])  # each has a disk of its own, as on two machines
if rank == 0:
    for path in (Path("input.bin"), Path("empty.bin")):
        together.call_others("teacher", {"a": 1}, 5, {"data": path})
    together.dismiss_others()
else:
    while (called := together.await_call(Path.cwd())) is not None:
        group, call, inputs = called
        together.check_same(call, {"a": 1})
        print(call.network, call.seed, inputs["data"].name, inputs["data"].read_bytes() == bytes(range(256)) * 10)
    print("dismissed")
"""


@pytest.mark.parametrize("other", [None, b"something else", bytes(range(256)) * 10])
def test_a_process_that_lacks_an_input_is_sent_it(tmp_path: Path, other: bytes | None) -> None:
    content = bytes(range(256)) * 10
    folders = [tmp_path / "0", tmp_path / "1"]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "input.bin").write_bytes(content)
    (folders[0] / "empty.bin").write_bytes(b"")
    if other is not None:
        (folders[1] / "input.bin").write_bytes(other)
    said = python(PROGRAM, *folders, processes=2)
    taken = "input.bin" if other == content else "data.bin"
    assert said.splitlines() == [f"teacher 5 {taken} True", "teacher 5 data.bin False", "dismissed"]
    if other is not None:
        assert (folders[1] / "input.bin").read_bytes() == other
