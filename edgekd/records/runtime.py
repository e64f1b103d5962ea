"""How a model runs on a device: part of what ships, and part of every measurement's identity."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field

from edgekd.records.base import Record

Optimisation = Literal["none", "basic", "extended", "layout", "all"]
LEVELS: tuple[Optimisation, ...] = get_args(Optimisation)
"""From none to all, each with what the ones before it do."""


class RuntimeSettings(Record):
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

    def with_one_thread(self) -> Self:
        """The same, whatever it says of threads."""
        return self.model_copy(update={"threads": 1, "inter_op_threads": 1})
