"""The folder that ships: the model, its manifest with the evidence, golden answers, the card, and its programs."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd import __version__
from edgekd.errors import StageError
from edgekd.records.bundle import FileEntry, Golden, Manifest, Source, TargetEvidence
from edgekd.records.check import Outcome
from edgekd.records.contract import ModelContract
from edgekd.records.model import Execution, ModelFacts
from edgekd.release.card import Story, model_card
from edgekd.release.cpp import cpp_program

PROGRAMS = Path(__file__).parent / "device"

# Of the logits' range. The runtime's 8-bit kernels and the same graph in float, rounded, differ by 0.12 % at most
# over 2,000 images and three networks; float kernels by 0.0001 %. Sums that saturate, and wrong weights, by far more.
QUANTIZED_TOLERANCE = 0.01
FLOAT_TOLERANCE = 0.001


@dataclass(frozen=True)
class BundleInputs:
    """Everything that a bundle says.

    golden_images: uint8 (N, H, W, C), of the validation split; golden_logits: float32 (N, classes), the shipped
    model's answers to them under the first target's session settings and the runtime `onnxruntime`.
    """

    name: str
    model: Path
    facts: ModelFacts
    execution: Execution
    scheme: str
    contract: ModelContract
    outcome: Outcome
    targets: dict[str, TargetEvidence]
    golden_images: NDArray[np.uint8]
    golden_logits: NDArray[np.float32]
    onnxruntime: str
    source: Source
    story: Story


def build_bundle(inputs: BundleInputs, folder: Path) -> Manifest:
    """The manifest; fills `folder`, which is empty or does not exist, with the same bytes for the same inputs.

    Raises:
        StageError: the folder holds something, or the model file is not the one that the facts are about.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StageError(f"the bundle's folder {folder} is not empty")
    golden = Golden(tolerance=_tolerance(inputs), onnxruntime=inputs.onnxruntime)
    model_file = "model.onnx"
    shutil.copyfile(inputs.model, folder / model_file)
    (folder / golden.images).parent.mkdir()
    np.save(folder / golden.images, inputs.golden_images)
    np.save(folder / golden.logits, inputs.golden_logits)
    for program in ("predict.py", "verify.py"):
        shutil.copyfile(PROGRAMS / program, folder / program)
    manifest = Manifest(
        edgekd=__version__,
        name=inputs.name,
        outcome=inputs.outcome,
        model_file=model_file,
        model=inputs.facts,
        scheme=inputs.scheme,
        contract=inputs.contract,
        targets=inputs.targets,
        golden=golden,
        source=inputs.source,
        files={},
    )
    (folder / "MODEL_CARD.md").write_text(model_card(manifest, inputs.story), encoding="utf-8")
    (folder / "predict.cpp").write_text(cpp_program(manifest), encoding="ascii")
    manifest = manifest.model_copy(update={"files": _entries(folder)})
    if manifest.files[model_file].sha256 != inputs.facts.sha256:
        raise StageError(f"{inputs.model.name} is not the file that was validated and measured")
    content = json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(content + "\n", encoding="utf-8")
    return manifest


def _tolerance(inputs: BundleInputs) -> float:
    relative = FLOAT_TOLERANCE if _computes_in_float(inputs.execution) else QUANTIZED_TOLERANCE
    return float(f"{relative * float(np.ptp(inputs.golden_logits)):.6g}")


def _computes_in_float(execution: Execution) -> bool:
    return execution.operators == execution.float_operators


def _entries(folder: Path) -> dict[str, FileEntry]:
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size_bytes=path.stat().st_size
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
