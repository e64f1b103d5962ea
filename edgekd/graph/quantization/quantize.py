"""An fp32 ONNX file as a candidate, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from edgekd.graph.execution import execution
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.portability import cautions, saturates_without_vnni
from edgekd.graph.quiet import quiet
from edgekd.records.candidate import MadeFile

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows


def make_candidate(scheme: Scheme, fp32: Path, feeds: FedRows, out: Path) -> MadeFile:
    """What was done; writes the file to `out`, with the same bytes each time.

    feeds: float32 (N, ...) by input name, all of which a scheme that calibrates does so on: as many samples of the
    training split as it wants.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: the scheme does not fit the model, or the runtime does not run the result as it is meant; `out`
            may then hold it.
    """
    with quiet():  # the quantizer's advice to developers is followed already
        content = scheme.apply(fp32, feeds)
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
