"""The 8-bit schemes of ONNX Runtime's static quantization."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    import onnx


class StaticInt8(Scheme):
    """8-bit weights and activations, the activations' ranges fixed from calibration images."""

    calibrate: Literal["minmax", "percentile"] = Field(
        "minmax",
        description="range of an activation: all that was seen, or all but the outermost 0.001 % (for networks with "
        "outliers)",
    )
    per_channel: bool = Field(
        True, description="a scale for each output channel of a weight; depthwise layers can collapse without"
    )
    reduce_range: bool = Field(
        False, description="7-bit weights, for x86 processors without VNNI, where 8-bit ones can overflow"
    )
    activations: Literal["uint8", "int8"] = Field("uint8", description="type of the activations")
    weights: Literal["int8", "uint8"] = Field("int8", description="type of the weights")

    @model_validator(mode="after")
    def _types_that_a_kernel_takes(self) -> Self:
        if self.weights == "uint8" and self.activations == "int8":
            raise PydanticCustomError("value_error", "no kernel multiplies int8 activations by uint8 weights")
        if self.weights == "uint8" and self.per_channel:
            raise PydanticCustomError(
                "value_error", "uint8 weights have one scale for all channels\nadd `per_channel: false`"
            )
        return self


class Int8Qdq(StaticInt8):
    """QuantizeLinear and DequantizeLinear around each operator, fused by the runtime at load: the portable form."""

    def quantized(self, model: Path, images: NDArray[np.float32]) -> onnx.ModelProto:
        from edgekd.graph.quantization.static import quantize_static_qdq

        return quantize_static_qdq(self, model, images)


class Int8QOperator(StaticInt8):
    """Fused 8-bit operators (QLinearConv, QGemm) in the file itself: the smallest file, for ONNX Runtime only."""

    @model_validator(mode="after")
    def _not_the_slow_kernel(self) -> Self:
        if self.activations == "int8":
            raise PydanticCustomError(
                "value_error",
                "int8 activations run about five times slower than uint8 on x86 in this form\n"
                "leave `activations: uint8`, or use int8_qdq",
            )
        return self

    def quantized(self, model: Path, images: NDArray[np.float32]) -> onnx.ModelProto:
        from edgekd.graph.quantization.static import quantize_static_qoperator

        return quantize_static_qoperator(self, model, images)
