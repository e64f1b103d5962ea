"""The real command in a process of its own that is forked from one with all libraries in it: a hundred times as fast as
one that starts from nothing, and as safe for who asks.

Several commands may be run in one such process, one after the other, to see what the first leaves behind.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "numpy", "onnx", "onnxruntime", "torch", "onnxscript", "sklearn.datasets", "edgekd.cli", "edgekd.stages.session",
    "edgekd.training.loop", "edgekd.graph.export", "edgekd.stages.quantize_model", "edgekd.report.terminal",
    "torch._dynamo", "torch.onnx._internal.exporter._core", "onnxscript.optimizer", "torch.export",
)  # fmt: skip
"""None of them starts a thread before it is used."""


@dataclass(frozen=True)
class Ended:
    """code: below 0 where a signal ended the process, None where it had to be ended. changed: what the command changed
    of the process. left: whether something that it started went on."""

    code: int | None
    said: str
    errors: str
    changed: tuple[str, ...] = ()
    left: bool = False


def run_apart(
    commands: Sequence[Sequence[str]], folder: Path, told: Path, environment: dict[str, str], seconds: float
) -> list[Ended]:
    """How each command ended; those that come after the end of the process are left out.

    folder: where they run. told: a folder for what they say.
    """
    told.mkdir(exist_ok=True)
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    request = {
        "commands": [list(each) for each in commands],
        "folder": str(folder),
        "told": str(told),
        "environment": environment,
        "seconds": seconds,
    }
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer = json.loads(server.stdout.readline())
    found = []
    for number in range(len(commands)):
        said, errors, report = (told / f"{number}.{name}" for name in ("said", "errors", "json"))
        if not said.exists():
            break
        ended: dict[str, Any] = {"code": answer["code"], "changed": []}
        if report.exists():
            ended = json.loads(report.read_text())
        out, err = (each.read_text(errors="replace") for each in (said, errors))
        found.append(Ended(ended["code"], out, err, tuple(ended["changed"]), answer["left"]))
    return found


@functools.cache
def _server() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.apart"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.kill)
    return process


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if not process:
            answers.close()
            _run(request)
        code = _waited(process, request["seconds"])
        left = _goes_on(process)
        answers.write(json.dumps({"code": code, "left": left}) + "\n")
        answers.flush()


def _waited(process: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _goes_on(group: int) -> bool:
    """Whether a process of the group is there; it is ended."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        return True
    return False


def _run(request: dict[str, Any]) -> None:
    """Never comes back."""
    code = 99
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, arguments in enumerate(request["commands"]):
            told = Path(request["told"], str(number))
            for descriptor, name in ((1, "said"), (2, "errors")):
                os.dup2(os.open(told.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
            code = _one(arguments, told.with_suffix(".json"))
    finally:
        os._exit(code)


def _one(arguments: Sequence[str], report: Path) -> int:
    from edgekd.cli import main

    sys.argv = ["edgekd", *arguments]
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # as they were before an earlier command
    code, before = 0, _state()
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    after = _state()
    changed = [name for name in before if before[name] != after[name]]
    report.write_text(json.dumps({"code": code, "changed": changed}))
    return code


def _state() -> dict[str, str]:
    """What decides how the next command of the process goes."""
    import numpy as np
    import torch

    return {
        "folder": os.getcwd(),  # noqa: PTH109 - of the process
        "environment": repr(sorted(each for each in os.environ.items() if each[0] != "GOMP_SPINCOUNT")),  # edgekd's own
        "path": repr(sys.path),
        "recursion": str(sys.getrecursionlimit()),
        "warnings": repr(warnings.filters),
        "floats": repr(np.geterr()),
        "printing": repr(np.get_printoptions()),
        "threads": str(torch.get_num_threads()),
        "dtype": str(torch.get_default_dtype()),
        "device": str(torch.get_default_device()),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "gradients": str(torch.is_grad_enabled()),
        "interruption": repr(signal.getsignal(signal.SIGINT)),
        "termination": repr(signal.getsignal(signal.SIGTERM)),
        "trace": repr(sys.gettrace()),
    }


if __name__ == "__main__":
    _serve()
