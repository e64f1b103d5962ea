"""What a measurement has observed, apart from how: it grows process by process, is kept in a file, and is read back.

The file is an .npz. `blocks` (B, 7) and `loads` (L, 5) have the columns named in `samples.py`, `samples` are in ns in
the order of the blocks, `inferences` (P, M) counts every one that was run, by process and model, `models` are the
names. `notes` is the UTF-8 of a JSON object with all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from edgekd.config.target import Measuring
from edgekd.errors import ConfigError
from edgekd.harness.protocol import Cold, Overhead
from edgekd.harness.samples import BLOCK_COLUMNS, LOAD_COLUMNS, Load, Process, belongs_together, loads_of
from edgekd.harness.sets import Seen
from edgekd.harness.subject import SubjectFacts
from edgekd.records.arrays import load_arrays, save_arrays
from edgekd.records.base import Record
from edgekd.records.environment import KernelState, Machine, Settings

Pairs = tuple[tuple[str, str], ...]
"""Which models are compared: each with its baseline."""


@dataclass
class Observations:
    """models: by name the facts of each file, in the order of their numbers. level: the error that one interval may
    have at the latest of the `looks` at the data. seconds: what it took, without waiting for others."""

    models: Mapping[str, SubjectFacts]
    pairs: Pairs
    measuring: Measuring
    seed: int
    processes: list[Process] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    sets: int = 0
    seen: Seen = field(default_factory=Seen)
    level: float = 0.0
    looks: int = 0
    seconds: float = 0.0

    def add(self, process: Process) -> None:
        self.processes.append(process)
        self.loads += loads_of(process, self.sets)
        self.sets += len({int(row[0]) for row in process.loads})


class Notes(Record):
    """What of it is no array."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    models: dict[str, SubjectFacts]
    pairs: Pairs
    measuring: Measuring
    seed: int
    level: float
    looks: int
    seconds: float
    waited_s: float
    cold: tuple[Cold, ...]
    states: tuple[tuple[KernelState, KernelState], ...]
    overheads: tuple[Overhead, ...]
    machine: Machine
    settings: Settings


def save_observations(path: Path, observations: Observations) -> None:
    seen = observations.seen
    assert seen.machine is not None, "a measurement describes its machine"
    assert seen.settings is not None, "and its settings"
    notes = Notes(
        models=dict(observations.models),
        pairs=observations.pairs,
        measuring=observations.measuring,
        seed=observations.seed,
        level=observations.level,
        looks=observations.looks,
        seconds=observations.seconds,
        waited_s=seen.waited_s,
        cold=tuple(seen.cold),
        states=tuple(seen.states),
        overheads=tuple(seen.overheads),
        machine=seen.machine,
        settings=seen.settings,
    )
    processes = observations.processes
    save_arrays(
        path,
        {
            "blocks": np.concatenate([_numbered(each.blocks, each.number) for each in processes]),
            "loads": np.concatenate([_numbered(each.loads, each.number) for each in processes]),
            "samples": np.concatenate([each.samples for each in processes]),
            "inferences": np.stack([each.inferences for each in processes]),
            "models": np.array(list(observations.models)),
            "notes": np.frombuffer(notes.model_dump_json(by_alias=True).encode(), np.uint8),
        },
    )


def load_observations(path: Path) -> Observations:
    """What was observed in a measurement of the past.

    Raises:
        ConfigError: the file cannot be read, or holds no observations.
    """
    try:
        arrays = load_arrays(path)
    except Exception as error:  # noqa: BLE001 - a damaged header makes numpy's reader raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    if "samples" in arrays and "notes" not in arrays:
        raise ConfigError(f"{path} holds samples only", hint="an older edgekd wrote it: measure again")
    try:
        notes = Notes.model_validate_json(arrays["notes"].tobytes())
        processes = _processes(arrays)
    except (KeyError, ValueError, IndexError, TypeError):
        raise ConfigError(f"{path} is not what `--samples` or a run writes") from None
    if not all(belongs_together(each) and len(each.inferences) == len(notes.models) for each in processes):
        raise ConfigError(f"{path} is damaged: its parts do not belong together")
    found = Observations(
        models=notes.models,
        pairs=notes.pairs,
        measuring=notes.measuring,
        seed=notes.seed,
        level=notes.level,
        looks=notes.looks,
        seconds=notes.seconds,
        seen=Seen(
            cold=list(notes.cold),
            states=list(notes.states),
            overheads=list(notes.overheads),
            machine=notes.machine,
            settings=notes.settings,
            waited_s=notes.waited_s,
        ),
    )
    for process in processes:
        found.add(process)
    return found


def _processes(arrays: Mapping[str, NDArray[np.generic]]) -> list[Process]:
    blocks = arrays["blocks"].astype(np.int64).reshape(-1, len(BLOCK_COLUMNS))
    loads = arrays["loads"].astype(np.int64).reshape(-1, len(LOAD_COLUMNS))
    samples, inferences = (arrays[name].astype(np.int64) for name in ("samples", "inferences"))
    found, begin = [], 0
    for number, counts in enumerate(inferences):
        mine = blocks[blocks[:, 0] == number, 1:]
        end = begin + int(mine[:, -1].sum())
        rows = loads[loads[:, 0] == number, 1:]
        found.append(Process(number, mine, samples[begin:end], rows, counts))
        begin = end
    return found


def _numbered(rows: NDArray[np.int64], process: int) -> NDArray[np.int64]:
    return np.column_stack([np.full(len(rows), process, np.int64), rows])
