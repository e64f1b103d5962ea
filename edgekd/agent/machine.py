"""What the machine is and what it is doing, read from the kernel; standard library only."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

ISA = (
    "sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "neon", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
"""The instruction sets that decide how fast inference is, by the kernel's names."""


def read(path: str) -> str:
    """The text of a small file of the kernel's, empty where there is none."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _cpuinfo() -> dict[str, str]:
    """The kernel's description of the first processor."""
    fields: dict[str, str] = {}
    for line in read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def cpu_facts() -> dict[str, Any]:
    """What of the processor does not change: model, instruction sets, usable cores."""
    fields = _cpuinfo()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    name = fields.get("model name") or read("/proc/device-tree/model").strip("\0") or fields.get("CPU part", "")
    return {
        "cpu": name or platform.processor() or "unknown",
        "machine": platform.machine(),
        "isa": [flag for flag in ISA if flag in flags],
        "cores": os.cpu_count() or 1,
    }


def kernel_state() -> dict[str, Any]:
    """What disturbs a measurement, now: tick counters, frequency, temperature, load."""
    ticks = [int(part) for part in read("/proc/stat").partition("\n")[0].split()[1:]] or [0] * 8
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hertz = os.sysconf("SC_CLK_TCK")
    frequencies = [int(text) * 1000 for text in map(read, _cpu_files("cpufreq/scaling_cur_freq")) if text]
    if not frequencies:
        frequencies = [
            int(float(line.partition(":")[2]) * 1e6)
            for line in read("/proc/cpuinfo").splitlines()
            if line.startswith("cpu MHz")
        ]
    zones = [read(str(zone)) for zone in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp"))]
    return {
        "time_s": time.monotonic(),
        "busy_s": (sum(ticks[:8]) - ticks[3] - ticks[4]) / hertz,
        "steal_s": ticks[7] / hertz if len(ticks) > 7 else 0.0,
        "own_s": usage.ru_utime + usage.ru_stime,
        "involuntary_switches": usage.ru_nivcsw,
        "frequency_hz": frequencies,
        "temperature_c": [int(text) / 1000 for text in zones if text.lstrip("-").isdigit()],
        "throttled": sum(int(t) for t in map(read, _cpu_files("thermal_throttle/core_throttle_count")) if t),
        "load_average": os.getloadavg()[0],
    }


def machine_facts() -> dict[str, Any]:
    """What of the machine matters to a measurement and holds for its whole length."""
    import numpy as np
    import onnxruntime

    memory = next((int(line.split()[1]) * 1024 for line in read("/proc/meminfo").splitlines()), 0)
    limits = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    return {
        **cpu_facts(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
        "governor": next(iter(filter(None, map(read, _cpu_files("cpufreq/scaling_governor")))), ""),
        "turbo": {"0": "on", "1": "off"}.get(read("/sys/devices/system/cpu/intel_pstate/no_turbo"), "")
        or {"0": "off", "1": "on"}.get(read("/sys/devices/system/cpu/cpufreq/boost"), ""),
        "smt": read("/sys/devices/system/cpu/smt/active") == "1",
        "virtual": _virtual(),
        "emulated": _cpuinfo().get("emulator", ""),
        "cpu_quota": next(iter(filter(None, map(read, limits))), ""),
        "affinity": sorted(os.sched_getaffinity(0)),
    }


def _cpu_files(name: str) -> list[str]:
    return [str(path) for path in sorted(Path("/sys/devices/system/cpu").glob(f"cpu[0-9]*/{name}"))]


def _virtual() -> str:
    """The name of the virtual machine, or "" on bare metal."""
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("flags"):
            if " hypervisor" not in line:
                return ""
            return read("/sys/class/dmi/id/sys_vendor") or read("/sys/hypervisor/type") or "hypervisor"
    return ""


def memory_bytes(field: str) -> int:
    """VmHWM (peak) or VmRSS (now) of this process."""
    for line in read("/proc/self/status").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
