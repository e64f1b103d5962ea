"""No quantization: where 8-bit kernels are slower, the fp32 file is what ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.graph.quantization.base import Scheme

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges


class Fp32(Scheme):
    """The fp32 file as it is."""

    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges) -> bytes:  # noqa: ARG002 - it needs no calibration
        return fp32.read_bytes()
