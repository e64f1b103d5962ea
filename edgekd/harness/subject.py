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
    """A model to measure. `inputs` is a .npy or .npz file; with `preprocess` it is timed end to end, from the
    uint8 images in `inputs` to the label. `size_bytes` is given where the model is more than its file."""

    path: Path
    inputs: Path | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    size_bytes: int | None = None


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
            path=workspace.put(subject.path),
            inputs=shared if subject.inputs is None else workspace.put(subject.inputs),
            shapes=dict(subject.shapes),
            preprocess=subject.preprocess,
        )
        for name, subject in subjects.items()
    ]


def file_facts(subject: Subject) -> FileFacts:
    """The digest of a model file, and the model's size.

    Raises:
        StageError: it cannot be read.
    """
    try:
        content = subject.path.read_bytes()
    except OSError as error:
        raise StageError(f"cannot read {subject.path}: {error.strerror}") from error
    size = len(content) if subject.size_bytes is None else subject.size_bytes
    return FileFacts(hashlib.sha256(content).hexdigest(), size)
