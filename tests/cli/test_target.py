from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekd.config.check import check
from edgekd.config.source import read_source
from edgekd.config.target import TargetProfile
from tests.command import REPOSITORY, Place

PROFILES = sorted((REPOSITORY / "targets").glob("*.yaml"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_that_comes_with_edgekd_is_right(path: Path) -> None:
    profile = check(TargetProfile, read_source(path))
    assert profile.name.startswith(path.stem.split("-")[0])


def test_ping_says_what_a_target_is(place: Place) -> None:
    (place.folder / "t.yaml").write_text("name: here\ndevice: local\n")
    done = place.edgekd("target", "ping", "t.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("✓ here (this machine) answers")
    assert "onnxruntime" in done.stdout
    machine = json.loads(place.edgekd("target", "ping", "t.yaml", "--json").stdout)["machine"]
    assert machine["cores"] >= 1
    assert "CPUExecutionProvider" in machine["providers"]


def test_ping_of_what_is_not_there_ends_in_5_with_a_line_and_a_hint(place: Place) -> None:
    (place.folder / "t.yaml").write_text("name: away\ndevice: {use: ssh, host: 127.0.0.1, port: 1}\n")
    done = place.edgekd("target", "ping", "t.yaml")
    assert done.returncode == 5
    assert len(done.stderr.strip().splitlines()) == 2
    assert "refuses the connection" in done.stderr


def test_list_names_every_file_and_says_which_is_wrong(place: Place) -> None:
    folder = place.folder / "targets"
    folder.mkdir()
    (folder / "a.yaml").write_text("name: a\ndevice: {use: ssh, host: pi, user: me}\nlimits: {model_bytes: 1000000}\n")
    (folder / "b.yaml").write_text("name: b\ndevice: {use: ssh, host: -oProxyCommand=x}\n")
    done = place.edgekd("target", "list")
    assert done.returncode == 2
    good, bad = done.stdout.splitlines()
    assert good == "targets/a.yaml  a · me@pi · model_bytes 1,000,000"
    assert "b.yaml:2: device.host:" in bad


def test_list_of_an_empty_folder_is_told(place: Place) -> None:
    done = place.edgekd("target", "list", ".")
    assert done.returncode == 2
    assert "no target files" in done.stderr


def test_setup_says_what_it_would_fetch_and_fetches_nothing(place: Place) -> None:
    (place.folder / "t.yaml").write_text("name: arm\ndevice: qemu\n")
    quiet = Place(place.folder, {"XDG_CACHE_HOME": str(place.folder / "cache")})
    done = quiet.edgekd("target", "setup", "t.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime==1.27.0" in done.stdout
    assert not (place.folder / "cache").exists()


def test_setup_of_a_target_that_needs_none_says_that_it_is_ready(place: Place) -> None:
    (place.folder / "t.yaml").write_text("name: here\ndevice: local\n")
    assert place.edgekd("target", "setup", "t.yaml").stdout == "✓ here (this machine) is ready\n"
