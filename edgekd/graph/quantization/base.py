"""What every scheme gives: a file that could ship, made of an fp32 one."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.config.component import Component

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Feeds
    from edgekd.graph.device_form import Ranges
    from edgekd.records.model import Execution


class Scheme(Component):
    """A way to make a candidate: the file, and the session options without which it is not what it should be."""

    @property
    def session(self) -> dict[str, str]:
        """The session configuration entries that the file ships with."""
        return {}

    @property
    def samples_wanted(self) -> int:
        """How many training samples it calibrates on, 0 for a scheme that needs none."""
        return 0

    @abstractmethod
    def apply(self, fp32: Path, feeds: Feeds, ranges: Ranges) -> bytes:
        """The file, the same bytes each time; feeds: float32 (N, ...) by input name, what to calibrate on; ranges: of
        inputs, where they are known without.

        Raises:
            ConfigError: `fp32` is not a model.
            StageError: the scheme does not fit the model.
        """

    def check(self, runs: Execution) -> None:
        """Does nothing if the runtime runs the file as the scheme means it; `runs`: what it makes of it.

        Raises:
            StageError: it does not.
        """
