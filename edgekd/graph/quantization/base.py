"""What every scheme gives: a file that could ship, made of an fp32 one."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekd.config.component import Component
from edgekd.errors import StageError

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution

NO_BLOCKS = {"optimization.disable_specified_optimizers": "NchwcTransformer"}


class Scheme(Component):
    """A way to make a candidate: the file, and the session options without which it is not what it should be."""

    layout: Literal["auto", "nchw"] = Field(
        "auto",
        description="auto: the runtime may arrange what lies between float convolutions in blocks of channels (NCHWc); "
        "nchw: it must not, which can be faster where the channels do not fill the blocks",
    )

    @property
    def session(self) -> dict[str, str]:
        """The session configuration entries that the file ships with."""
        return NO_BLOCKS if self.layout == "nchw" else {}

    @property
    def differs_by(self) -> tuple[str, ...]:
        """What it does otherwise than its scheme by default, in words of which its name is made."""
        return ("nchw",) if self.layout == "nchw" else ()

    @property
    def samples_wanted(self) -> int:
        """How many training samples it calibrates on, 0 for a scheme that needs none."""
        return 0

    @property
    def repairable(self) -> bool:
        """Whether a file that loses too much accuracy can be made better."""
        return False

    @abstractmethod
    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges) -> bytes:
        """The file, the same bytes each time; feeds: float32 (N, ...) by input name, what to calibrate on; ranges: of
        inputs, where they are known without.

        Raises:
            ConfigError: `fp32` is not a model.
            StageError: the scheme does not fit the model.
        """

    def check(self, runs: Execution) -> None:
        """Does nothing if a runtime, here or on a target, runs the file as the scheme means it; `runs`: what it makes
        of it.

        Raises:
            StageError: it does not.
        """
        if self.layout == "nchw" and runs.rearranges:
            raise StageError("the runtime arranges tensors in blocks of channels, though it is told not to")
