"""An fp32 ONNX file as a candidate, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from edgekd.graph.execution import execution
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.portability import cautions, saturates_without_vnni
from edgekd.graph.quantization.repair import Judge, repaired
from edgekd.graph.quantization.schemes import StaticInt8
from edgekd.graph.quiet import quiet
from edgekd.records.candidate import MadeFile
from edgekd.records.repair import RepairRecord

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import DeviceForm


def make_candidate(
    scheme: Scheme,
    fp32: Path,
    feeds: FedRows,
    out: Path,
    names: Sequence[str] = (),
    form: DeviceForm | None = None,
) -> MadeFile:
    """What was done; writes the file to `out`, with the same bytes each time.

    feeds: float32 (N, ...) by input name, all of which a scheme that calibrates does so on: as many samples of the
    training split as it wants. names: of the layers with weights, in the order of the graph, for a scheme with rules of
    them; by default those that the file gives them. form: what the file takes and gives; as the fp32 file does without.

    Raises:
        ConfigError: `fp32` is not a model, or a rule is about no layer.
        StageError: the scheme does not fit the model, or the runtime does not run the result as it is meant; `out`
            may then hold it.
    """
    ranges = {} if form is None else form.ranges
    with quiet():  # the quantizer's advice to developers is followed already
        if form is not None and not scheme.samples_wanted:  # float32 weights can take a part of the normalisation
            out.write_bytes(form.apply(fp32.read_bytes()))
            fp32, form = out, None
        if isinstance(scheme, StaticInt8):
            content = scheme.apply(fp32, feeds, ranges, names)
        else:
            content = scheme.apply(fp32, feeds, ranges)
        if form is not None:
            content = form.apply(content)
    return made_file(scheme, content, feeds, out)


def make_repaired(
    scheme: StaticInt8,
    fp32: Path,
    feeds: FedRows,
    out: Path,
    names: Sequence[str],
    judge: Judge,
    form: DeviceForm | None = None,
) -> tuple[MadeFile, RepairRecord]:
    """As `make_candidate`, and what was tried to keep the accuracy; where it is kept already, nothing is."""
    with quiet():
        content, repair = repaired(scheme, fp32, feeds, {} if form is None else form.ranges, names, judge)
        if form is not None:
            content = form.apply(content)
    return made_file(scheme, content, feeds, out), repair


def made_file(scheme: Scheme, content: bytes, feeds: FedRows, out: Path) -> MadeFile:
    """What a file of the scheme is, which is written to `out`; feeds: what it was calibrated on.

    Raises:
        StageError: the runtime does not run it as it is meant.
    """
    out.write_bytes(content)
    runs = execution(out, scheme.session, {name: array.shape[1:] for name, array in feeds.items()})
    scheme.check(runs)
    model = onnx.load_from_string(content)
    return MadeFile(
        facts=describe(out),
        execution=runs,
        session=scheme.session,
        calibration_samples=len(next(iter(feeds.values()))) if scheme.samples_wanted else 0,
        saturates_without_vnni=not runs.in_float and saturates_without_vnni(model.graph),
        cautions=cautions(model, runs),
    )
