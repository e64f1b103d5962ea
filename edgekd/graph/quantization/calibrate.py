"""The range of every activation, from samples run through the fp32 model, in memory that does not grow with them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

from edgekd.errors import StageError

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Feeds

Scalar = TypeVar("Scalar", bound=np.generic)

Method = Literal["minmax", "percentile"]

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}
# The runtime's entropy method is left out: with its 128 bins it is minmax, and with 2048 it cost three small networks
# 0.2 to 1.1 points and ten seconds each.
BATCH = 16  # histograms need every activation of a batch at once


class OneBatch(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, batch: Feeds) -> None:
        self._left = [batch]

    def get_next(self) -> Feeds | None:
        return self._left.pop() if self._left else None


def spread(samples: NDArray[Scalar], number: int) -> NDArray[Scalar]:
    """At most `number` of the samples, evenly spaced: a data set sorted by class gives of every class."""
    if number >= len(samples):
        return samples
    return samples[np.linspace(0, len(samples) - 1, number).round().astype(np.int64)]


def activation_ranges(
    model: Path, feeds: Feeds, method: Method, operators: Sequence[str]
) -> Any:  # onnxruntime's TensorsData, which has no types
    """The range of each activation that one of `operators` reads or writes; feeds: float32 (N, ...) by input name.

    A model with a fixed batch gets as many full batches as there are.

    Raises:
        StageError: fewer samples than one fixed batch.
    """
    first = onnx.load(model).graph.input[0]
    fixed = first.type.tensor_type.shape.dim[0].dim_value or None
    batches = _batches(feeds, fixed)
    if not batches:
        raise StageError(
            f"{len(feeds[first.name])} calibration samples do not fill one batch of {fixed}",
            hint="raise `calibration_samples`, or export with `batch: dynamic`",
        )
    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            model,
            list(operators),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=METHODS[method],
        )
        # one call for each batch: the calibrators keep every activation of a call, and need equal batches in it
        for batch in batches:
            calibrator.collect_data(OneBatch(batch))
        return calibrator.compute_data()


def _batches(feeds: Feeds, fixed: int | None) -> list[Feeds]:
    """Cut at the fixed size, without what is left over, or at the standard one."""
    samples = len(next(iter(feeds.values())))
    size = fixed or BATCH
    end = samples - samples % size if fixed else samples
    return [{name: array[start : start + size] for name, array in feeds.items()} for start in range(0, end, size)]
