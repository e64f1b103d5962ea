"""A small run that gets a signal at a random moment, then one more of the same command, which ends."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
from pathlib import Path

from hypothesis import strategies as st

from edgekd.errors import EdgekdError
from tests.fuzz.place import Area, Draw, Place, WrongError
from tests.killing import ENDED, interrupted, started, still_running

LIMIT_S = 60.0
PIPELINE = """\
name: small
data: {use: 'own.py:load', modality: vector, validation: 0.3}
teacher: {model: {use: mlp, width: 4}, epochs: 40, min_accuracy: 0}
student: {model: {use: mlp, width: 4}}
distill: {epochs: 40, losses: [{use: kd}]}
quantize: {candidates: [fp32, int8_weights]}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
TARGET = "name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\nmeasure: {seconds: 0.5, screen_seconds: 0.5}\n"
OWN = """\
import numpy as np


def load():
    rows = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    return dict(train_features=rows[:300], train_labels=labels[:300], test_features=rows[300:],
                test_labels=labels[300:], classes=['below', 'above'])
"""


def written(folder: Path) -> list[str]:
    for name, text in (("own.py", OWN), ("here.yaml", TARGET), ("small.yaml", PIPELINE)):
        (folder / name).write_text(text)
    return ["run", "small.yaml", "--until", "measure@here"]


def signals(draw: Draw, place: Place) -> None:
    how = draw(st.sampled_from([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
    after_s = random.Random(draw(st.integers(0, 2**32))).uniform(0.1, 15)  # hypothesis likes the smallest ones
    folder = place.inside / "work"
    folder.mkdir()
    arguments = written(folder)
    process = started(folder, arguments)
    told = f"{how.name} after {after_s:.1f} s"
    try:
        code = process.wait(after_s)
    except subprocess.TimeoutExpired:
        if wrong := interrupted(process, how, LIMIT_S):
            raise WrongError(f"{told}: {wrong}: {(folder / 'log').read_text()[-300:]}") from None
        code = process.returncode
    if left := still_running(folder):
        raise WrongError(f"{told}: still running: {left}")
    log = (folder / "log").read_text()
    if "Traceback" in log or "a bug in edgekd" in log:
        raise WrongError(f"{told}: {log[-300:]}")
    runs = [json.loads(path.read_text()) for path in folder.glob("runs/*/*/run.json")]
    odd = [run["error"] for run in runs if run["state"] != "ended" or (code > 3 and run["error"] != "interrupted")]
    if odd and code >= 0:
        raise WrongError(f"{told}: exit code {code}, and run.json says {odd}")
    if code in ENDED:
        return
    again = started(folder, arguments)
    try:
        ended = again.wait(2 * LIMIT_S)
    except subprocess.TimeoutExpired:
        again.kill()
        again.wait()
        raise WrongError(f"{told}: the same command does not end") from None
    if ended not in ENDED:
        raise WrongError(f"{told}: the same command ends with {ended}: {(folder / 'log').read_text()[-300:]}")
    shutil.rmtree(folder)
    raise EdgekdError("interrupted, and the same command went on")


AREA = Area("signals", signals, longest_s=300, tried=2)
