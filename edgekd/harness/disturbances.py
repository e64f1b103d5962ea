"""What bent a measurement, named: from the machine's counters and from the samples themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgekd.harness.samples import Load
from edgekd.harness.statistics.series import autocorrelation
from edgekd.harness.statistics.shape import bimodality, drift
from edgekd.records.environment import Disturbance, Environment, Machine

QUIET_GOVERNORS = ("", "performance", "userspace")
LAG = 20  # inferences over which a memory of the series is looked for


def standing(machine: Machine) -> Iterator[Disturbance]:
    """What about the machine itself disturbs every measurement on it."""
    if machine.governor not in QUIET_GOVERNORS:
        yield Disturbance(
            name="governor",
            what=f"the frequency governor is {machine.governor!r}: the clock follows the load",
            remedy="sudo cpupower frequency-set -g performance",
        )
    if machine.smt:
        yield Disturbance(
            name="smt",
            what="two hardware threads share each core, so a neighbour can slow a measurement",
            remedy="echo off | sudo tee /sys/devices/system/cpu/smt/control, or choose cores with runtime.affinity",
        )
    if machine.virtual:
        yield Disturbance(
            name="virtual machine",
            what=f"this is a virtual machine ({machine.virtual}): neighbours that cannot be seen share the hardware",
            remedy="compare side by side only, or measure on the real device",
        )
    if machine.emulated:
        yield Disturbance(
            name="emulated",
            what=f"this processor is emulated by {machine.emulated}: its times say nothing about a real one",
            remedy="measure on the real device",
        )
    quota = machine.cpu_quota.split()
    if quota and quota[0] not in ("max", "-1"):
        yield Disturbance(
            name="cpu quota",
            what=f"a control group allows only {machine.cpu_quota} of processor time (quota and period in µs)",
            remedy="lift the container's processor limit while measuring",
        )


def happened(environment: Environment) -> Iterator[Disturbance]:
    """What happened on the machine meanwhile."""
    if environment.waited_s > 0.5:
        yield Disturbance(
            name="in turns",
            what=f"another measurement ran on this machine, in turns with this: it waited {environment.waited_s:.0f} s",
            remedy="the times are good; start one after the other to have each sooner",
        )
    if environment.busy_elsewhere > 0.1:
        yield Disturbance(
            name="other load",
            what=f"other programs took {environment.busy_elsewhere:.0%} of the processor time",
            remedy="stop them, or give the measurement cores of its own (runtime.affinity)",
        )
    if environment.steal > 0.01:
        yield Disturbance(
            name="steal",
            what=f"the hypervisor gave {environment.steal:.1%} of the processor time to others",
            remedy="measure on a machine of its own",
        )
    if environment.involuntary_switches_per_s > 20:
        yield Disturbance(
            name="context switches",
            what=f"the measurement was pushed off its core {environment.involuntary_switches_per_s:.0f} times a second",
            remedy="stop other programs, or lower runtime.nice",
        )
    if environment.frequency_hz and environment.frequency_hz[0] < 0.95 * environment.frequency_hz[1]:
        low, high = (hertz / 1e9 for hertz in environment.frequency_hz)
        yield Disturbance(
            name="frequency",
            what=f"the processor's clock moved between {low:.2f} and {high:.2f} GHz",
            remedy="fix it: governor performance, turbo off",
        )
    if environment.temperature_c and environment.temperature_c[1] - environment.temperature_c[0] > 10:
        low, high = environment.temperature_c
        yield Disturbance(
            name="temperature",
            what=f"the temperature moved between {low:.0f} and {high:.0f} °C",
            remedy="let the device warm up first, and cool it",
        )
    if environment.throttled:
        yield Disturbance(
            name="thermal limit",
            what=f"the processor was throttled {environment.throttled} times because of its temperature",
            remedy="cool the device",
        )


def seen_in(name: str, loads: Sequence[Load]) -> Iterator[Disturbance]:
    """What one model's samples give away."""
    medians = np.array([np.median(load.steady) for load in loads])
    modes = bimodality(np.concatenate([load.steady for load in loads]))
    if modes is not None:
        fast, slow, share = modes
        yield Disturbance(
            name="two speeds",
            what=f"{name} runs at {fast * 1e3:.4g} ms or at {slow * 1e3:.4g} ms ({share:.0%} of the time)",
            remedy="look for another program, a change of clock, or memory that is sometimes aligned and sometimes not",
        )
    change = drift(medians)
    if change is not None and abs(change) > 0.01:
        yield Disturbance(
            name="drift", what=f"{name} changed by {change:+.1%} from the first load to the last", remedy=None
        )
    unsteady = sum(load.unsteady for load in loads)
    if unsteady > len(loads) / 4:
        yield Disturbance(
            name="no steady state",
            what=f"{name} was still changing half-way through {unsteady} of {len(loads)} loads",
            remedy=None,
        )
    memory = [float(autocorrelation(load.steady, LAG)[-1]) for load in loads if len(load.steady) > 4 * LAG]
    if memory and float(np.median(memory)) > 0.3:
        yield Disturbance(
            name="autocorrelation",
            what=f"slow and fast inferences of {name} come in runs (correlation {np.median(memory):.2f} over {LAG})",
            remedy="the intervals allow for it: they are taken over loads",
        )


def disturbances_of(environment: Environment, loads: Sequence[Load], names: Sequence[str]) -> tuple[Disturbance, ...]:
    """Everything found: about the machine, what happened on it, and what the samples show."""
    found = [*standing(environment.machine), *happened(environment)]
    for number, name in enumerate(names):
        found += seen_in(name, [load for load in loads if load.model == number])
    return tuple(found)
