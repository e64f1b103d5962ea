"""Runs that are killed at random moments and started again: python benchmarks/killed.py [--kills 50] [--signals KILL].

The digits pipeline, made short, is killed at random moments again and again until it ends, in a fresh store each time
that it has ended; `edgekd bench` of two of its files too. Each time it is looked whether within 10 s anything of it
still runs; each run that ends must have made the same files as one that was never killed, and its exit code must be 0
or 3 (a time that this machine leaves undecided). `--signals KILL,TERM,INT,HUP` takes one of these each time. It ends
with 1 where there is a finding.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.command import QUICK_TARGET, REPOSITORY
from tests.killing import ENDED, interrupted, started, still_running

CHANGES = ("teacher.epochs=12", "distill.epochs=12", "teacher.min_accuracy=0", "release={max_accuracy_drop: 1.0}")
MADE = ("data", "train@teacher", "train@student", "train@control", "export@student", "export@control", "export@teacher")
"""Stages whose files are the same each time; all quantize stages are too."""


def arguments_of(folder: Path) -> list[str]:
    (folder / "here.yaml").write_text(QUICK_TARGET)
    pipeline = (REPOSITORY / "pipelines" / "digits.yaml").read_text().replace("../targets/local.yaml", "here.yaml")
    (folder / "digits.yaml").write_text(pipeline)
    return ["run", "digits.yaml", *(part for change in CHANGES for part in ("--set", change))]


def results(folder: Path) -> dict[str, dict[str, str]]:
    """The digests of what does not depend on time, by stage, of the last run."""
    last = max(folder.glob("runs/digits/*/run.json"), key=lambda each: each.stat().st_mtime_ns)
    record: dict[str, Any] = json.loads(last.read_text())
    return {
        each["id"]: {port: made["digest"] for port, made in each["outputs"].items() if made["kind"] != "json"}
        for each in record["stages"]
        if each["id"] in MADE or each["id"].startswith("quantize@")
    }


class Tally:
    def __init__(self) -> None:
        self.kills = self.ended = 0
        self.findings: list[str] = []

    def find(self, what: str) -> None:
        self.findings.append(what)
        print(f"FINDING: {what}", flush=True)


def killed_or_ended(
    folder: Path, arguments: list[str], after_s: float, how: signal.Signals, tally: Tally, limit_s: float
) -> int | None:
    """The exit code of a process that ended before its time was up, None of one that was killed then."""
    process = started(folder, arguments)
    try:
        code: int | None = process.wait(after_s)
    except subprocess.TimeoutExpired:
        tally.kills += 1
        if wrong := interrupted(process, how, limit_s):
            tally.find(f"{how.name} after {after_s:.1f} s: {wrong}")
        code = None
    if left := still_running(folder):
        tally.find(f"{how.name} after {after_s:.1f} s: still running: {left}")
    return code


def runs(folder: Path, kills: int, signals: list[signal.Signals], drawn: random.Random, tally: Tally) -> None:
    arguments = arguments_of(folder)
    begun = time.monotonic()
    code: int | None = started(folder, arguments).wait()
    whole_s = time.monotonic() - begun
    assert code in ENDED, (folder / "log").read_text()
    expected, models = results(folder), folder / "models"
    models.mkdir()
    blobs = folder / "store" / "blobs"
    for name in ("quantize@fp32", "export@teacher"):
        digest = expected[name]["model"]
        shutil.copyfile(next(blobs.glob(f"*/{digest}*")), models / f"{name.replace('@', '-')}.onnx")
    print(f"never killed: {whole_s:.1f} s", flush=True)
    while tally.kills < kills:
        shutil.rmtree(folder / "store")
        code = None
        while code is None:
            how = drawn.choice(signals)
            code = killed_or_ended(folder, arguments, drawn.uniform(0, 0.8 * whole_s), how, tally, 60)
        tally.ended += 1
        if code not in ENDED:
            tally.find(f"exit code {code}: {(folder / 'log').read_text()[-500:]}")
        elif results(folder) != expected:
            odd = [name for name, each in results(folder).items() if each != expected.get(name)]
            tally.find(f"other results than without a kill: {', '.join(odd)}")
        print(f"run: {tally.kills} killed, {tally.ended} ended, {len(tally.findings)} findings", flush=True)


def benches(folder: Path, kills: int, signals: list[signal.Signals], drawn: random.Random, tally: Tally) -> None:
    files = sorted(str(each) for each in (folder / "models").glob("*.onnx"))
    arguments = ["bench", *files, "--seconds", "4"]
    before = tally.kills
    while tally.kills - before < kills:
        code = killed_or_ended(folder, arguments, drawn.uniform(0, 5), drawn.choice(signals), tally, 30)
        if code is not None:
            tally.ended += 1
            if code not in ENDED:
                tally.find(f"bench: exit code {code}")
    print(f"bench: {tally.kills - before} killed, {len(tally.findings)} findings in all", flush=True)
    begun = time.monotonic()
    code = started(folder, arguments).wait()
    print(f"bench afterwards: exit code {code} after {time.monotonic() - begun:.1f} s: no lock is held", flush=True)
    if code not in ENDED:
        tally.find(f"bench afterwards: exit code {code}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each of the two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", default="KILL", help="some of KILL,TERM,INT,HUP")
    options = parser.parse_args()
    signals = [signal.Signals[f"SIG{each}"] for each in options.signals.split(",")]
    drawn, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory(prefix="edgekd-killed-") as name:
        runs(Path(name), options.kills, signals, drawn, tally)
        benches(Path(name), options.kills, signals, drawn, tally)
    print(f"{tally.kills} killed, {len(tally.findings)} findings")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
