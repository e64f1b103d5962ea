"""float16 weights, computed with in float32: half of the fp32 file, nearly its answers, and as fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.weights import require_folded

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution


class Fp16Weights(Scheme):
    """Constants stored as float16; the runtime makes them float32 again when it loads the file."""

    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges) -> bytes:  # noqa: ARG002 - it needs no calibration
        from edgekd.graph.quantization.stored_halves import halve_weights

        return halve_weights(fp32)

    def check(self, runs: Execution) -> None:
        super().check(runs)
        require_folded(self.use, runs)
