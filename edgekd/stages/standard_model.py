"""A classification model from elsewhere in the form that candidates are made of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from edgekd.data.model_inputs import ImageOptions, ModelInputs, read_inputs
from edgekd.errors import StageError
from edgekd.graph.classifier import fix_batch, keep_scores, opened
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.layers import layer_names
from edgekd.graph.runtime import answers, load_session, run_onnx
from edgekd.graph.slim import slim
from edgekd.graph.trial import try_out
from edgekd.progress import Progress
from edgekd.records.model import TensorSignature

COMPARED = 16  # samples on which the standard form must answer as the file that was given


@dataclass(frozen=True)
class StandardModel:
    """The standard form of the model. shapes: of what one call is fed, by input."""

    path: Path
    layers: tuple[str, ...]
    output: str
    classes: int
    batch: int
    shapes: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]


def standard_form(
    given: Path, data: Path, images: ImageOptions, output: str | None, folder: Path, progress: Progress
) -> tuple[StandardModel, ModelInputs]:
    """The model in standard form, which answers as the file does, and what it is fed.

    data, images: the samples, and how images become input. output: the name of the one that holds the scores.

    Raises:
        ConfigError: the model or the data is not what is needed, or the runtime does not survive the model.
        StageError: the standard form answers otherwise.
    """
    standard = opened(given)
    path = folder / "standard"
    path.write_bytes(standard.model.SerializeToString(deterministic=True))
    signatures = describe(path).inputs
    inputs = read_inputs(data, signatures, images, progress)
    one = {name: tuple(rows.shape[1:]) for name, rows in inputs.feeds.items()}
    few = _fixed_batch(signatures) or 2
    try_out(given, {name: np.asarray(rows[:few]) for name, rows in inputs.feeds.items()}, also=[path])
    alone = _takes_one_alone(path, inputs)
    if alone:
        fix_batch(standard.model.graph)
        path.write_bytes(standard.model.SerializeToString(deterministic=True))
        signatures = describe(path).inputs
    scores = keep_scores(standard.model, one, output, given)
    layers = layer_names(standard.model)
    slim(standard.model)
    path.write_bytes(standard.model.SerializeToString(deterministic=True))
    notes = [f"output: {scores.output}, {scores.classes} classes"]
    if scores.dropped:
        notes = [f"{notes[0]} (left out: {', '.join(scores.dropped)})"]
    if alone:
        notes.append("model: it leaves its batch open and fails with two samples: it is fed one at a time")
    notes += [f"model: {each}" for each in standard.changes]
    if standard.changes:
        notes.append(_compared(given, path, scores.output, inputs, 1 if alone else COMPARED))
    batch = _fixed_batch(signatures)
    shapes = {each.name: (batch or 1, *one[each.name]) for each in signatures}
    return StandardModel(path, layers, scores.output, scores.classes, batch or 1, shapes, tuple(notes)), inputs


def _fixed_batch(signatures: tuple[TensorSignature, ...]) -> int | None:
    return next((each.shape[0] for each in signatures if isinstance(each.shape[0], int)), None)


def _takes_one_alone(path: Path, inputs: ModelInputs) -> bool:
    """Whether a model that says nothing of its batch runs with one sample and not with two, as an export with a
    Reshape to [1, ...] does."""
    session = load_session(path)
    if len(inputs) < 2 or any(isinstance(each.shape[0], int) for each in session.get_inputs()):
        return False
    silent = onnxruntime.RunOptions()
    silent.log_severity_level = 4
    runs = []
    for count in (1, 2):
        feeds = {name: np.asarray(rows[:count]) for name, rows in inputs.feeds.items()}
        with suppress(Exception):  # the runtime's errors have no base class of their own
            session.run(None, feeds, silent)
            runs.append(count)
    return runs == [1]


def _compared(given: Path, standard: Path, output: str, inputs: ModelInputs, most: int) -> str:
    """How far the answers of the standard form are from those of the file, in words, on `most` samples.

    Raises:
        StageError: they are others.
    """
    session = load_session(given)
    takes = {each.name: (each.type, each.shape) for each in session.get_inputs()}
    fixed = next((shape[0] for _, shape in takes.values() if shape and isinstance(shape[0], int)), None)
    few = fixed or min(most, len(inputs))
    if len(inputs) < few:
        return "not compared with the file as it is: fewer samples than its batch"
    feeds = {name: np.asarray(rows[:few]) for name, rows in inputs.feeds.items()}
    halves = {name: array.astype(np.float16) for name, array in feeds.items() if takes[name][0] == "tensor(float16)"}
    (expected,) = answers(session, [output], {**feeds, **halves}, given.name)
    found = run_onnx(standard, feeds)
    flipped = int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
    difference = float(np.abs(expected.astype(np.float32) - found).max())
    if flipped and not halves and difference > 1e-3 * float(np.ptp(found)):
        raise StageError(f"the model in standard form answers {flipped} of {few} samples otherwise than {given.name}")
    return f"model: {few - flipped} of {few} answers as of the file, scores within {difference:.2g}"
