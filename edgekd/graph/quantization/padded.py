"""Channels of zeros beside the network's own, where the kernels compute so many at once anyway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution


class Padded(Scheme):
    """The fp32 network with its convolutions' channels filled up to a multiple by zeros, which are not stored."""

    multiple: int = Field(
        16,
        ge=2,
        le=64,
        description="of which the number of channels becomes a multiple: what the target's kernels compute at once "
        "(16 with AVX-512, 8 on other x86 processors; on ARM it saves nothing)",
    )
    weights: Literal["int8", "float32"] = Field(
        "int8", description="as what they are stored, computed with in float: as of int8_weights, or exactly"
    )

    @property
    def session(self) -> dict[str, str]:
        folding = {"session.disable_quant_qdq": "1"} if self.weights == "int8" else {}  # as int8_weights
        return {**super().session, **folding}

    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges) -> bytes:  # noqa: ARG002 - it needs no calibration
        import onnx

        from edgekd.graph.inspect import load_model
        from edgekd.graph.padding import pad_channels
        from edgekd.graph.quantization.stored_weights import quantize_weights
        from edgekd.graph.slim import slim

        model = onnx.load_from_string(quantize_weights(fp32)) if self.weights == "int8" else load_model(fp32)
        pad_channels(model, self.multiple)
        slim(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def check(self, runs: Execution) -> None:
        left = runs.operators.get("Pad", 0) - runs.float_operators.get("Pad", 0)  # of constants
        left += runs.operators.get("DequantizeLinear", 0)
        if left:
            raise StageError(
                f"the zeros do not fold at load: ONNX Runtime would make {left} constants again in every inference",
                hint=f"leave {self.use} out for this version of the runtime",
            )
