"""The jobs that the agent takes and the events that it reports: the two directions of one versioned protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from edgekd.records.base import Record
from edgekd.records.environment import KernelState, Machine, Settings
from edgekd.records.runtime import Optimisation, RuntimeSettings

PROTOCOL = 2


class Preprocess(Record):
    """Raw samples to input: the function `feed` of the Python file `program` on the device, and its `specs`."""

    program: str
    specs: tuple[dict[str, JsonValue], ...]


class JobModel(Record):
    """A model to load, with session options of its own over those of the job's runtime. `inputs` is a .npy or .npz on
    the device; with `preprocess` it is a .npy of raw samples (N, ...)."""

    name: str
    path: str
    session: dict[str, str] = {}
    inputs: str | None = None
    shapes: dict[str, tuple[int, ...]] = {}
    preprocess: Preprocess | None = None


class AnyJob(Record):
    """What every job says."""

    protocol: int = PROTOCOL
    runtime: RuntimeSettings


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

    task: Literal["measure"] = "measure"
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

    task: Literal["cold"] = "cold"


class PeriodicJob(SetsJob):
    """One inference every `period_s`, `frames` times for each load."""

    task: Literal["periodic"] = "periodic"
    period_s: float
    frames: int


class ThroughputJob(SetsJob):
    """As many inferences as `clients` threads can do in `load_s`, for each load."""

    task: Literal["throughput"] = "throughput"
    clients: int
    load_s: float


class PredictModel(JobModel):
    """`result`: where its outputs go, `graph`: where what the runtime makes of it goes, if that is looked at."""

    result: str
    graph: str = ""


class PredictJob(AnyJob):
    """Outputs for the rows of each model's `inputs`: all of them, or as many as `seconds` for all together allow.

    `look`: also the cold start of the first model, and the graph that the runtime makes of each.
    """

    task: Literal["predict"] = "predict"
    models: tuple[PredictModel, ...]
    batch: int
    seconds: float | None
    look: bool = False


class CountJob(ModelsJob):
    """Inferences between marks, `runs` of each model, for an emulator that counts instructions."""

    task: Literal["count"] = "count"
    runs: int


class Saved(Record):
    """A file to write: what a model, by its name, is after a level of optimisation, in ONNX's or ONNX Runtime's own
    format."""

    model: str
    level: Optimisation
    format: Literal["ONNX", "ORT"]
    result: str


class OptimiseJob(ModelsJob):
    """What the runtime makes of the models."""

    task: Literal["optimise"] = "optimise"
    saved: tuple[Saved, ...]


class DescribeJob(AnyJob):
    """A while in which the agent only looks at the clock."""

    task: Literal["describe"] = "describe"
    seconds: float


class IdentifyJob(AnyJob):
    """What the machine is, and no more."""

    task: Literal["identify"] = "identify"


Job = (
    MeasureJob | ColdJob | PeriodicJob | ThroughputJob | PredictJob | CountJob | OptimiseJob | DescribeJob | IdentifyJob
)


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
    cause: str
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


class Graph(Record):
    """Whether the device has saved the graph that the runtime makes of a model, large constants left out."""

    event: Literal["graph"]
    model: str
    saved: bool


class State(Record):
    """A while in which the agent only looked at the clock; `gaps_ns`: when it could not."""

    event: Literal["state"]
    before: KernelState
    after: KernelState
    gaps_ns: tuple[int, ...]


class Described(Machine):
    event: Literal["machine"]


class Identity(Record):
    """What of the machine decides results."""

    event: Literal["identity"]
    cpu: str
    machine: str
    isa: tuple[str, ...]
    cores: int
    onnxruntime: str


class Done(Record):
    event: Literal["done"]


Event = (
    Step
    | Waited
    | Refused
    | Cold
    | Observed
    | Overhead
    | SetDone
    | Predicted
    | Graph
    | State
    | Described
    | Identity
    | Done
)
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def read_event(line: str) -> Event | None:
    """The event of one line, or None when it is no event of this protocol."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None
