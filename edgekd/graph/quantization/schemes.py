"""The 8-bit schemes of ONNX Runtime's static quantization."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from edgekd.config.finetune import Finetune
from edgekd.config.layer_rule import LayerRule
from edgekd.errors import ConfigError, StageError
from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.graph.quantization.static import Numbers
    from edgekd.records.model import Execution


class StaticInt8(Scheme):
    """8-bit weights and activations, the activations' ranges fixed from calibration samples."""

    calibration_samples: int = Field(
        512, ge=1, description="training samples that the ranges of the activations are taken from"
    )
    calibrate: Literal["minmax", "percentile", "entropy", "mse"] = Field(
        "mse",
        description="range of an activation: all that was seen (minmax), all but the outermost (percentile), the least "
        "divergence of its distribution (entropy), or the least squared error (mse)",
    )
    percentile: float = Field(
        99.999,
        ge=90,
        lt=100,
        description="share of an activation's values inside its range, in %; half of the rest on each side",
    )
    per_channel: bool = Field(
        True, description="a scale for each output channel of a weight; depthwise layers can collapse without"
    )
    reduce_range: bool = Field(
        False, description="7-bit weights, for x86 processors without VNNI, where 8-bit ones can overflow"
    )
    activations: Literal["uint8", "int8"] = Field("uint8", description="type of the activations")
    weights: Literal["int8", "uint8"] = Field("int8", description="type of the weights")
    rules: tuple[LayerRule, ...] = Field(
        (),
        description="layers that stay in float, such as {match: stages.2.*, keep: float}, or after all do not "
        "(keep: int8); read in order, a later one wins",
    )

    finetune: Finetune = None

    @model_validator(mode="after")
    def _percentile_of_its_method(self) -> Self:
        if "percentile" in self.model_fields_set and self.calibrate != "percentile":
            raise PydanticCustomError(
                "scheme", "percentile has no meaning for another method\nadd `calibrate: percentile`"
            )
        return self

    @model_validator(mode="after")
    def _types_that_a_kernel_takes(self) -> Self:
        if self.weights == "uint8" and self.activations == "int8":
            raise PydanticCustomError("scheme", "no kernel multiplies int8 activations by uint8 weights")
        if self.weights == "uint8" and self.per_channel:
            raise PydanticCustomError(
                "scheme", "uint8 weights have one scale for all channels\nadd `per_channel: false`"
            )
        return self

    @model_validator(mode="after")
    def _trained_in_whole_steps(self) -> Self:
        if self.weights == "uint8" and self.finetune is not None:
            raise PydanticCustomError("scheme", "finetune takes int8 weights\nleave `weights` out")
        return self

    @property
    def samples_wanted(self) -> int:
        return self.calibration_samples

    @property
    def differs_by(self) -> tuple[str, ...]:
        told = {
            "signed": self.activations == "int8",
            "unsigned_weights": self.weights == "uint8",
            "per_tensor": not self.per_channel and self.weights == "int8",
            self.calibrate: self.calibrate != "mse",
            "reduced": self.reduce_range,
            "finetuned": self.finetune is not None,
        }
        return (*(word for word, differs in told.items() if differs), *super().differs_by)

    @property
    def repairable(self) -> bool:
        return True

    @property
    @abstractmethod
    def form(self) -> Literal["qdq", "qoperator"]:
        """How the file says that an operator computes in 8 bits."""

    @property
    def numbers(self) -> Numbers:
        from edgekd.graph.quantization.static import Numbers

        return Numbers(self.use, self.form, self.per_channel, self.reduce_range, self.activations, self.weights)

    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges, names: Sequence[str] = ()) -> bytes:
        """names: of the layers with weights, in the order of the graph; by default those that the file gives them.

        Raises:
            ConfigError: it would have to be trained first.
        """
        if self.finetune is not None:
            raise ConfigError(
                f"{self.use}: a file alone cannot be trained: `finetune` needs the samples and teachers of a pipeline",
                hint="leave `finetune` out",
            )
        from edgekd.graph.quantization.calibrate import Calibration
        from edgekd.graph.quantization.static import quantize_static

        return quantize_static(
            fp32, feeds, ranges, self.numbers, Calibration(self.calibrate, self.percentile), names, self.rules
        )

    def check(self, runs: Execution) -> None:
        super().check(runs)
        total = sum(runs.macs.values())
        if runs.in_float or (total and not runs.macs.get("int8")):
            told = f"all {total:,} multiply-accumulates are" if total else "every operator is"
            raise StageError(
                f"{self.use} quantized nothing: {told} still computed in float",
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
                "scheme",
                "int8 activations run about five times slower than uint8 on x86 in this form\n"
                "leave `activations: uint8`, or use int8_qdq",
            )
        return self

    @property
    def form(self) -> Literal["qdq", "qoperator"]:
        return "qoperator"
