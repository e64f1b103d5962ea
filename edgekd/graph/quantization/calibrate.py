"""The range of every activation, from images run through the fp32 model, in memory that does not grow with them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

from edgekd.errors import StageError

Pixel = TypeVar("Pixel", bound=np.generic)

Method = Literal["minmax", "percentile"]

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}
# The runtime's entropy method is left out: with its 128 bins it is minmax, and with 2048 it cost three small networks
# 0.2 to 1.1 points and ten seconds each.
BATCH = 16  # histograms need every activation of a batch at once


class OneBatch(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, feed: dict[str, NDArray[np.float32]]) -> None:
        self._left = [feed]

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return self._left.pop() if self._left else None


def spread(images: NDArray[Pixel], number: int) -> NDArray[Pixel]:
    """At most `number` of the images, evenly spaced: a data set sorted by class gives of every class."""
    if number >= len(images):
        return images
    return images[np.linspace(0, len(images) - 1, number).round().astype(np.int64)]


def activation_ranges(
    model: Path, images: NDArray[np.float32], method: Method, operators: Sequence[str]
) -> Any:  # onnxruntime's TensorsData, which has no types
    """The range of each activation that one of `operators` reads or writes; images: float32 (N, C, H, W).

    A model with a fixed batch gets as many full batches as there are.

    Raises:
        StageError: fewer images than one fixed batch.
    """
    graph = onnx.load(model).graph
    batch_dimension = graph.input[0].type.tensor_type.shape.dim[0]
    fixed = batch_dimension.dim_value or None
    batches = _batches(images, fixed or BATCH, whole=fixed is not None)
    if not batches:
        raise StageError(
            f"{len(images)} calibration images do not fill one batch of {fixed}",
            hint="raise `calibration_images`, or export with `batch: dynamic`",
        )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        calibrator = create_calibrator(
            model,
            list(operators),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=METHODS[method],
        )
        # one call for each batch: the calibrators keep every activation of a call, and need equal batches in it
        for batch in batches:
            calibrator.collect_data(OneBatch({graph.input[0].name: batch}))
        return calibrator.compute_data()


def _batches(images: NDArray[np.float32], size: int, *, whole: bool) -> list[NDArray[np.float32]]:
    end = len(images) - len(images) % size if whole else len(images)
    return [images[start : start + size] for start in range(0, end, size)]
