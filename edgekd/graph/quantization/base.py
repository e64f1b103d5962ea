"""What every quantization scheme gives: a smaller model from an fp32 one."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.config.component import Component

if TYPE_CHECKING:
    import onnx


class Scheme(Component):
    calibration_images: int = Field(
        512, ge=1, description="training images that the ranges of the activations are taken from"
    )

    @abstractmethod
    def quantized(self, model: Path, images: NDArray[np.float32]) -> onnx.ModelProto:
        """The quantized model; images: float32 (N, C, H, W), normalised, what to calibrate on.

        `model` is pre-processed: constants and batch norms folded, every shape inferred.
        """
