"""What measuring itself costs: python benchmarks/latency_overhead.py

The time that the loop adds to an inference, against bare calls of an empty model (goal: under 2 µs), the time that an
obvious comparison takes until it is decided, the whole command included (goal: under 5 s), and the peak memory of
the host process in measurements of different length (goal: bounded).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path

from latency_models import empty, stack

CALLS = 20_000


def loop_overhead_ns(path: Path, repeats: int) -> tuple[float, float, float]:
    """Medians over repeats, in ns: a bare call, the same in the timing loop from end to end, what the loop records."""
    from edgekd.agent.session import load
    from edgekd.agent.subject import Subject
    from edgekd.agent.timing import time_block
    from edgekd.harness.protocol import JobModel
    from edgekd.records.runtime import RuntimeSettings

    model = JobModel(name="empty", path=str(path)).model_dump()
    subject = Subject(load(model, RuntimeSettings().model_dump()), model)
    subject.run_once()
    function, (argument,) = subject.call()
    buffer = memoryview(array("q", bytes(8 * CALLS)))
    bare, looped, recorded = [], [], []
    for _ in range(repeats):
        begin = time.perf_counter_ns()
        for _call in range(CALLS):
            function(argument)
        bare.append((time.perf_counter_ns() - begin) / CALLS)
        begin = time.perf_counter_ns()
        time_block(function, itertools.repeat(argument), 1 << 60, buffer)
        looped.append((time.perf_counter_ns() - begin) / CALLS)
        recorded.append(statistics.median(buffer))
    return statistics.median(bare), statistics.median(looped), statistics.median(recorded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare, looped, recorded = loop_overhead_ns(empty(folder / "empty.onnx"), options.repeats)
        print(f"a bare call of an empty model takes {bare:.0f} ns, {looped:.0f} ns in the timing loop")
        print(f"the loop adds {looped - bare:.0f} ns to an inference, and {recorded - bare:.0f} ns to what it records")
        print("goal: under 2000 ns")
        teacher, student = stack(folder / "teacher.onnx", 6, 32, 28), stack(folder / "student.onnx", 3, 8, 14)
        command = [sys.executable, "-m", "edgekd", "bench", str(teacher), str(student)]
        times = []
        for _ in range(max(3, options.repeats // 5)):
            begin = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.monotonic() - begin)
        print(f"an obvious comparison: {statistics.median(times):.1f} s, {max(times):.1f} at most; goal: under 5 s")
        for seconds in ("5", "60", "300"):
            same = [str(student), str(student), "--margin", "0.000001", "--seconds", seconds]
            script = (
                "import resource, sys\nfrom edgekd.cli import main\n"
                "try: main()\nexcept SystemExit: pass\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)"
            )
            done = subprocess.run(
                [sys.executable, "-c", script, "bench", *same], capture_output=True, text=True, check=True
            )
            print(f"{seconds} s of measuring: peak memory of the host {float(done.stderr.split()[-1]):.0f} MiB")


if __name__ == "__main__":
    main()
