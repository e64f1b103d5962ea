"""What this machine has beside its processor to train on; it needs no torch, for a cached run asks too."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BFLOAT16_CAPABILITY = 8
"""The first generation of NVIDIA's GPUs (Ampere) with instructions for bfloat16."""
BFLOAT16_MACOS = 14
MAJOR = 75
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR of the driver's interface."""


@dataclass(frozen=True)
class Accelerator:
    """name: as torch calls such devices; bfloat16: whether it is fast at that."""

    name: Literal["cuda", "mps"]
    bfloat16: bool


def accelerators() -> dict[str, Accelerator]:
    """Those that torch can use here, by name."""
    found = []
    capability = _cuda_capability() if _torch_is_built_for_cuda() else None
    if capability is not None:
        found.append(Accelerator("cuda", capability >= BFLOAT16_CAPABILITY))
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append(Accelerator("mps", int(platform.mac_ver()[0].partition(".")[0] or 0) >= BFLOAT16_MACOS))
    return {each.name: each for each in found}


def _torch_is_built_for_cuda() -> bool:
    """From the file that torch's own build leaves, for to import torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return version.is_file() and bool(re.search(r"^cuda\b.*= '", version.read_text(encoding="utf-8"), re.MULTILINE))


def _cuda_capability() -> int | None:
    """The least of the GPUs that the driver shows to this process (CUDA_VISIBLE_DEVICES); None where it shows none."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    count, device, major = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return None
    found = []
    for number in range(count.value):
        if driver.cuDeviceGet(ctypes.byref(device), number) != 0:
            return None
        if driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device) != 0:
            return None
        found.append(major.value)
    return min(found, default=None)
