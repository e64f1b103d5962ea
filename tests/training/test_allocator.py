from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from edgekd.training.execution import Execution
from edgekd.training.workers import Workers

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

def step(shard):
    layers = [torch.ones(2, 1 << 20) for _ in range(20)]  # 8 MB each
    return float(sum(each[0, 0] for each in layers))

with Workers(Execution(shards=2)) as workers:
    for _ in range(3):
        workers.each(step)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        assert workers.each(step) == [20.0, 20.0]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    kept = resident_mb()
print(faults, kept - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these switches")
def test_the_pages_of_a_step_are_those_of_the_last_one_and_go_back_to_the_system_at_the_end() -> None:
    faults, given_back_mb = measured_in_a_process()
    assert faults < 20_000, "5 steps of 320 MB have 400,000 pages"
    assert given_back_mb > 100


def measured_in_a_process() -> tuple[float, float]:
    """Page faults of five steps, and the megabytes that went back at the end."""
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    faults, given_back_mb = map(float, done.stdout.split())
    return faults, given_back_mb
