"""The machine that a measurement ran on, and what disturbed it."""

from __future__ import annotations

from edgekd.records.base import Record


class Machine(Record):
    """What holds for the whole length of a measurement. `isa`: the instruction sets that matter to inference.
    `emulated`: by which program the processor is imitated; its times then say nothing."""

    cpu: str
    machine: str
    isa: tuple[str, ...]
    cores: int
    memory_bytes: int
    system: str
    python: str
    numpy: str
    onnxruntime: str
    providers: tuple[str, ...]
    governor: str
    turbo: str
    smt: bool
    virtual: str
    emulated: str = ""
    cpu_quota: str
    affinity: tuple[int, ...]


class KernelState(Record):
    """The kernel's counters at one moment."""

    time_s: float
    busy_s: float
    steal_s: float
    own_s: float
    involuntary_switches: int
    frequency_hz: tuple[int, ...]
    temperature_c: tuple[float, ...]
    throttled: int
    load_average: float


class Settings(Record):
    """What the runtime settings came to, read back from a session and seen in its threads."""

    threads: int
    inter_op_threads: int
    affinity: tuple[int, ...]
    worker_affinity: tuple[int, ...]
    worker_seconds_after_a_run: float
    spinning: bool
    optimisation: str
    provider: str
    nice: int
    memory_limit_bytes: int | None
    options: dict[str, str]


class Disturbance(Record):
    """Something that may have bent a measurement: what was seen, and what to do about it."""

    name: str
    what: str
    remedy: str | None = None


class Environment(Record):
    machine: Machine
    settings: Settings | None
    seconds: float
    waited_s: float = 0.0
    """For other measurements on the same machine, beside `seconds`."""
    busy_elsewhere: float
    """Share of the machine's processor time that other programs took, 0 to 1."""
    steal: float
    """Share that the hypervisor gave to other virtual machines, 0 to 1."""
    involuntary_switches_per_s: float
    frequency_hz: tuple[float, float] | None
    temperature_c: tuple[float, float] | None
    throttled: int
    load_average: float
