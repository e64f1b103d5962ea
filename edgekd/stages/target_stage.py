"""What the stages that work on a target have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.target import RuntimeSettings, TargetProfile
from edgekd.pipeline.stage import Stage
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MODELS = ("teacher", "student", "int8")


@dataclass(frozen=True)
class TargetStage(Stage, ABC):
    """It runs the three files, which arrive at the ports of their names."""

    target: TargetProfile

    @property
    def runtime(self) -> RuntimeSettings:
        """What of the target's settings it runs with."""
        return self.target.runtime

    def identity(self) -> dict[str, JsonValue]:
        return {
            "target": self.target.name,
            "device": self.target.device.identity(),
            "runtime": identity(self.runtime),
        }

    def environment(self) -> dict[str, JsonValue]:
        from edgekd.stages.targets import device_of, machine_of

        return machine_of(device_of(self.target))

    @staticmethod
    def models(inputs: Mapping[str, Path]) -> dict[str, Path]:
        return {name: inputs[name] for name in MODELS}

    @staticmethod
    def validation_images(inputs: Mapping[str, Path], count: int) -> NDArray[np.float32]:
        """The first so many as the models take them, float32 (N, C, H, W)."""
        from edgekd.data.contract import normalise
        from edgekd.stages.files import load_images, load_record

        contract = load_record(ModelContract, inputs["contract"])
        return normalise(load_images(inputs["validation"]).images[:count], contract.image)
