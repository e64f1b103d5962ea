"""The timing loop, and the raw samples of one process."""

from __future__ import annotations

import itertools
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from .subject import Subject

BLOCK_LIMIT = 1 << 16  # inferences in one block at most


def time_block(function: Any, arguments: Any, least_ns: int, buffer: memoryview) -> int:
    """Runs until `least_ns` have passed (once at least) and returns how many durations it wrote."""
    clock = time.perf_counter_ns
    begin = end = clock()
    limit = len(buffer)
    count = 0
    for argument in arguments:
        begin_one = clock()
        function(argument)
        end = clock()
        buffer[count] = end - begin_one
        count += 1
        if end - begin >= least_ns or count == limit:
            break
    return count


def loop_overhead_ns(buffer: memoryview) -> dict[str, float]:
    """What the loop adds: inside a duration (clock and call), and between two of them."""

    def nothing(_argument: object) -> None:
        pass

    rounds = 20000
    cycle = itertools.cycle([None])
    time_block(nothing, itertools.islice(cycle, 1000), 1 << 60, buffer)
    begin = time.perf_counter_ns()
    count = time_block(nothing, itertools.islice(cycle, rounds), 1 << 60, buffer)
    whole = time.perf_counter_ns() - begin
    inside = float(np.median(np.frombuffer(buffer, np.int64)[:count]))
    return {"inside_ns": inside, "between_ns": max(0.0, whole / count - inside)}


def save_result(path: str, arrays: dict[str, Any]) -> None:
    """Writes an .npz that is whole or absent."""
    part = Path(f"{path}.part")
    with part.open("wb") as stream:
        np.savez(stream, **arrays)
    part.replace(path)


class Measurement:
    """Raw samples of one process: blocks in the order in which they ran.

    Of a load that runs longer than `capacity` samples allow, every second turn is kept, then every fourth, and
    so on: by position alone, never by value. Inferences that were run and not kept are counted.
    """

    def __init__(self, capacity: int, models: int) -> None:
        self.capacity = capacity
        self.inferences = [0] * models
        self.loads: list[tuple[int, int, int, int]] = []  # set, model, time to load, first inference
        self.blocks: list[tuple[int, int, int, int, int, int]] = []  # set, turn, model, start, settling, count
        self.samples: list[Any] = []
        self.buffer = memoryview(array("q", bytes(8 * BLOCK_LIMIT)))
        self._open_set(-1)

    def _open_set(self, number: int) -> None:
        self.set = number
        self.first = len(self.blocks)
        self.stride = 1

    def block(self, at: tuple[int, int, int], subject: Subject, arguments: Any, block_ns: int, settle_ns: int) -> None:
        """One block: inferences that settle caches and clocks after the change of model, then the timed ones."""
        number, turn, model = at
        if number != self.set:
            self._open_set(number)
        function, _ = subject.call()
        start = time.perf_counter_ns()
        settling = time_block(function, arguments, settle_ns, self.buffer)
        count = settling + time_block(function, arguments, block_ns, self.buffer[settling:])
        self.inferences[model] += count
        if turn % self.stride == 0:
            self.blocks.append((number, turn, model, start, settling, count))
            self.samples.append(np.frombuffer(self.buffer, np.int64)[:count].copy())
            if sum(block[5] for block in self.blocks[self.first :]) > self.capacity:
                self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        kept = [n for n in range(self.first, len(self.blocks)) if self.blocks[n][1] % self.stride == 0]
        self.blocks[self.first :] = [self.blocks[n] for n in kept]
        self.samples[self.first :] = [self.samples[n] for n in kept]

    def save(self, path: str) -> None:
        arrays: dict[str, Any] = {
            "blocks": np.array(self.blocks, np.int64).reshape(-1, 6),
            "samples": np.concatenate(self.samples) if self.samples else np.zeros(0, np.int64),
            "loads": np.array(self.loads, np.int64).reshape(-1, 4),
            "inferences": np.array(self.inferences, np.int64),
        }
        save_result(path, arrays)
