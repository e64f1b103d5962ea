# ruff: noqa: F401, F811 - fixtures of other folders
"""`edgekd verify` and `edgekd sign` through the real command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekd.release.bundle import BundleInputs
from tests.command import Place
from tests.devices.conftest import Server, server
from tests.devices.test_qemu import arm
from tests.release.conftest import bundle, inputs
from tests.release.test_sign import make_keys


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_sign_then_verify_with_the_key(place: Place, bundle: Path) -> None:
    private, public = make_keys(place.folder)
    unsigned = place.edgekd("verify", bundle, "--key", public)
    assert (unsigned.returncode, unsigned.stdout) == (1, "✗ manifest.sig: the bundle is not signed\n")
    assert place.edgekd("sign", bundle, "--key", private).returncode == 0
    signed = place.edgekd("verify", bundle, "--key", public)
    assert signed.returncode == 0, signed.stdout
    assert "is whole, signed and computes here" in signed.stdout


def test_what_is_not_whole_is_not_signed(place: Place, bundle: Path) -> None:
    (bundle / "MODEL_CARD.md").write_text("Best model ever.")
    done = place.edgekd("sign", bundle, "--key", make_keys(place.folder)[0])
    assert done.returncode == 2
    assert "not signed: MODEL_CARD.md" in done.stderr
    assert not (bundle / "manifest.sig").exists()


def test_an_archive_is_the_same_bytes_each_time_and_verifies_as_the_folder_does(
    place: Place,
    bundle: Path,
) -> None:
    digests = set()
    for name in ("a.zip", "b.zip"):
        done = place.edgekd("verify", bundle, "--archive", name)
        assert done.returncode == 0, done.stdout + done.stderr
        digests.add(hashlib.sha256((place.folder / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    assert place.edgekd("verify", "a.zip").returncode == 0
    (place.folder / "cut.zip").write_bytes((place.folder / "a.zip").read_bytes()[:-100])
    cut = place.edgekd("verify", "cut.zip")
    assert (cut.returncode, "Traceback" in cut.stderr) == (2, False)


def test_nothing_is_archived_when_something_is_wrong(place: Place, bundle: Path) -> None:
    (bundle / "added").touch()
    assert place.edgekd("verify", bundle, "--archive", "a.zip").returncode == 1
    assert not (place.folder / "a.zip").exists()


def board(place: Place, server: Server) -> Path:
    device = {"use": "ssh", "host": "board", "config": str(server.client), "python": sys.executable,
              "folder": str(server.home)}  # fmt: skip
    path = place.folder / "board.yaml"
    path.write_text(json.dumps({"name": "board", "device": device}))
    return path


def test_the_golden_samples_are_answered_on_a_board(place: Place, bundle: Path, server: Server) -> None:
    target = board(place, server)
    done = place.edgekd("verify", bundle, "--target", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "computes on board (" in done.stdout
    assert server.left() == []


def test_a_board_that_answers_differently_is_told(
    place: Place,
    inputs: BundleInputs,
    server: Server,
) -> None:
    from dataclasses import replace

    from edgekd.release.bundle import build_bundle

    folder = place.folder / "wrong"
    wrong = {name: replace(each, golden_logits=each.golden_logits + 1) for name, each in inputs.models.items()}
    build_bundle(replace(inputs, models=wrong), folder)
    done = place.edgekd("verify", folder, "--target", board(place, server))
    assert done.returncode == 1
    assert "answers differ" in done.stdout


def test_a_board_that_is_off_is_exit_5(place: Place, bundle: Path) -> None:
    (place.folder / "t.yaml").write_text("name: t\ndevice: {use: ssh, host: 127.0.0.1, port: 1}\n")
    assert place.edgekd("verify", bundle, "--target", "t.yaml").returncode == 5


def test_a_runtime_too_old_on_the_target_is_told(
    place: Place,
    inputs: BundleInputs,
    arm: object,
) -> None:
    from dataclasses import replace

    from edgekd.release.bundle import build_bundle

    folder = place.folder / "new"
    newer = {
        name: replace(
            each,
            made=each.made.model_copy(update={"facts": each.made.facts.model_copy(update={"runtime": "1.30"})}),
        )
        for name, each in inputs.models.items()
    }
    build_bundle(replace(inputs, models=newer), folder)
    (place.folder / "t.yaml").write_text("name: arm\ndevice: {use: qemu, cpu: cortex-a72}\n")
    done = place.edgekd("verify", folder, "--target", "t.yaml")
    assert done.returncode == 1
    assert "ONNX Runtime 1.27.0 is too old" in done.stdout


def test_the_golden_samples_are_answered_on_arm(place: Place, bundle: Path, arm: object) -> None:
    (place.folder / "t.yaml").write_text("name: arm\ndevice: {use: qemu, cpu: cortex-a72}\n")
    done = place.edgekd("verify", bundle, "--target", "t.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "computes on arm (aarch64, onnxruntime 1.27.0)" in done.stdout


def test_a_target_name_is_one_of_the_bundle(place: Place, bundle: Path) -> None:
    assert place.edgekd("verify", bundle, "--target", "board").returncode == 0
    wrong = place.edgekd("verify", bundle, "--target", "nobody")
    assert wrong.returncode == 1
    assert "it has local, board" in wrong.stdout


def test_a_files_name_breaks_no_line(place: Place, bundle: Path) -> None:
    name = "two\nlines\x1b[2J.npy"
    np.save(place.folder / name, np.zeros((4, 3), np.uint8))
    told = place.edgekd("predict", bundle, name, name)
    refused = place.edgekd("predict", bundle, "no\nfile.npy")
    assert [line.partition(": ")[0] for line in told.stdout.splitlines()] == ["two\\nlines\\x1b[2J.npy"] * 2
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "cannot read no\\nfile.npy: " in refused.stderr


def test_an_added_files_name_does_nothing_to_the_terminal(place: Place, bundle: Path) -> None:
    (bundle / "a\x1b[2J\nb").touch()
    for done in (
        place.edgekd("verify", bundle),
        subprocess.run([sys.executable, bundle / "verify.py"], capture_output=True, text=True, check=False),
    ):
        assert done.returncode == 1
        assert (done.stdout + done.stderr).endswith("a\\x1b[2J b: not of this bundle\n")
