"""A classification model from elsewhere, quantized without a pipeline: candidates, proof, repair, screening and choice
are those of a student."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd import __version__
from edgekd.config.quantize import QuantizeSection
from edgekd.config.target import TargetProfile
from edgekd.data.balance import balanced_rows
from edgekd.data.modalities.base import FED_BYTES, FedRows, Feeds
from edgekd.data.model_inputs import ImageOptions, ModelInputs, labels_of_folders, read_labels
from edgekd.data.samples import UNLABELLED, Chosen
from edgekd.errors import ConfigError
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.choice import LEAST_SAMPLES, choose
from edgekd.graph.quantization.repair import Judge
from edgekd.graph.runtime import answers, load_session, run_onnx
from edgekd.progress import Progress
from edgekd.records.candidate import CandidateRecord
from edgekd.records.quantized import QuantizedRecord
from edgekd.records.repair import RepairRecord
from edgekd.records.screening import FP32, ScreeningRecord
from edgekd.stages.candidates import limit_of, made_of_fp32, made_or_refused, named_candidates, told_of
from edgekd.stages.standard_model import StandardModel, standard_form
from edgekd.stages.trials import Trials

MODEL = "model"  # what the records call the network
CALIBRATION_SHARE = 4  # one sample of so many at most calibrates: what is left says how good the files are
SPARE = 1.5  # so many times as long as the fp32 file may another one take for its answers


@dataclass(frozen=True)
class Request:
    """images: how images become input. output: the name of the one that holds the scores. screen_seconds: None for the
    targets' own, or longer where the model needs it."""

    model: Path
    data: Path
    labels: Path | None
    images: ImageOptions
    output: str | None
    targets: tuple[TargetProfile, ...]
    options: QuantizeSection
    screen_seconds: float | None
    seed: int


@dataclass(frozen=True)
class _Samples:
    """calibration: what ranges are taken from; feeds, labels: of the validation samples, in an order drawn by the seed;
    labels None where there are none."""

    calibration: FedRows
    feeds: Feeds
    labels: NDArray[np.int64] | None
    note: str

    @property
    def count(self) -> int:
        return len(next(iter(self.feeds.values())))


def quantize_model(request: Request, folder: Path, progress: Progress) -> QuantizedRecord:
    """Every candidate that can be made lies in `folder` as NAME.onnx.

    Raises:
        ConfigError: the model or the data is not what is needed.
        StageError: the model does not run.
        TargetError: a target cannot be reached.
    """
    model, inputs = standard_form(request.model, request.data, request.images, request.output, folder, progress)
    labels, note = _labels(request, inputs, model.classes)
    candidates = named_candidates([each for each in request.options.candidates if isinstance(each, Scheme)])
    wanted = max(each.samples_wanted for each in candidates.values())
    samples = _divided(inputs, labels, wanted, model.batch, request.seed)
    notes = (*model.notes, *inputs.told, *([note] if note else []), samples.note)
    for line in notes:
        progress.say(line)
    records, repairs = _made(request.options, candidates, model, samples, folder, progress)
    screenings, choices = {}, {}
    allowed = tuple(candidates)
    for target in _with_time(request, model, samples, len(candidates)):
        trials = Trials(
            target,
            candidates,
            allowed,
            request.options.max_accuracy_drop,
            {name: folder / f"{name}.onnx" for name in candidates},
            records,
            model.shapes,
        )
        screening = trials.screened(samples.feeds, samples.labels, samples.count, request.seed, progress)
        screenings[target.name] = screening
        choices[target.name] = choose(
            screening,
            allowed,
            request.options.objective,
            request.options.max_accuracy_drop,
            target.measure.margin,
            target.limits.model_bytes,
        )
    if samples.labels is not None:
        doubt = _no_better_than_guessing(screenings.values(), model.classes)
        notes = (*notes, *doubt)
        for line in doubt:
            progress.say(line)
    return QuantizedRecord(
        edgekd=__version__,
        model=str(request.model),
        facts=describe(request.model),
        output=model.output,
        classes=model.classes,
        notes=notes,
        calibration=len(next(iter(samples.calibration.values()))),
        validation=samples.count,
        judged_by="fp32" if samples.labels is None else "labels",
        seed=request.seed,
        objective=request.options.objective,
        max_drop=request.options.max_accuracy_drop,
        candidates=tuple(records.values()),
        repairs=repairs,
        screenings=screenings,
        choices=choices,
    )


def keep_files(record: QuantizedRecord, made: Path, folder: Path, *, every: bool) -> QuantizedRecord:
    """Copies what ships, or every candidate, from `made` to `folder` as MODEL.CANDIDATE.onnx; the record with their
    names.

    Raises:
        OSError: the folder cannot be written.
    """
    chosen = [each.chosen for each in record.choices.values() if not each.unfit]
    names = [each.name for each in record.candidates if each.file is not None and (every or each.name in chosen)]
    files = {name: f"{Path(record.model).stem}.{name}.onnx" for name in names}
    for name, file in files.items():
        shutil.copyfile(made / f"{name}.onnx", folder / file)
    return record.model_copy(update={"files": files})


def _no_better_than_guessing(screenings: Iterable[ScreeningRecord], classes: int) -> tuple[str, ...]:
    """What is said where labels and model do not fit: then no loss of accuracy means anything."""
    fp32 = [each.candidate(FP32) for each in screenings]
    guessed = [each for each in fp32 if each.accuracy_interval is not None and each.accuracy_interval[0] <= 1 / classes]
    if not guessed:
        return ()
    (each, *_) = guessed
    return (
        f"labels: fp32 itself is right on {100 * (each.accuracy or 0):.2f} % of {each.samples:,} samples, "
        f"and guessing on {100 / classes:.2f} %: do labels, their order and preprocessing belong to the model?",
    )


def _labels(request: Request, inputs: ModelInputs, classes: int) -> tuple[NDArray[np.int64] | None, str]:
    if request.labels is not None:
        return read_labels(request.labels, len(inputs), classes), ""
    if inputs.folders is None:
        return None, "no labels: what counts is agreement with the fp32 model"
    labels, note = labels_of_folders(inputs.folders, classes)
    return labels, note if labels is not None else f"{note}; what counts is agreement with the fp32 model"


def _divided(inputs: ModelInputs, labels: NDArray[np.int64] | None, wanted: int, batch: int, seed: int) -> _Samples:
    """Samples for calibration, of each class equally many, and others for validation.

    Raises:
        ConfigError: there are too few.
    """
    count = len(inputs)
    least = max(CALIBRATION_SHARE, 2 * batch)
    if count < least:
        raise ConfigError(
            f"{count} samples are too few for calibration and validation",
            hint=f"{least} at least, better some thousand",
        )
    known = np.full(count, UNLABELLED, np.int64) if labels is None else labels
    calibration = balanced_rows(known, min(wanted, max(batch, count // CALIBRATION_SHARE)), seed)
    rest = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(count), calibration))
    bytes_each = sum(rows.dtype.itemsize * int(np.prod(rows.shape[1:])) for rows in inputs.feeds.values())
    rows = rest[: max(batch, FED_BYTES // bytes_each)]
    left_out = f" ({len(rest) - len(rows):,} more do not fit)" if len(rows) < len(rest) else ""
    return _Samples(
        {name: Chosen(each, calibration) for name, each in inputs.feeds.items()},
        {name: np.ascontiguousarray(each[rows]) for name, each in inputs.feeds.items()},
        None if labels is None else labels[rows],
        f"samples: {len(calibration):,} for calibration, {len(rows):,} others for validation{left_out}, seed {seed}",
    )


def _made(
    options: QuantizeSection,
    candidates: Mapping[str, Scheme],
    model: StandardModel,
    samples: _Samples,
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, CandidateRecord], dict[str, RepairRecord]]:
    records: dict[str, CandidateRecord] = {}
    repairs: dict[str, RepairRecord] = {}
    labels = samples.labels
    if labels is None:
        labels = run_onnx(model.path, samples.feeds).argmax(axis=1)
    with progress.task("quantize", len(candidates)) as advance:
        for name, scheme in candidates.items():
            limit = limit_of(options, scheme)
            judge = None if limit is None else Judge(samples.feeds, labels, limit, scheme.session)
            few = samples.calibration if scheme.samples_wanted else {n: a[:0] for n, a in samples.feeds.items()}
            path = folder / f"{name}.onnx"
            make = partial(made_of_fp32, scheme, model.path, few, path, model.layers, judge)
            records[name], repair = made_or_refused(name, MODEL, scheme, path, make)
            if repair is not None:
                repairs[name] = repair
            progress.say(f"{name}: {told_of(records[name], repair)}")
            advance()
    return records, repairs


def _with_time(request: Request, model: StandardModel, samples: _Samples, candidates: int) -> list[TargetProfile]:
    """The targets; unless the user says how long, looking over the candidates takes as long as each needs for as many
    answers as a choice needs."""
    seconds = request.screen_seconds
    found = []
    for target in request.targets:
        needed = 0.0
        if seconds is None:
            wanted = min(LEAST_SAMPLES, samples.count) / model.batch
            needed = SPARE * candidates * wanted * _one_inference_s(model, samples)
        measure = target.measure.model_copy(
            update={"screen_seconds": seconds or max(target.measure.screen_seconds, needed)}
        )
        found.append(target.model_copy(update={"measure": measure}))
    return found


def _one_inference_s(model: StandardModel, samples: _Samples) -> float:
    """On this machine."""
    session = load_session(model.path)
    feeds = {name: array[: model.batch] for name, array in samples.feeds.items()}
    taken = []
    for _ in range(4):
        begun = time.monotonic()
        answers(session, None, feeds, model.path.name)
        taken.append(time.monotonic() - begun)
    return statistics.median(taken[1:])
