"""The range of every activation, from samples run through the fp32 model, in memory that does not grow with them.

ONNX Runtime's own calibrators are not used: they hold every activation of all that they are given at once, their bins
depend on the first batch, and they have no squared error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData

from edgekd.errors import StageError
from edgekd.graph.quantization.clipping import Range, entropy_range, mse_range, percentile_range
from edgekd.graph.quantization.histogram import Histogram, Seen
from edgekd.graph.quantization.observe import Observer

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows

Method = Literal["minmax", "percentile", "entropy", "mse"]


class Calibration(NamedTuple):
    """How the range of an activation is found. percent: of its values that are inside, for the percentile method."""

    method: Method
    percent: float = 99.999


def activation_ranges(
    model: Path, feeds: FedRows, calibration: Calibration, operators: Sequence[str]
) -> Any:  # onnxruntime's TensorsData, which has no types
    """The range of each activation that one of `operators` reads or writes, 0 in it but for minmax.

    The samples are run once for the extremes and, but for minmax, once more to count values between these.

    feeds: (N, ...) by input name, read a few rows at a time.

    Raises:
        StageError: an activation is infinite or not a number.
    """
    observer = Observer(model, operators)
    seen: dict[str, Seen] = {}
    for batch in observer.batches(feeds):
        for name, values in batch.items():
            one = Seen.of(values)
            seen[name] = seen[name] | one if name in seen else one
    for name in observer.ranged_as.values():
        if not seen[name].finite:
            raise StageError(
                f"the activation {name!r} is not finite for a calibration sample",
                hint="look for samples that are out of all proportion, or for a division by zero in the model",
            )
    if calibration.method == "minmax":
        ranges = {name: (float(each.lowest), float(each.highest)) for name, each in seen.items()}
    else:
        histograms = {name: Histogram(each) for name, each in seen.items()}
        for batch in observer.batches(feeds):
            for name, values in batch.items():
                histograms[name].add(values)
        ranges = {name: _clipped(each, calibration) for name, each in histograms.items()}
    return _as_they_are(
        {
            name: TensorData(lowest=kind.type(ranges[source][0]), highest=kind.type(ranges[source][1]))
            for name, source in observer.ranged_as.items()
            for kind in (seen[source].lowest.dtype,)
        }
    )


def given_ranges(ranges: Mapping[str, Range]) -> Any:
    """The same of ranges that are known, of float32 activations by name."""
    return _as_they_are(
        {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    )


def _as_they_are(data: dict[str, TensorData]) -> Any:
    return TensorsData(CalibrationMethod.MinMax, data)  # what the quantizer calls ranges that it is not to change


def _clipped(histogram: Histogram, calibration: Calibration) -> Range:
    if calibration.method == "percentile":
        return percentile_range(histogram, calibration.percent)
    return entropy_range(histogram) if calibration.method == "entropy" else mse_range(histogram)
