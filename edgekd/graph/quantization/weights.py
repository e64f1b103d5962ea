"""8-bit weights, computed with in float: a file as small as an 8-bit one, as fast as the fp32 one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.errors import StageError
from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution


class Int8Weights(Scheme):
    """int8 weights, a scale for each output channel; the runtime makes them float again when it loads the file."""

    @property
    def session(self) -> dict[str, str]:
        # without it the runtime keeps what stands behind a DequantizeLinear for 8-bit kernels, and converts it anew in
        # every inference
        return {**super().session, "session.disable_quant_qdq": "1"}

    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges) -> bytes:  # noqa: ARG002 - it needs no calibration
        from edgekd.graph.quantization.stored_weights import quantize_weights

        return quantize_weights(fp32)

    def check(self, runs: Execution) -> None:
        super().check(runs)
        require_folded(self.use, runs)


def require_folded(scheme: str, runs: Execution) -> None:
    """
    Raises:
        StageError: what is stored smaller than it is computed with does not become float once, when the file is loaded.
    """
    unfolded = sum(runs.unfolded.values())
    if unfolded:
        raise StageError(
            f"the weights do not fold at load: ONNX Runtime would convert {unfolded} of them again in every inference",
            hint=f"leave {scheme} out for this version of the runtime, or let it optimise more",
        )
