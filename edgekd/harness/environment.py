"""The machine under a measurement: what it is, and what it did meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.agent.identify import identity
from edgekd.errors import TargetError
from edgekd.records.environment import Environment, KernelState, Machine, Settings
from edgekd.records.runtime import RuntimeSettings

if TYPE_CHECKING:
    from edgekd.devices.base import Device
    from edgekd.harness.sets import Seen


def machine_identity() -> dict[str, JsonValue]:
    """What of this machine decides a measurement, for fingerprints: no host name, no time, nothing that changes
    from one boot to the next."""
    return identity()


def identity_of(device: Device) -> dict[str, JsonValue]:
    """The same of the machine behind a device. It takes no turn, and nothing there is imported that takes long.

    Raises:
        TargetError: it cannot be reached, or does not say what it is.
    """
    from edgekd.harness.conversation import converse
    from edgekd.harness.protocol import Event, IdentifyJob, Identity

    found: list[Identity] = []

    def receive(event: Event) -> None:
        if isinstance(event, Identity):
            found.append(event)

    with device.connect() as workspace:
        converse(workspace, IdentifyJob(runtime=RuntimeSettings()), receive)
    if len(found) != 1:
        raise TargetError(
            f"{device.place}: it does not say what machine it is", hint="is another program answering there?"
        )
    return found[0].model_dump(mode="json", exclude={"event"})


def environment_of(seen: Seen) -> Environment:
    """The machine, and the sum of what happened on it during all sets."""
    assert seen.machine is not None, "every process ends with a description of its machine"
    return observed(seen.machine, seen.settings, seen.states, seen.waited_s)


def observed(
    machine: Machine,
    settings: Settings | None,
    spans: Sequence[tuple[KernelState, KernelState]],
    waited_s: float = 0.0,
) -> Environment:
    """What happened on a machine between pairs of its kernel's states."""
    seconds = sum(after.time_s - before.time_s for before, after in spans) or 1e-9
    capacity = seconds * machine.cores
    busy = sum(after.busy_s - before.busy_s for before, after in spans)
    own = sum(after.own_s - before.own_s for before, after in spans)
    steal = sum(after.steal_s - before.steal_s for before, after in spans)
    switches = sum(after.involuntary_switches - before.involuntary_switches for before, after in spans)
    frequencies = [hz for before, after in spans for hz in (*before.frequency_hz, *after.frequency_hz)]
    temperatures = [c for before, after in spans for c in (*before.temperature_c, *after.temperature_c)]
    return Environment(
        machine=machine,
        settings=settings,
        seconds=seconds,
        waited_s=waited_s,
        busy_elsewhere=max(0.0, busy - own - steal) / capacity,
        steal=steal / capacity,
        involuntary_switches_per_s=switches / seconds,
        frequency_hz=(min(frequencies), max(frequencies)) if frequencies else None,
        temperature_c=(min(temperatures), max(temperatures)) if temperatures else None,
        throttled=max((s.throttled for span in spans for s in span), default=0)
        - min((s.throttled for span in spans for s in span), default=0),
        load_average=max((after.load_average for _, after in spans), default=0.0),
    )
