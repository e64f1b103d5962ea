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

PATIENCE_S = 60.0

PROGRAM = """

if __name__ == "__main__":
    import json
    from importlib import metadata

    print(json.dumps({**cpu_facts(), "onnxruntime": metadata.version("onnxruntime")}))
"""


def device_of(target: TargetProfile) -> Device:
    return cast("Device", target.device)  # the schema chose it from the registry of devices


@functools.cache
def machine_of(device: Device) -> dict[str, JsonValue]:
    """What of the machine behind a device decides results: its processor, cores and runtime, never its name.

    Raises:
        TargetError: it cannot be reached, or does not say.
    """
    from edgekd.harness.agent import machine
    from edgekd.harness.environment import machine_identity

    if device.here:
        return machine_identity()
    lines: list[str] = []
    with device.connect() as workspace:
        program = workspace.write("machine.py", Path(machine.__file__).read_bytes() + PROGRAM.encode())
        ended = workspace.run([workspace.python, program], lines.append, PATIENCE_S)
    try:
        facts = json.loads(lines[-1]) if ended.code == 0 and lines else None
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        reason = ended.errors.splitlines()[-1] if ended.errors else "no answer"
        raise TargetError(f"the device does not say what machine it is: {reason}")
    return facts
