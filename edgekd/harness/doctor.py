"""What on a target will disturb a measurement, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.devices.base import Device
from edgekd.errors import StageError
from edgekd.harness.conversation import converse
from edgekd.harness.disturbances import happened, standing
from edgekd.harness.environment import observed
from edgekd.harness.protocol import Described, DescribeJob, Event, State
from edgekd.records.doctor import Gaps, Health
from edgekd.records.environment import Disturbance, Machine
from edgekd.records.runtime import RuntimeSettings

SECONDS = 2.0
X86 = ("x86_64", "AMD64", "i686")
ARM = ("aarch64", "arm64", "armv7l", "armv8l")


def examine(device: Device, runtime: RuntimeSettings, *, seconds: float = SECONDS) -> Health:
    """The machine behind a target, watched for a while, and everything about it that bends a measurement.

    Raises:
        TargetError: it cannot be reached, or lacks what the agent needs.
        StageError: it refuses the runtime settings.
    """
    states: list[State] = []
    machines: list[Described] = []

    def receive(event: Event) -> None:
        if isinstance(event, State):
            states.append(event)
        elif isinstance(event, Described):
            machines.append(event)

    with device.connect() as workspace:
        converse(workspace, DescribeJob(runtime=runtime, seconds=seconds), receive)
    if len(states) != 1 or len(machines) != 1:
        raise StageError("the device does not describe itself", hint="is another program answering there?")
    (state,), (described,) = states, machines
    machine = Machine.model_validate(described.model_dump(exclude={"event"}))
    environment = observed(machine, None, [(state.before, state.after)])
    gaps = Gaps(
        per_second=len(state.gaps_ns) / seconds,
        longest_s=max(state.gaps_ns, default=0) / 1e9,
        lost=sum(state.gaps_ns) / (seconds * 1e9),
    )
    findings = [*standing(machine), *unfit(machine, runtime), *happened(environment), *_interruptions(gaps)]
    return Health(environment=environment, gaps=gaps, findings=tuple(findings))


def unfit(machine: Machine, runtime: RuntimeSettings) -> Iterator[Disturbance]:
    """What the processor lacks for 8-bit models, or has too little of for the runtime settings."""
    isa = set(machine.isa)
    if machine.machine in X86 and not isa & {"avx512_vnni", "avx_vnni", "amx_int8"}:
        yield Disturbance(
            name="no VNNI",
            what="this x86 processor has no 8-bit dot product (VNNI): int8 gains little, and sums of 16 bits saturate",
            remedy="quantize with reduce_range: true, and compare the int8 file with the fp32 one before shipping it",
        )
    if machine.machine in ARM and not isa & {"asimddp", "i8mm"}:
        yield Disturbance(
            name="no dot product",
            what="this ARM processor has no 8-bit dot product (asimddp): int8 gains less than on newer cores",
            remedy="compare the int8 file with the fp32 one before shipping it",
        )
    usable = len(runtime.affinity or machine.affinity)
    if max(runtime.threads, runtime.inter_op_threads) > usable:
        yield Disturbance(
            name="threads",
            what=f"{max(runtime.threads, runtime.inter_op_threads)} threads share {usable} cores",
            remedy=f"set runtime.threads to {usable} at most",
        )
    if runtime.provider not in machine.providers:
        yield Disturbance(
            name="provider",
            what=f"onnxruntime {machine.onnxruntime} has no {runtime.provider} here",
            remedy=f"one of {', '.join(machine.providers)}",
        )


def _interruptions(gaps: Gaps) -> Iterator[Disturbance]:
    if gaps.lost > 0.01:
        yield Disturbance(
            name="interruptions",
            what=f"a busy loop was stopped {gaps.per_second:.0f} times a second, for {gaps.longest_s * 1e3:.1f} ms at "
            f"the longest and {gaps.lost:.1%} of the time in all",
            remedy="stop other programs; keep a core free for the measurement (isolcpus, runtime.affinity)",
        )
