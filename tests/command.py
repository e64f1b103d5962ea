"""The real command in a process of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
DIGITS = REPOSITORY / "pipelines" / "digits.yaml"

QUICK = (
    "teacher.epochs=4",
    "teacher.min_accuracy=0",
    "teacher.model={use: conv, width: 6, stages: 2}",
    "distill.epochs=4",
    "distill.control=false",
    "student.model={use: conv, width: 4, stages: 2}",
    "quantize.candidates=[fp32, int8_weights, int8_qdq, int8_qoperator]",
    "release={max_accuracy_drop: 1.0}",
)
"""Changes that make the digits pipeline take seconds; what it reaches then does not matter."""


QUICK_TARGET = """\
name: here
device: local
limits: {p90_latency_ms: 1000}
measure: {seconds: 2, screen_seconds: 2}
"""


def python_argv(*arguments: str | Path, processes: int = 1) -> list[str]:
    """A Python of its own, or as many as torchrun shall start."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--no-python"]
    return [*(launcher if processes > 1 else []), sys.executable, *map(str, arguments)]


def python(program: str, *arguments: str | Path, processes: int = 1, timeout_s: float = 60, **environment: str) -> str:
    """What a program prints in a Python of its own, in the repository; it must end well."""
    done = subprocess.run(
        python_argv("-c", program, *arguments, processes=processes),
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Place:
    """A folder to run in, with a store of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def edgekd(
        self, *arguments: str | Path, timeout_s: float = 300, processes: int = 1
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments, processes=processes),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Started, with its standard error in a pipe to follow."""
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def argv(self, *arguments: str | Path, processes: int = 1) -> list[str]:
        return python_argv("-m", "edgekd", *arguments, processes=processes)

    def last_run(self) -> dict[str, Any]:
        """What the newest run.json says."""
        newest = max(self.folder.glob("runs/*/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
        content: dict[str, Any] = json.loads(newest.read_text())
        return content

    def stored(self, record: dict[str, Any], stage: str, port: str) -> Path:
        """The file of an output of a run."""
        (artifact,) = (each["outputs"][port] for each in record["stages"] if each["id"] == stage)
        name: str = artifact["digest"]
        return self.folder / "store" / "blobs" / name[:2] / f"{name}.{artifact['kind']}"

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "EDGEKD_STORE": str(self.folder / "store"), "COLUMNS": "160", **self.environment}


def place_with(folder: Path, pipeline: str) -> Place:
    """A folder with that pipeline as p.yaml, and a target here.yaml that is measured in no time."""
    (folder / "here.yaml").write_text(QUICK_TARGET)
    (folder / "p.yaml").write_text(pipeline)
    return Place(folder)


def sets(*assignments: str) -> list[str]:
    return [part for assignment in assignments for part in ("--set", assignment)]
