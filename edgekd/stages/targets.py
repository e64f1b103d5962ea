"""The device behind a target file."""

from __future__ import annotations

from typing import cast

from edgekd.config.target import TargetProfile
from edgekd.devices.base import Device


def device_of(target: TargetProfile) -> Device:
    return cast("Device", target.device)  # the schema chose it from the registry of devices
