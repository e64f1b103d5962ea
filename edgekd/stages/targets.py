"""The device behind a target file, and the machine behind a device."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from edgekd.config.target import TargetProfile
from edgekd.devices.base import Device
from edgekd.errors import TargetError
from edgekd.pipeline.store import guarded, store_root, write_atomically
from edgekd.records.base import digest


def device_of(target: TargetProfile) -> Device:
    return cast("Device", target.device)  # the schema chose it from the registry of devices


@functools.cache
def machine_of(device: Device) -> dict[str, JsonValue]:
    """What of the machine behind a device decides results: its processor, cores and runtime, never its name.

    One that cannot be reached is taken for the machine that it was the last time: what was found on it then still
    holds, and is in the store; whatever is not has to reach it and fails.

    Raises:
        TargetError: it cannot be reached and never was, or does not say what it is.
    """
    from edgekd.harness.environment import identity_of, machine_identity

    if device.here:
        return machine_identity()
    known = store_root() / "machines" / f"{digest(device.model_dump(mode='json'))}.json"
    try:
        facts = identity_of(device)
    except TargetError:
        found = _read(known)
        if found is None:
            raise
        return found
    with guarded(known.parent):
        known.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(known, json.dumps(facts).encode())
    return facts


def _read(known: Path) -> dict[str, JsonValue] | None:
    try:
        found = json.loads(known.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
