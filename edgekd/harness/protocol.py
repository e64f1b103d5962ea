"""The jobs that the agent takes and the events that it reports: the two directions of one versioned protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from edgekd.config.target import RuntimeSettings
from edgekd.records.base import Record
from edgekd.records.environment import KernelState, Machine, Settings

PROTOCOL = 1


class JobRuntime(Record):
    """The runtime settings in the agent's units."""

    threads: int
    inter_op_threads: int
    affinity: tuple[int, ...] | None
    spinning: bool
    optimisation: str
    provider: str
    nice: int | None
    memory_limit_bytes: int | None
    options: dict[str, str]


class Preprocess(Record):
    """Pixels to input: `(pixel / 255 - mean) / std` per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class JobModel(Record):
    """A model to load. `inputs` is a .npy or .npz on the device; with `preprocess` it holds uint8 images."""

    name: str
    path: str
    inputs: str | None = None
    shapes: dict[str, tuple[int, ...]] = {}
    preprocess: Preprocess | None = None


class AnyJob(Record):
    """What every job says."""

    protocol: int = PROTOCOL
    runtime: JobRuntime


class ModelsJob(AnyJob):
    models: tuple[JobModel, ...]


class SetsJob(ModelsJob):
    """Sets of fresh loads in one process: in each, the models by number in the order in which they are loaded.

    The agent starts no further set `process_s` seconds after the first.
    """

    sets: tuple[tuple[int, ...], ...]
    process_s: float
    result: str


class MeasureJob(SetsJob):
    """Back to back. `together`: blocks of all models are interleaved, else one model is loaded at a time;
    `capacity`: samples kept for each set; `observe`: report what the settings came to."""

    kind: Literal["measure"] = "measure"
    together: bool
    seed: int
    set_s: float
    min_turns: int
    block_s: float
    settle_s: float
    capacity: int
    observe: bool


class ColdJob(ModelsJob):
    """One cold start, of the first model."""

    kind: Literal["cold"] = "cold"


class PeriodicJob(SetsJob):
    """One inference every `period_s`, `frames` times for each load."""

    kind: Literal["periodic"] = "periodic"
    period_s: float
    frames: int


class ThroughputJob(SetsJob):
    """As many inferences as `clients` threads can do in `load_s`, for each load."""

    kind: Literal["throughput"] = "throughput"
    clients: int
    load_s: float


class PredictModel(JobModel):
    result: str


class PredictJob(AnyJob):
    kind: Literal["predict"] = "predict"
    models: tuple[PredictModel, ...]
    inputs: str
    batch: int


class CountJob(ModelsJob):
    """Inferences between marks, `runs` of each model, for an emulator that counts instructions."""

    kind: Literal["count"] = "count"
    runs: int


class DescribeJob(AnyJob):
    kind: Literal["describe"] = "describe"
    seconds: float


Job = MeasureJob | ColdJob | PeriodicJob | ThroughputJob | PredictJob | CountJob | DescribeJob


class Step(Record):
    """What the agent is about to do; if it dies, this is what killed it."""

    event: Literal["step"]
    what: str
    model: str


class Waited(Record):
    """For so long, since it last said so, the agent has waited for another measurement on its machine."""

    event: Literal["waited"]
    seconds: float = Field(ge=0, le=3600)


class Refused(Record):
    event: Literal["refusal"]
    kind: str
    what: str


class Cold(Record):
    """The first load of a process: the runtime's import, the session, the first inference, and the memory."""

    event: Literal["cold"]
    model: str
    import_ns: int
    load_ns: int
    first_ns: int
    peak_rss_bytes: int
    runtime_rss_bytes: int

    @property
    def cold_start_s(self) -> float:
        return (self.import_ns + self.load_ns + self.first_ns) / 1e9


class Observed(Settings):
    event: Literal["settings"]


class Overhead(Record):
    event: Literal["overhead"]
    inside_ns: float
    between_ns: float


class SetDone(Record):
    event: Literal["set"]
    number: int
    before: KernelState
    after: KernelState


class Predicted(Record):
    event: Literal["predicted"]
    model: str
    rows: int


class State(Record):
    """A while in which the agent only looked at the clock; `gaps_ns`: when it could not."""

    event: Literal["state"]
    before: KernelState
    after: KernelState
    gaps_ns: tuple[int, ...]


class Described(Machine):
    event: Literal["machine"]


class Done(Record):
    event: Literal["done"]


Event = Step | Waited | Refused | Cold | Observed | Overhead | SetDone | Predicted | State | Described | Done
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def read_event(line: str) -> Event | None:
    """The event of one line, or None when it is no event of this protocol."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None


def job_runtime(settings: RuntimeSettings) -> JobRuntime:
    limit = settings.memory_limit_mb
    return JobRuntime(
        threads=settings.threads,
        inter_op_threads=settings.inter_op_threads,
        affinity=settings.affinity,
        spinning=settings.spinning,
        optimisation=settings.optimisation,
        provider=settings.provider,
        nice=settings.nice,
        memory_limit_bytes=None if limit is None else int(limit * 1e6),
        options=settings.options,
    )
