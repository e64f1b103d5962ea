from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekd.errors import ConfigError
from edgekd.training.weights import load_weights, save_weights
from tests.command import python

from .conftest import network, same, weights


def test_saved_weights_come_back_bit_for_bit_and_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    model, other = network(seed=1), network(seed=2)
    save_weights(model, tmp_path / "a.safetensors")
    model.to(memory_format=torch.channels_last)
    save_weights(model, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    load_weights(other, tmp_path / "a.safetensors")
    assert same(weights(other), weights(model))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_weights(tied, tmp_path / "tied.safetensors")
    load_weights(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), tmp_path / "tied.safetensors")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_plain_torch_file_loads(tmp_path: Path, wrapped: bool) -> None:
    model, other = network(seed=1), network(seed=2)
    content = {"state_dict": model.state_dict(), "epoch": 5} if wrapped else model.state_dict()
    torch.save(content, tmp_path / "weights.pt")
    load_weights(other, tmp_path / "weights.pt")
    assert same(weights(other), weights(model))


class Harmful:
    """A pickle that would run code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_torch_file_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"x": Harmful(tmp_path / "ran")}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="cannot read the checkpoint"):
        load_weights(network(), tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps({"a": 1}, protocol=2), b"\xff" * 200], ids=str)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError):
        load_weights(network(), tmp_path / name)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    for name in ("weights.safetensors", "weights.pt"):
        path = tmp_path / name
        if path.suffix == ".pt":
            torch.save(network().state_dict(), path)
        else:
            save_weights(network(), path)
        path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(ConfigError, match=f"cannot read the checkpoint {path}"):
            load_weights(network(), path)


def test_missing_files_and_unknown_kinds_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_weights(network(), tmp_path / "gone.safetensors")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"unknown kind of checkpoint '\.h5'"):
        load_weights(network(), tmp_path / "weights.h5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: state | {"0.weight": torch.zeros(9, 1, 3, 3)},
            r"the tensor 0\.weight has shape \(9, 1, 3, 3\), the model's has \(8, 1, 3, 3\)$",
        ),
        (
            lambda state: {name: each for name, each in state.items() if name != "8.bias"},
            r"the tensor 8\.bias \(10,\) is missing$",
        ),
        (lambda state: state | {"9.bias": torch.zeros(4)}, r"the model has no tensor 9\.bias \(4,\)$"),
        (
            lambda state: state | {"8.bias": torch.zeros(10, dtype=torch.int64)},
            r"the tensor 8\.bias is of torch\.int64, the model's of torch\.float32$",
        ),
        (lambda state: {"other": torch.zeros(1)}, r"the tensor 0\.weight .* is missing \(and 14 more\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_tensor_and_shape(
    tmp_path: Path, change: object, words: str
) -> None:
    assert callable(change)
    model = network(seed=1)
    before = weights(model)
    save_file(change(OrderedDict(network(seed=2).state_dict())), tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=words) as error:
        load_weights(model, tmp_path / "weights.safetensors")
    assert "weights.safetensors does not fit the model" in error.value.what
    assert same(weights(model), before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_that_holds_no_numbers_is_refused(tmp_path: Path, value: float) -> None:
    model = network(seed=1)
    before = weights(model)
    state = OrderedDict(network(seed=2).state_dict())
    state["8.bias"] = torch.tensor([0.0] * 8 + [value] * 2)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"the tensor 8\.bias is not finite in 2 of 10 numbers"):
        load_weights(model, tmp_path / "weights.safetensors")
    assert same(weights(model), before)


def test_a_full_disk_is_the_systems_error_and_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import errno, resource, signal, sys, torch; from pathlib import Path\n"
        "from edgekd.training.weights import save_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "path = Path(sys.argv[1]) / 'weights.safetensors'\n"
        "try: save_tensors({'x': torch.zeros(10000)}, path)\n"
        "except OSError as error: assert error.errno == errno.EFBIG, error\n"
        "else: raise SystemExit('it was written')\n"
        "assert not list(path.parent.iterdir())\n"
    )
    python(program, tmp_path)
