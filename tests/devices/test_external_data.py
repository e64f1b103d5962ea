"""Models whose weights lie in files beside them, on a board over SSH."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.external_data_helper import set_external_data

from edgekd.devices.base import Device, Workspace
from edgekd.devices.channel import Channel
from edgekd.devices.local import Local
from edgekd.graph.inspect import external_files
from edgekd.harness.answers import predict
from edgekd.harness.subject import Subject
from edgekd.progress import Silent
from edgekd.records.runtime import RuntimeSettings
from tests.command import Place
from tests.devices.conftest import Server
from tests.harness.conftest import save_model

SIZE = 200
WEIGHTS = SIZE * SIZE * 4  # bytes


def linear(folder: Path, seed: int, *, weights_at: str = "weights/data.bin") -> Path:
    """y = x @ w + b; `w` lies in `weights_at`, `b` in a file named as the model, whose own bytes no seed changes."""
    generator = np.random.default_rng(seed)
    constants = {
        "w": generator.normal(size=(SIZE, SIZE)).astype(np.float32),
        "b": generator.normal(size=SIZE).astype(np.float32),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    save_model(path, [helper.make_node("Gemm", ["x", "w", "b"], ["y"])], constants, shape=("n", SIZE))
    model = onnx.load(path)
    for tensor, location in zip(model.graph.initializer, (weights_at, "model.onnx.data"), strict=True):
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        (folder / location).write_bytes(tensor.raw_data)
        set_external_data(tensor, location)
        tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return path


def subject(path: Path) -> Subject:
    return Subject(path, beside=external_files(path))


def put(workspace: Workspace, path: Path) -> str:
    return workspace.put(path, external_files(path))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes went to the board, piece by piece."""
    sizes: list[int] = []
    original = Channel.send

    def counting(self: Channel, data: bytes) -> None:
        sizes.append(len(data))
        original(self, data)

    monkeypatch.setattr(Channel, "send", counting)
    return sizes


def test_models_that_differ_only_in_what_lies_beside_them_answer_there_as_here(server: Server, tmp_path: Path) -> None:
    one, other = linear(tmp_path / "one", 1), linear(tmp_path / "other", 2)
    assert one.read_bytes() == other.read_bytes()
    inputs = np.random.default_rng(0).normal(size=(5, SIZE)).astype(np.float32)

    def answers(device: Device) -> dict[str, np.ndarray]:
        models = {"one": subject(one), "other": subject(other)}
        return dict(predict(device, RuntimeSettings(), models, {"x": inputs}, Silent()))

    here, there = answers(Local(use="local")), answers(server.device())
    for name in ("one", "other"):
        np.testing.assert_array_equal(there[name], here[name])
    assert not np.allclose(there["one"], there["other"])
    assert server.left() == []


def test_what_lies_beside_a_model_is_not_sent_twice_under_any_name(
    server: Server, tmp_path: Path, sent: list[int]
) -> None:
    path = linear(tmp_path / "one", 3)
    twin = linear(tmp_path / "twin", 3, weights_at="w.bin")
    with server.device().connect() as workspace:
        there = put(workspace, path)
        first = sum(sent)
        assert put(workspace, path) == there
        assert sum(sent) == first > WEIGHTS
        other = put(workspace, twin)
        assert sum(sent) < first + 10_000
        assert (Path(there).parent / "weights" / "data.bin").read_bytes() == (Path(other).parent / "w.bin").read_bytes()
    sent.clear()
    with server.device().connect() as workspace:
        put(workspace, path)
    assert sum(sent) < 50_000


def test_what_changed_beside_a_model_is_sent_anew(server: Server, tmp_path: Path) -> None:
    path = linear(tmp_path, 4)
    with server.device().connect() as workspace:
        before = put(workspace, path)
        linear(tmp_path, 5)
        after = put(workspace, path)
        for there, data in ((before, False), (after, True)):
            same = (Path(there).parent / "model.onnx.data").read_bytes() == (tmp_path / "model.onnx.data").read_bytes()
            assert same is data


def test_a_link_to_a_model_is_followed_to_what_lies_beside_it(server: Server, tmp_path: Path) -> None:
    path = linear(tmp_path / "version-7", 6)
    link = tmp_path / "current.onnx"
    link.symlink_to(path)
    with server.device().connect() as workspace:
        there = Path(put(workspace, link))
        assert (there.parent / "model.onnx.data").read_bytes() == (path.parent / "model.onnx.data").read_bytes()


def test_with_nothing_to_keep_nothing_of_it_is_left(server: Server, tmp_path: Path, sent: list[int]) -> None:
    path = linear(tmp_path / "one", 7)
    twin = linear(tmp_path / "twin", 7, weights_at="w.bin")
    home = tmp_path / "there"
    with server.device(folder=str(home), keep_mb=0).connect() as workspace:
        put(workspace, path)
        put(workspace, twin)
        assert WEIGHTS < sum(sent) < 2 * WEIGHTS
        assert len(list(home.rglob("data.bin"))) == 1
    assert not home.exists()


def board(server: Server, home: Path, path: Path) -> Path:
    path.write_text(
        f"name: board\ndevice: {{use: ssh, host: board, config: {server.client}, python: {sys.executable}, "
        f"folder: {home}}}\nlimits: {{model_bytes: {WEIGHTS}}}\n"
    )
    return path


def test_such_models_are_measured_and_checked_on_a_board(server: Server, tmp_path: Path) -> None:
    linear(tmp_path / "one", 8)
    linear(tmp_path / "other", 9)
    target = board(server, tmp_path / "there", tmp_path / "board.yaml")
    models = ("one/model.onnx", "other/model.onnx")
    done = Place(tmp_path).edgekd("bench", *models, "--target", target, "--seconds", "1", "--json")
    assert done.returncode in (0, 3), done.stderr
    told = json.loads(done.stdout)
    assert [model["name"] for model in told["models"]] == list(models)
    assert all(model["size_bytes"] > WEIGHTS + 4 * SIZE for model in told["models"])
    done = Place(tmp_path).edgekd("check", "one/model.onnx", "--target", target, "--seconds", "1")
    assert done.returncode == 1, done.stderr
    assert "✗ model_bytes" in done.stdout, "the weights count, wherever they lie"


@pytest.mark.parametrize("location", ["../weights.bin", "HERE/weights.bin"])
def test_a_path_that_leaves_the_models_folder_is_refused_before_anything_is_sent(
    server: Server, tmp_path: Path, location: str
) -> None:
    path = linear(tmp_path / "model", 10)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location.replace("HERE", str(tmp_path))
    path.write_bytes(model.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(bytes(WEIGHTS))
    target = board(server, tmp_path / "there", tmp_path / "board.yaml")
    done = Place(tmp_path).edgekd("bench", path, "--target", target)
    assert done.returncode == 2
    assert "outside the model's folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "there").exists()
