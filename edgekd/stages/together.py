"""Trainings that several processes do together: the first one runs the pipeline and calls the others to each training.

Its files may be on another machine's disk: whoever lacks one is sent it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.errors import ConfigError
from edgekd.pipeline.fingerprint import differences
from edgekd.records.base import file_digest
from edgekd.training.execution import place_here

if TYPE_CHECKING:
    from edgekd.training.group import Group

SENT_BYTES = 1 << 26  # of a file in one go


@dataclass(frozen=True)
class Call:
    """network: the one to train; made_of: what decides the result, inputs and machine apart; inputs: where the first
    process has each, and its sha256, by port."""

    network: str
    made_of: Mapping[str, JsonValue]
    seed: int
    inputs: Mapping[str, tuple[Path, str]]


def call_others(network: str, made_of: Mapping[str, JsonValue], seed: int, inputs: Mapping[str, Path]) -> Group:
    """The group, all of whose other processes have then left `await_call` for this training."""
    from edgekd.training.group import join

    group = join()
    call = group.same(Call(network, made_of, seed, {port: (path, file_digest(path)) for port, path in inputs.items()}))
    for path, sha256 in call.inputs.values():
        _share(group, path, sha256, path)
    return group


def dismiss_others() -> None:
    """Lets `await_call` of all other processes, if there are any, return None."""
    if place_here().size == 1:
        return
    from edgekd.training.group import join, leave

    join().same(None)
    leave()


def await_call(folder: Path) -> tuple[Group, Call, dict[str, Path]] | None:
    """The next training, with the paths of its inputs here, some of them below `folder`; None when there is no more."""
    from edgekd.training.group import join, leave

    group = join()
    call: Call | None = group.same(None)
    if call is None:
        leave()
        return None
    inputs = {}
    for port, (path, sha256) in call.inputs.items():
        inputs[port] = _share(group, path, sha256, folder / f"{port}{path.suffix}")
    return group, call, inputs


def check_same(call: Call, made_of: Mapping[str, JsonValue]) -> None:
    """Raises ConfigError where this process would train something else than the first one."""
    other = next(iter(differences(dict(call.made_of), dict(made_of))), None)
    if other is not None:
        raise ConfigError(
            f"the process on {socket.gethostname()} does not train what the first one does: {other}",
            hint="every machine needs the same pipeline file, the same edgekd and the same libraries",
        )


def _share(group: Group, path: Path, sha256: str, own: Path) -> Path:
    """Where this process has the file that the first one has at `path`: there too, or at `own`, where it is sent."""
    import torch

    here = group.leads or (path.is_file() and file_digest(path) == sha256)
    lacking = torch.tensor(0 if here else 1)
    group.add_up([lacking])
    if not int(lacking):
        return path
    size = group.same(path.stat().st_size if group.leads else 0)
    with path.open("rb") if here else own.open("wb") as stream:
        for _ in range(0, size, SENT_BYTES):
            part = group.same(stream.read(SENT_BYTES) if group.leads else b"")
            if not here:
                stream.write(part)
    return path if here else own
