"""The folder that ships: each model, the manifest with the evidence, golden answers, the card, and the programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import __version__
from edgekd.agent import options
from edgekd.data.modalities.base import Samples, source_of
from edgekd.errors import StageError
from edgekd.records.base import file_digest
from edgekd.records.bundle import FileEntry, Golden, Manifest, ShippedModel, Source, TargetEvidence
from edgekd.records.candidate import MadeFile
from edgekd.records.check import Outcome
from edgekd.records.contract import ModelContract
from edgekd.release.card import Story, model_card
from edgekd.release.cpp import SOURCE, cpp_headers
from edgekd.release.device import predict, verify
from edgekd.release.manifest_schema import manifest_schema
from edgekd.release.right import save_right

CARD = "MODEL_CARD.md"
REQUIRED_OPERATORS = "required_operators.config"

# Of the logits' range. The runtime's 8-bit kernels and the same graph in float, rounded, differ by 0.12 % at most
# over 2,000 images and three networks; float kernels by 0.0001 %. Sums that saturate, and wrong weights, by far more.
QUANTIZED_TOLERANCE = 0.01
FLOAT_TOLERANCE = 0.001


@dataclass(frozen=True)
class ShippedFile:
    """A model file that ships.

    golden_logits: float32 (N, classes), its answers to the golden samples under the settings of a target that takes it
    and the runtime `onnxruntime`.
    """

    path: Path
    scheme: str
    made: MadeFile
    golden_logits: NDArray[np.float32]
    onnxruntime: str


@dataclass(frozen=True)
class OptimisedFiles:
    """What the runtime of a target makes of its model, as far as it is known: the operators, and the model in the
    runtime's own format."""

    operators: Path | None = None
    ort: Path | None = None


@dataclass(frozen=True)
class BundleInputs:
    """Everything that a bundle says.

    models: by the name of the candidate; golden_samples: raw ones (N, ...) of the validation split; optimised: by
    target; right: by target (N,), which test samples are answered as they should.
    """

    name: str
    contract: ModelContract
    models: Mapping[str, ShippedFile]
    targets: Mapping[str, TargetEvidence]
    golden_samples: Samples
    outcome: Outcome
    source: Source
    story: Story
    optimised: Mapping[str, OptimisedFiles] = field(default_factory=dict)
    right: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def build_bundle(inputs: BundleInputs, folder: Path) -> Manifest:
    """The manifest; fills `folder`, which is empty or does not exist, with the same bytes for the same inputs.

    Raises:
        StageError: the folder holds something, a model file is not the one that the facts are about, or the models
            are not those that the targets take.
    """
    _check_models(inputs)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StageError(f"the bundle's folder {folder} is not empty")
    manifest = Manifest(
        edgekd=__version__,
        name=inputs.name,
        outcome=inputs.outcome,
        contract=inputs.contract,
        models={name: _shipped(name, each) for name, each in inputs.models.items()},
        targets=_write_right(inputs.right, _write_optimised(inputs, folder), folder),
        source=inputs.source,
        files={},
    )
    _write_models(manifest, inputs, folder)
    headers = cpp_headers(manifest)
    _write_programs(manifest, headers, folder)
    (folder / CARD).write_text(model_card(manifest, inputs.story, in_cpp=bool(headers)), encoding="utf-8")
    manifest = manifest.model_copy(update={"files": _entries(folder)})
    content = json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(content + "\n", encoding="utf-8")
    return manifest


def _check_models(inputs: BundleInputs) -> None:
    for name, each in inputs.models.items():
        if file_digest(each.path) != each.made.facts.sha256:
            raise StageError(f"{name}: {each.path.name} is not the file that was validated and measured")
        if len(each.golden_logits) != len(inputs.golden_samples):
            raise StageError(
                f"{name}: {len(each.golden_logits)} answers to {len(inputs.golden_samples)} golden samples"
            )
    taken = {each.model for each in inputs.targets.values()}
    if taken != set(inputs.models):
        odd = ", ".join(sorted(taken ^ set(inputs.models)))
        raise StageError(f"the models of a bundle and those that its targets take differ: {odd}")


def _shipped(name: str, each: ShippedFile) -> ShippedModel:
    relative = FLOAT_TOLERANCE if each.made.execution.in_float else QUANTIZED_TOLERANCE
    golden = Golden(
        logits=f"golden/{name}.npy",
        tolerance=float(f"{relative * float(np.ptp(each.golden_logits)):.6g}"),
        onnxruntime=each.onnxruntime,
    )
    return ShippedModel(
        file=f"{name}.onnx", scheme=each.scheme, session=each.made.session, facts=each.made.facts, golden=golden
    )


def _write_models(manifest: Manifest, inputs: BundleInputs, folder: Path) -> None:
    _save(folder / manifest.golden_samples, inputs.golden_samples)
    for name, shipped in manifest.models.items():
        shutil.copyfile(inputs.models[name].path, folder / shipped.file)
        _save(folder / shipped.golden.logits, inputs.models[name].golden_logits)


def _write_optimised(inputs: BundleInputs, folder: Path) -> dict[str, TargetEvidence]:
    """The evidence, with the names of the files; equal ones of several targets are there once."""
    known: dict[str, str] = {}

    def written(file: Path | None, name: str) -> str | None:
        if file is None:
            return None
        first = known.setdefault(file_digest(file) + file.suffix, name)
        if first == name:
            shutil.copyfile(file, folder / name)
        return first

    return {
        target: evidence.model_copy(
            update={
                "required_operators": written(files.operators, f"{target}.{REQUIRED_OPERATORS}"),
                "ort": written(files.ort, f"{target}.ort"),
            }
        )
        for target, evidence in inputs.targets.items()
        for files in [inputs.optimised.get(target, OptimisedFiles())]
    }


def _write_right(
    right: Mapping[str, NDArray[np.bool_]], targets: Mapping[str, TargetEvidence], folder: Path
) -> dict[str, TargetEvidence]:
    """The evidence, with the names of the files."""
    found = dict(targets)
    for target, each in right.items():
        name = f"right/{target}.npy"
        save_right(folder / name, each)
        found[target] = targets[target].model_copy(update={"right": name})
    return found


def _save(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    np.save(path, array, allow_pickle=False)


def _write_programs(manifest: Manifest, headers: Mapping[str, str], folder: Path) -> None:
    sources = {
        "predict.py": Path(predict.__file__),
        "verify.py": Path(verify.__file__),
        "inputs.py": source_of(manifest.contract.modality),
        "session.py": Path(options.__file__),
    }
    if headers:
        sources[SOURCE.name] = SOURCE
    for name, source in sources.items():
        shutil.copyfile(source, folder / name)
    for name, text in {**headers, verify.SCHEMA: manifest_schema()}.items():
        (folder / name).write_text(text, encoding="utf-8")


def _entries(folder: Path) -> dict[str, FileEntry]:
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=file_digest(path), size_bytes=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
