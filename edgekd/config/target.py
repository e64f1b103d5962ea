"""A target file: a device, the runtime settings that ship on it, what it may spend, and how long measuring may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekd.config.component import Component, Use
from edgekd.config.section import Section
from edgekd.records.runtime import RuntimeSettings


class RuntimeSection(Section, RuntimeSettings):
    """How the model runs on the device; part of what ships, and part of every measurement's identity."""


class Limits(Section):
    """What the model may cost on the device; only the limits that are given are checked."""

    p90_latency_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="nine of ten inferences take no longer"
    )
    model_bytes: int | None = Field(None, gt=0, description="size of the model file, of each if there are two (`ort`)")
    peak_rss_mb: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="peak memory of a process with this model alone, in 10^6 bytes"
    )
    cold_start_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="from the start of a process to its first output"
    )
    speedup_vs_teacher: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="at least so many times faster than the teacher"
    )

    @property
    def of_times(self) -> tuple[str, ...]:
        """The names of the given limits that only a measurement on the real processor can check."""
        return tuple(
            name for name in type(self).model_fields if name != "model_bytes" and getattr(self, name) is not None
        )


class Measuring(Section):
    """How a comparison is measured; what counts as the same."""

    seconds: float = Field(20.0, gt=0, le=86400, description="time that one comparison may take")
    screen_seconds: float = Field(
        20.0, gt=0, le=86400, description="time that looking over all candidates may take, for answers and times each"
    )
    margin: float = Field(0.03, gt=0, lt=1, description="relative difference below which two models count as the same")
    confidence: float = Field(0.99, ge=0.5, lt=1, description="of every interval, over all looks at the data together")


class TargetProfile(Section):
    name: str = Field(min_length=1, pattern=r"^\w[\w.-]*$", description="what reports call the target")
    device: Annotated[Component, Use("devices")] = Field(description="what kind of machine it is and how it is reached")
    runtime: RuntimeSection = Field(default_factory=RuntimeSection)
    oldest_runtime: str | None = Field(
        None,
        pattern=r"^\d+\.\d+(\.\d+)?$",
        description="oldest version of ONNX Runtime that the devices of this kind have, such as 1.17; files that "
        "need a newer one are told of",
    )
    limits: Limits = Field(default_factory=Limits)
    measure: Measuring = Field(default_factory=Measuring)
    ort: bool = Field(
        False,
        description="the bundle holds the model also in ONNX Runtime's own format (.ort), as it is optimised here: for "
        "minimal builds of the runtime, which read nothing else",
    )
