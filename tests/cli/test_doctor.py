from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import REPOSITORY, Place


@pytest.mark.parametrize("command", [("doctor", "--target"), ("target", "doctor")])
def test_doctor_names_the_machine_and_what_disturbs(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = Place(tmp_path).edgekd(*command, REPOSITORY / "targets" / "local.yaml")
    assert done.returncode == 0, done.stderr
    for word in ("target local", "processor", "governor", "onnxruntime", "interruptions"):
        assert word in done.stdout


def test_doctor_speaks_json(tmp_path: Path) -> None:
    told = json.loads(Place(tmp_path).edgekd("doctor", "--json").stdout)
    assert told["environment"]["machine"]["cores"] >= 1
    assert all({"name", "what", "remedy"} == set(finding) for finding in told["findings"])


def test_a_target_that_asks_for_too_much_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("name: many\ndevice: local\nruntime: {threads: 1000}\n")
    done = Place(tmp_path).edgekd("doctor", "--target", path)
    assert done.returncode == 0
    assert "1000 threads share" in done.stdout
