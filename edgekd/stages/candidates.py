"""Candidates: their names, which of them are repaired, and how one is made or why it cannot be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.config.quantize import QuantizeSection
from edgekd.errors import StageError, placed
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.fp32 import Fp32
from edgekd.records.candidate import CandidateRecord, MadeFile
from edgekd.records.repair import RepairRecord
from edgekd.records.screening import FP32

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import DeviceForm
    from edgekd.graph.quantization.repair import Judge

Made = tuple[MadeFile, RepairRecord | None]
"""A file, and what was tried to keep its accuracy."""


def named_candidates(schemes: Sequence[Scheme]) -> dict[str, Scheme]:
    """The candidates by name: their scheme's and what they do otherwise than by default, numbered where that tells
    several no more apart; the same twice is one. The fp32 file is always among them, for the others are made of it and
    held against it."""
    named: dict[str, Scheme] = {FP32: Fp32(use=FP32)}
    for scheme in schemes:
        if scheme in named.values():
            continue
        told = "_".join((scheme.use, *scheme.differs_by))
        numbered = (f"{told}-{number}" for number in itertools.count(2))
        named[next(name for name in itertools.chain([told], numbered) if name not in named)] = scheme
    return named


def limit_of(options: QuantizeSection, scheme: Scheme) -> float | None:
    """What a file may lose before it is repaired, None where none is: `auto` has one of every kind, of which those that
    differ from the plain form are only compared."""
    compared = options.candidates == type(options)().candidates and scheme.differs_by
    return options.max_accuracy_drop if options.repair == "auto" and scheme.repairable and not compared else None


def made_of_fp32(
    scheme: Scheme,
    fp32: Path,
    feeds: FedRows,
    path: Path,
    layers: Sequence[str],
    judge: Judge | None,
    form: DeviceForm | None = None,
) -> Made:
    """Writes a candidate to `path`.

    feeds: what it is calibrated on. layers: the names of those with weights, in the order of the graph; by default
    those that the file gives them. judge: what an 8-bit file is repaired by; None: it never is. form: what the file
    takes and gives; as the fp32 file does without.

    Raises:
        ConfigError: `fp32` is not a model, or a rule is about no layer.
        StageError: it cannot be made.
    """
    from edgekd.graph.quantization.quantize import make_candidate, make_repaired
    from edgekd.graph.quantization.schemes import StaticInt8

    if judge is not None and isinstance(scheme, StaticInt8):
        return make_repaired(scheme, fp32, feeds, path, layers, judge, form)
    return make_candidate(scheme, fp32, feeds, path, layers, form), None


def made_or_refused(
    name: str, network: str, scheme: Scheme, path: Path, make: Callable[[], Made]
) -> tuple[CandidateRecord, RepairRecord | None]:
    """What is to be kept of a candidate of a network that `make` writes to `path`, unless it cannot be made.

    Raises:
        ConfigError: as `make`.
    """
    made, repair, refused = None, None, ""
    try:
        with placed("quantize.candidates"):
            made, repair = make()
    except StageError as error:
        path.unlink(missing_ok=True)
        refused = str(error)
    return CandidateRecord(name=name, network=network, scheme=scheme.use, file=made, refused=refused), repair


def told_of(record: CandidateRecord, repair: RepairRecord | None) -> str:
    """What its user should know of the file: bytes, what it computes in, what an 8-bit one leaves in float, cautions
    and what repair did."""
    made = record.file
    if made is None:
        return f"cannot be made: {record.refused}"
    told = [f"{made.facts.size_bytes:,} bytes"]
    if made.execution.arithmetic:
        told.append(made.execution.arithmetic)
    if not made.execution.in_float and made.execution.float_operators:
        left = ", ".join(f"{count} {name}" for name, count in made.execution.float_operators.items())
        told.append(f"still in float: {left}")
    if made.cautions:
        told.append(f"cautions: {', '.join(each.name for each in made.cautions)}")
    if repair and repair.told:
        told.append(repair.told)
    return " · ".join(told)
