"""The device behind a target file."""

from __future__ import annotations

from edgekd.config.target import TargetProfile
from edgekd.devices.base import Device


def device_of(target: TargetProfile) -> Device:
    assert isinstance(target.device, Device)  # the schema chose it from the registry of devices
    return target.device
