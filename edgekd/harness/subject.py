"""What the host measures: a model file, and how it is fed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.devices.base import Workspace
from edgekd.errors import StageError
from edgekd.harness.protocol import JobModel, Preprocess


@dataclass(frozen=True)
class Subject:
    """A model to measure. `beside` are the files of its external data, by their paths from its folder. `inputs` is a
    .npy or .npz file; with `preprocess` it is timed end to end, from the uint8 images in `inputs` to the label."""

    path: Path
    beside: tuple[str, ...] = ()
    inputs: Path | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    preprocess: Preprocess | None = None


@dataclass(frozen=True)
class FileFacts:
    sha256: str
    size_bytes: int


def as_subjects(models: Mapping[str, Path | Subject]) -> dict[str, Subject]:
    return {name: each if isinstance(each, Subject) else Subject(each) for name, each in models.items()}


def job_models(workspace: Workspace, subjects: Mapping[str, Subject], shared: str | None) -> list[JobModel]:
    """The models as the agent sees them; `shared` is the input file of those that bring none."""
    return [
        JobModel(
            name=name,
            path=workspace.put(subject.path, subject.beside),
            inputs=shared if subject.inputs is None else workspace.put(subject.inputs),
            shapes=dict(subject.shapes),
            preprocess=subject.preprocess,
        )
        for name, subject in subjects.items()
    ]


def file_facts(subject: Subject) -> FileFacts:
    """The digest of a model file, and the model's size with its external data.

    Raises:
        StageError: it cannot be read.
    """
    try:
        content = subject.path.read_bytes()
        outside = sum((subject.path.resolve().parent / name).stat().st_size for name in subject.beside)
    except OSError as error:
        raise StageError(f"cannot read {error.filename}: {error.strerror}") from error
    return FileFacts(hashlib.sha256(content).hexdigest(), len(content) + outside)
