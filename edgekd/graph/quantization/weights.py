"""8-bit weights, computed with in float: a file as small as an 8-bit one, as fast as the fp32 one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Feeds
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution


class Int8Weights(Scheme):
    """int8 weights, a scale for each output channel; the runtime makes them float again when it loads the file."""

    @property
    def session(self) -> dict[str, str]:
        # without it the runtime keeps what stands behind a DequantizeLinear for 8-bit kernels, and converts it anew in
        # every inference
        return {"session.disable_quant_qdq": "1"}

    def apply(self, fp32: Path, feeds: Feeds, ranges: Ranges) -> bytes:  # noqa: ARG002 - it needs no calibration
        from edgekd.graph.quantization.stored_weights import quantize_weights

        return quantize_weights(fp32)

    def check(self, runs: Execution) -> None:
        if "DequantizeLinear" in runs.operators:
            raise StageError(
                f"the weights do not fold at load: ONNX Runtime would convert {runs.operators['DequantizeLinear']} of "
                "them again in every inference",
                hint=f"leave {self.use} out for this version of the runtime",
            )
