"""What an interrupted training goes on from: everything that the next epoch depends on, checked by digest.

Two files: `epoch-N.safetensors`, and `checkpoint.json`, which names it with its sha256 and is replaced last and
atomically. Whatever moment a kill hits, `checkpoint.json` names a complete file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import JsonValue, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from edgekd.errors import ConfigError
from edgekd.records.base import Record, digest, file_digest
from edgekd.records.training import Epoch
from edgekd.training.averaging import Average
from edgekd.training.weights import read_tensors, save_tensors


class Progressed(Record):
    """The JSON part: how far the training is. `run` tells which training this belongs to."""

    run: str
    epochs: tuple[Epoch, ...]
    seconds: float
    tensors: str
    sha256: str


class Sealed(Record):
    state: Progressed
    digest: str


@dataclass(frozen=True)
class Trained:
    """The parts of a training whose tensors an epoch changes; average: of the weights, where one is kept; peers: those
    of the networks that are trained beside it, by name, which has no dot."""

    model: nn.Module
    objective: nn.Module
    optimizer: Optimizer
    average: Average | None = None
    peers: Mapping[str, Trained] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        named = {f"model.{name}": each for name, each in self.model.state_dict().items()}
        named |= {f"objective.{name}": each for name, each in self.objective.state_dict().items()}
        if self.average is not None:
            named |= {f"average.{name}": each for name, each in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        for peer, theirs in self.peers.items():
            named |= {f"peers.{peer}.{name}": each for name, each in theirs.tensors().items()}
        return named

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError, ValueError or RuntimeError when the tensors are not this training's."""
        parts: dict[str, dict[str, Tensor]] = {
            part: {} for part in ("model", "objective", "optimizer", "average", "peers")
        }
        for name, each in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = each
        states: dict[int, dict[str, Tensor]] = {}
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        for name, each in parts["optimizer"].items():
            index, _, key = name.partition(".")
            like = parameters[int(index)]
            # in the parameter's memory format: another one may round differently in the last bit
            kept = torch.empty_like(like).copy_(each) if each.shape == like.shape and each.ndim else each
            states.setdefault(int(index), {})[key] = kept
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        self.objective.load_state_dict(parts["objective"])
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        for peer, theirs in self.peers.items():
            own = {name.partition(".")[2]: each for name, each in parts["peers"].items() if name.startswith(f"{peer}.")}
            theirs.restore(own)


def save_checkpoint(folder: Path, trained: Trained, *, run: str, epochs: tuple[Epoch, ...], seconds: float) -> None:
    """Writes the state after the last of `epochs`, then removes the one before."""
    name = f"epoch-{len(epochs)}.safetensors"
    save_tensors(trained.tensors(), folder / name)
    state = Progressed(run=run, epochs=epochs, seconds=seconds, tensors=name, sha256=file_digest(folder / name))
    sealed = Sealed(state=state, digest=digest(_plain(state)))
    temporary = folder / "checkpoint.json.partial"
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(sealed.model_dump_json())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / "checkpoint.json")
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(folder: Path, trained: Trained, *, run: str) -> Progressed | None:
    """Restores the last finished epoch and tells how far it is; None where no epoch was finished.

    Raises:
        DamagedCheckpointError: there is one, but it cannot be relied on; `trained` is unchanged.
    """
    path = folder / "checkpoint.json"
    if not path.is_file():
        return None
    try:
        sealed = Sealed.model_validate_json(path.read_bytes())
        state = sealed.state
        if sealed.digest != digest(_plain(state)):
            raise DamagedCheckpointError("its checksum is wrong")
        if state.run != run:
            raise DamagedCheckpointError("it belongs to another training")
        if file_digest(folder / state.tensors) != state.sha256:
            raise DamagedCheckpointError(f"the checksum of {state.tensors} is wrong")
        tensors = read_tensors(folder / state.tensors)
    except (OSError, ValidationError, ConfigError) as error:
        raise DamagedCheckpointError(str(error).splitlines()[0]) from error
    trained.restore(tensors)
    return state


class DamagedCheckpointError(Exception):
    """The checkpoint cannot be relied on; caught by the loop, which starts afresh."""


def _plain(state: Progressed) -> JsonValue:
    plain: JsonValue = json.loads(state.model_dump_json())
    return plain
