"""The 8-bit schemes of ONNX Runtime's static quantization."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Feeds
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution


class StaticInt8(Scheme):
    """8-bit weights and activations, the activations' ranges fixed from calibration samples."""

    calibration_samples: int = Field(
        512, ge=1, description="training samples that the ranges of the activations are taken from"
    )
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

    @property
    def samples_wanted(self) -> int:
        return self.calibration_samples

    @property
    @abstractmethod
    def form(self) -> Literal["qdq", "qoperator"]:
        """How the file says that an operator computes in 8 bits."""

    def apply(self, fp32: Path, feeds: Feeds, ranges: Ranges) -> bytes:
        from edgekd.graph.quantization.static import quantize_static

        return quantize_static(
            fp32,
            feeds,
            self.form,
            ranges,
            scheme=self.use,
            method=self.calibrate,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            activations=self.activations,
            weights=self.weights,
        )

    def check(self, runs: Execution) -> None:
        if runs.in_float:
            raise StageError(
                f"{self.use} quantized nothing: every operator still computes in float",
                hint="8-bit kernels exist for convolutions, matrix products, pooling and additions",
            )


class Int8Qdq(StaticInt8):
    """QuantizeLinear and DequantizeLinear around each operator, fused by the runtime at load: the portable form."""

    @property
    def form(self) -> Literal["qdq", "qoperator"]:
        return "qdq"


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

    @property
    def form(self) -> Literal["qdq", "qoperator"]:
        return "qoperator"
