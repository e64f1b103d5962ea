"""p90 against MLPerf's load generator: python benchmarks/latency_vs_loadgen.py (needs: pip install mlcommons-loadgen)

Single stream, the same model, session options and machine; the two alternate, each run a fresh process. Goal: p90
within 5 % in the median of 5 pairs, on a model of a millisecond or more, and on one of 40 µs once the generator's
own Python callback is accounted for, which an empty model shows. `--seconds 2 --pairs 1` is a smoke test.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from latency_models import empty, stack


def run_loadgen(path: str, seconds: float, folder: str) -> None:
    """One single-stream run in this process; prints p50 and p90 in ns."""
    import mlperf_loadgen as generator
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (only,), (result,) = session.get_inputs(), session.get_outputs()
    content = np.random.default_rng(0).standard_normal(only.shape).astype(np.float32)
    binding = session.io_binding()
    given = onnxruntime.OrtValue.ortvalue_from_numpy(content)
    taken = onnxruntime.OrtValue.ortvalue_from_numpy(session.run(None, {only.name: content})[0])
    binding.bind_ortvalue_input(only.name, given)
    binding.bind_ortvalue_output(result.name, taken)
    run = session.run_with_iobinding

    def issue(samples: list[generator.QuerySample]) -> None:
        for sample in samples:
            run(binding)
            generator.QuerySamplesComplete([generator.QuerySampleResponse(sample.id, 0, 0)])

    settings = generator.TestSettings()
    settings.scenario = generator.TestScenario.SingleStream
    settings.mode = generator.TestMode.PerformanceOnly
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = 100
    output = generator.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = folder, False
    logging = generator.LogSettings()
    logging.log_output, logging.enable_trace = output, False
    system = generator.ConstructSUT(issue, lambda: None)
    library = generator.ConstructQSL(64, 64, lambda _samples: None, lambda _samples: None)
    generator.StartTestWithLogSettings(system, library, settings, logging)
    summary = Path(folder, "mlperf_log_summary.txt").read_text()
    for share in (50, 90):
        found = re.search(rf"{share}\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)
        assert found, summary
        print(found.group(1))
    generator.DestroyQSL(library)
    generator.DestroySUT(system)


def loadgen(path: Path, seconds: float) -> tuple[float, float]:
    """(p50, p90) in seconds, of a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--generator", str(path), "--seconds", str(seconds), "--folder", folder],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(done.stderr)
    middle, high = (int(line) / 1e9 for line in done.stdout.split()[-2:])
    return middle, high


def harness(path: Path, seconds: float, seed: int) -> tuple[float, float]:
    """(p50, p90) in seconds."""
    from edgekd.config.target import Measuring
    from edgekd.devices.local import Local
    from edgekd.harness.driver import measure
    from edgekd.progress import Silent
    from edgekd.records.runtime import RuntimeSettings

    measuring = Measuring(seconds=seconds)
    record = measure(
        Local(use="local"), RuntimeSettings(), measuring, {"m": path}, [], seed, Silent(), settled=lambda _: False
    )
    middle, high = (record.model("m").percentile(share) for share in (0.5, 0.9))
    assert middle is not None
    assert high is not None
    return middle.value_s, high.value_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--generator", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default=os.curdir, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generator:
        run_loadgen(options.generator, options.seconds, options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {
            "empty": empty(folder / "empty.onnx"),
            "40 µs": stack(folder / "small.onnx", 10, 8, 14),
            "ms": stack(folder / "large.onnx", 30, 32, 28),
        }
        callback = 0.0
        for label, path in models.items():
            differences = []
            for pair in range(options.pairs):
                theirs = loadgen(path, options.seconds)
                ours = harness(path, options.seconds, pair)
                if label == "empty":
                    differences.append(theirs[0] - ours[0])
                else:
                    differences.append(ours[1] / (theirs[1] - callback) - 1)
                print(f"{label}: generator p90 {theirs[1] * 1e6:.2f} µs, edgekd p90 {ours[1] * 1e6:.2f} µs", flush=True)
            middle = statistics.median(differences)
            if label == "empty":
                callback = middle
                print(f"the generator's Python callback takes {callback * 1e6:.2f} µs, taken off below\n")
            else:
                print(f"{label}: p90 differs by {middle:+.1%}, median of {options.pairs} pairs; goal: within 5 %\n")


if __name__ == "__main__":
    main()
