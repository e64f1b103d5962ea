"""What the host measures: a model file, and how it is fed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.devices.base import Workspace
from edgekd.errors import StageError
from edgekd.harness.protocol import JobModel, Preprocess
from edgekd.records.arrays import save_arrays
from edgekd.records.base import Record, file_digest

Feeds = Mapping[str, NDArray[Any]]
"""What models are fed: an array (N, ...) for each input, by name."""


@dataclass(frozen=True)
class Preprocessing:
    """What makes a model's input of raw samples: the file of a module with the function `feed`, and its specs."""

    module: Path
    specs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Subject:
    """A model to measure. `beside` are the files of its external data, by their paths from its folder; `session` its
    own session options. `inputs` is a .npy or .npz file; with `preprocess` it is a .npy of raw samples (N, ...), from
    which the model is timed end to end, to the label. `raw`: it takes samples as they are."""

    path: Path
    beside: tuple[str, ...] = ()
    session: Mapping[str, str] = field(default_factory=dict)
    inputs: Path | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    preprocess: Preprocessing | None = None
    raw: bool = False


class SubjectFacts(Record):
    """The digest of a model file, the model's size with its external data, and its own session options."""

    sha256: str
    size_bytes: int
    session: dict[str, str] = {}


def as_subjects(models: Mapping[str, Path | Subject]) -> dict[str, Subject]:
    return {name: each if isinstance(each, Subject) else Subject(each) for name, each in models.items()}


def job_models(
    workspace: Workspace, subjects: Mapping[str, Subject], shared: str | None, raw: str | None = None
) -> list[JobModel]:
    """The models as the agent sees them; `shared` is the input file of those that bring none, `raw` of those among them
    that take raw samples."""
    return [
        JobModel(
            name=name,
            path=workspace.put(subject.path, subject.beside),
            session=dict(subject.session),
            inputs=workspace.put(subject.inputs) if subject.inputs is not None else raw if subject.raw else shared,
            shapes=dict(subject.shapes),
            preprocess=_on_device(workspace, subject.preprocess),
        )
        for name, subject in subjects.items()
    ]


def _on_device(workspace: Workspace, preprocessing: Preprocessing | None) -> Preprocess | None:
    if preprocessing is None:
        return None
    specs = tuple(dict(each) for each in preprocessing.specs)
    return Preprocess(program=workspace.put(preprocessing.module), specs=specs)


def put_feeds(workspace: Workspace, folder: Path, feeds: Feeds | None, *, stem: str = "inputs") -> str | None:
    """The path on the device of the file that models are fed from: an .npy for one input, which then fits a model
    whatever it calls its own, an .npz for several; none without feeds."""
    if not feeds:
        return None
    if len(feeds) == 1:
        path = folder / f"{stem}.npy"
        np.save(path, np.ascontiguousarray(next(iter(feeds.values()))), allow_pickle=False)
    else:
        path = folder / f"{stem}.npz"
        save_arrays(path, feeds)
    return workspace.put(path)


def put_raw(workspace: Workspace, folder: Path, subjects: Mapping[str, Subject], raw: Feeds | None) -> str | None:
    """The same of raw samples, none where nobody takes them."""
    wanted = raw if any(each.raw for each in subjects.values()) else None
    return put_feeds(workspace, folder, wanted, stem="raw")


def row_count(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def first_rows(feeds: Feeds, count: int) -> Feeds:
    return {name: array[:count] for name, array in feeds.items()}


def cut(feeds: Feeds, lengths: Mapping[str, int]) -> Feeds:
    """The inputs that are named cut to so many places of their last dimension."""
    return {name: array[..., : lengths[name]] if name in lengths else array for name, array in feeds.items()}


def subject_facts(subject: Subject) -> SubjectFacts:
    """What is measured.

    Raises:
        StageError: one cannot be read.
    """
    try:
        paths = [subject.path, *(subject.path.resolve().parent / name for name in subject.beside)]
        size = sum(path.stat().st_size for path in paths)
        return SubjectFacts(sha256=file_digest(subject.path), size_bytes=size, session=dict(subject.session))
    except OSError as error:
        raise StageError(f"cannot read {error.filename}: {error.strerror}") from error
