"""What a teacher said to every sample of a view, kept on disk: each student after the first need not ask again.

A sample of a view looks the same in every training with the same seed and augmentation (`views.py`), so what a teacher
says to it is kept by (teacher, view, row). All rows of a view are asked at once, in the order of the data: what is kept
does not depend on the batches of whoever asked first.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgekd.data.tensors import moved
from edgekd.errors import ConfigError
from edgekd.records.base import digest, file_digest
from edgekd.training.classroom import Classroom
from edgekd.training.evaluate import answered_at_once
from edgekd.training.lesson import Answers, Batch
from edgekd.training.looks import alternated
from edgekd.training.teachers import Teaching
from edgekd.training.views import Views
from edgekd.training.weights import read_tensors, save_tensors
from edgekd.training.workers import ALONE, Workers
from edgekd.training.workload import DryPass

MOST_BYTES = 2 << 30
"""Of all recordings on disk; the longest unused go first. A training that would fill half of it asks every time."""
LOGITS = "logits"


class Recorded:
    """A teacher that is asked once for each view.

    Answers are rounded to float16, those of the first training too, so that all learn from the same; where one is too
    large for it they stay float32. folder: of this teacher's recordings, created here; it may vanish at any time, and
    what is damaged in it is asked for again.

    told: called after every chunk that the teacher answers, with what is going on in words. look: in which of the looks
    the samples are shown.
    """

    def __init__(
        self,
        teacher: Teaching,
        views: Views,
        taps: Sequence[str],
        folder: Path,
        told: Callable[[str], None],
        look: int = 0,
    ) -> None:
        self.teacher, self.views, self.taps, self.folder, self.told = teacher, views, tuple(taps), folder, told
        self.look, self.count = look, views.looks[look].count
        self.ports = (LOGITS, *map(_port, self.taps))
        self._view: int | None = None
        self._kept: dict[str, Tensor] = {}

    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
        view = batch.view % self.count
        if view != self._view:
            found = workers.group.same(self._read(view) if workers.group.leads else None)
            kept = found or self._ask(view, workers)
            self._kept = {port: moved(each, workers.device) for port, each in kept.items()}
            self._view = view
        rows = moved(batch.rows, workers.device)
        said = {port: self._kept[port][rows].float() for port in self.ports}
        return Answers(said[LOGITS], {name: said[_port(name)] for name in taps})

    def _read(self, view: int) -> dict[str, Tensor] | None:
        for path in self.folder.glob(f"{view}-*.safetensors"):
            with contextlib.suppress(OSError, ConfigError):
                if file_digest(path)[:16] == path.stem.partition("-")[2]:
                    kept = read_tensors(path)
                    if all(len(kept.get(port, ())) == len(self.views.split) for port in self.ports):
                        with contextlib.suppress(OSError):
                            os.utime(path)
                        return kept
        return None

    def _ask(self, view: int, workers: Workers) -> dict[str, Tensor]:
        samples, order = len(self.views.split), self.views.shortest_first()
        parts: dict[str, list[Tensor]] = {port: [] for port in self.ports}
        chunk = answered_at_once(self.views.contract)
        for start in range(0, samples, chunk):
            batch = self.views.batch(order[start : start + chunk], view, workers, self.look)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(start)  # a teacher that draws random numbers takes none of the student's
                said = self.teacher(batch, self.taps, workers)
            for port, each in zip(self.ports, (said.logits, *(said.taps[tap] for tap in self.taps)), strict=True):
                parts[port].append(_short(each).cpu())
            self.told(f"view {view + 1}/{self.count}")
        places = torch.from_numpy(np.argsort(order))
        kept = {name: torch.cat(each)[places] for name, each in parts.items()}
        if workers.group.leads:
            with contextlib.suppress(OSError):  # what cannot be kept costs time only
                self._write(view, kept)
        return kept

    def _write(self, view: int, kept: dict[str, Tensor]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            path = Path(name) / "view.safetensors"
            save_tensors(kept, path)
            path.replace(self.folder / f"{view}-{file_digest(path)[:16]}.safetensors")
        make_room(self.folder.parent)


class RecordedLooks:
    """A teacher of batches in which each sample is shown in several looks; what it says in each is recorded apart."""

    def __init__(self, looks: Sequence[Recorded]) -> None:
        self.looks = looks

    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
        said = [each(batch.only(look), taps, workers) for look, each in enumerate(self.looks)]
        return Answers(
            alternated([each.logits for each in said]),
            {name: alternated([each.taps[name] for each in said]) for name in taps},
        )


@dataclass(frozen=True)
class Recordings:
    """folder: of all recordings of this machine; teachers: by name, what decides a teacher's answer to a sample that it
    is shown, as a digest; one that is not among them is asked in every step."""

    folder: Path
    teachers: Mapping[str, str]


def with_recordings(
    room: Classroom, found: DryPass, views: Views, recordings: Recordings, shown: str, told: Callable[[str], None]
) -> Classroom:
    """The classroom with those of its teachers recorded whose answers to all views are small enough.

    shown: what decides, beside the options of augmentation, how a sample looks in a view, and in which arithmetic it is
    answered; told: as for `Recorded`.
    """
    teachers = dict(room.teachers)
    left = MOST_BYTES // 2  # of all of them together, so that none drives out another
    for name, teacher in recordings.teachers.items():
        taps = room.teacher_taps[name]
        numbers = found.shapes.classes + sum(map(math.prod, found.shapes.teachers[name].values()))
        needed = numbers * torch.half.itemsize * len(views.split) * sum(look.count for look in views.looks)
        if needed <= left and name not in found.crossing:
            left -= needed
            saying = functools.partial(_told, told, name)
            looks = []
            for position, look in enumerate(views.looks):
                decided = digest([teacher, shown, look.options.model_dump(mode="json"), position, *taps])
                folder = recordings.folder / decided[:32]
                looks.append(Recorded(teachers[name], views, taps, folder, saying, position))
            teachers[name] = RecordedLooks(looks)
    return replace(room, teachers=teachers)


def make_room(folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Removes the recordings below the folder that were unused for the longest time, until the rest is small enough."""
    found = []
    for path in folder.rglob("*"):  # what a killed training left half-written too
        with contextlib.suppress(OSError):
            facts = path.stat()
            if not path.is_file():
                continue
            found.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most_bytes:
            break
        path.unlink(missing_ok=True)
        total -= size


def _told(told: Callable[[str], None], teacher: str, what: str) -> None:
    told(f"{teacher} answers {what}")


def _port(tap: str) -> str:
    return f"tap.{tap}"


def _short(answers: Tensor) -> Tensor:
    short = answers.half()
    return short if bool(short.isfinite().all()) else answers.float()
