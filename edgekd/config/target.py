"""A target file: a device, the runtime settings that ship on it, what it may spend, and how long measuring may take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgekd.config.component import Component, Use
from edgekd.config.section import Section

Optimisation = Literal["none", "basic", "extended", "layout", "all"]


class RuntimeSettings(Section):
    """How the model runs on the device; part of what ships, and part of every measurement's identity."""

    threads: int = Field(1, ge=1, le=1024, description="threads inside one operator (intra-op)")
    inter_op_threads: int = Field(
        1, ge=1, le=1024, description="operators run side by side; above 1 the execution is parallel"
    )
    affinity: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="numbers of the cores to run on; all of them by default"
    )
    spinning: bool = Field(True, description="idle workers spin instead of sleeping (the runtime's own default)")
    optimisation: Optimisation = Field("all", description="graph optimisation level")
    provider: str = Field("CPUExecutionProvider", min_length=1, description="execution provider of onnxruntime")
    nice: int | None = Field(
        None,
        ge=-20,
        le=19,
        description="priority of the process (default: inherited); a lower one needs the right to it",
    )
    memory_limit_mb: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="memory that the process may ask for, in 10^6 bytes"
    )
    options: dict[str, str] = Field(
        default_factory=dict, description="further session options, for example session.disable_quant_qdq: '1'"
    )

    def with_one_thread(self) -> RuntimeSettings:
        """The same, whatever it says of threads."""
        return self.model_copy(update={"threads": 1, "inter_op_threads": 1})


class Limits(Section):
    """What the model may cost on the device; only the limits that are given are checked."""

    p90_latency_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="nine of ten inferences take no longer"
    )
    model_bytes: int | None = Field(None, gt=0, description="size of the model file")
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
    margin: float = Field(0.03, gt=0, lt=1, description="relative difference below which two models count as the same")
    confidence: float = Field(0.99, ge=0.5, lt=1, description="of every interval, over all looks at the data together")


class TargetProfile(Section):
    name: str = Field(min_length=1, pattern=r"^\w[\w.-]*$", description="what reports call the target")
    device: Annotated[Component, Use("devices")] = Field(description="what kind of machine it is and how it is reached")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    limits: Limits = Field(default_factory=Limits)
    measure: Measuring = Field(default_factory=Measuring)
