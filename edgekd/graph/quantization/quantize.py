"""An fp32 ONNX file as a candidate, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from edgekd.graph.execution import execution
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quiet import quiet
from edgekd.records.candidate import MadeFile

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Feeds
    from edgekd.graph.device_form import DeviceForm


def make_candidate(scheme: Scheme, fp32: Path, feeds: Feeds, out: Path, form: DeviceForm | None = None) -> MadeFile:
    """What was done; writes the file to `out`, with the same bytes each time.

    feeds: float32 (N, ...) by input name, all of which a scheme that calibrates does so on: as many samples of the
    training split as it wants. form: what the file takes and gives; as the fp32 file does without.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: the scheme does not fit the model, or the runtime does not run the result as it is meant; `out`
            may then hold it.
    """
    with quiet():  # the quantizer's advice to developers is followed already
        content = scheme.apply(fp32, feeds, {} if form is None else form.ranges)
        if form is not None:
            content = form.apply(content)
    out.write_bytes(content)
    runs = execution(out, scheme.session)
    scheme.check(runs)
    return MadeFile(
        facts=describe(out),
        execution=runs,
        session=scheme.session,
        calibration_samples=len(next(iter(feeds.values()))) if scheme.samples_wanted else 0,
        saturates_without_vnni=not runs.in_float and _pairs_overflow(onnx.load_from_string(content).graph),
    )


def _pairs_overflow(graph: onnx.GraphProto) -> bool:
    """Whether two products of 8 bits can exceed 16: VPMADDUBSW adds them in pairs, and 255·(64+64) just fits.

    Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW.
    """
    return any(
        int(np.abs(numpy_helper.to_array(tensor).astype(np.int16)).max(initial=0)) > 64
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    )
