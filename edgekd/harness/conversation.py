"""One job given to the agent on a device, and its answers; every way in which that can go wrong, in one line."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

from edgekd.devices.base import Ended, Workspace
from edgekd.errors import ConfigError, EdgekdError, StageError, TargetError
from edgekd.harness.protocol import Done, Event, Job, ModelsJob, PredictJob, Refused, Step, read_event
from edgekd.visible import visible

PATIENCE_S = 120.0
"""An agent that says nothing for so long is stopped: the longest that one load or one inference may take."""
STEPS = 4  # events that an agent reports about each model of a set, at most
LONGEST_TURN_S = 1000.0  # the agent gives up waiting for its turn before
ROW_S = 10.0  # of one row; a slower model is not one for that device
MOST_CHARACTERS = 16 << 20
CHARACTERS_OF_ROW = 200
ANOTHER = "is another program answering there?"

HINTS = {
    "shape": "give it, for example `--shape input=1,3,224,224`",
    "input": "the file's rows must fit the model's signature",
    "load": "an operator or opset that this version of onnxruntime lacks? `edgekd doctor` names the version",
    "memory": "take a smaller model, or raise runtime.memory_limit_mb if the target file sets it",
    "nan": "give real inputs; a NaN in them or in the weights makes every figure meaningless",
    "setting": "change it in the target file, or allow it on the device",
    "missing": "on the device: python3 -m pip install numpy onnxruntime",
    "turn": "wait for it, or end it if it hangs",
    "protocol": "the agent on the device is of another version of edgekd",
}
# how onnxruntime begins its messages: a code, and where in its own source it stands
RUNTIME_NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ .*?\) (?=[A-Z])")

ABOUT = {
    "load": "the runtime does not take it: ",
    "run": "the runtime fails on it: ",
    "memory": "not enough memory: ",
    "preprocess": "its preprocessing fails: ",
    "input": "",
    "shape": "",
}
"""What a refusal because of a model begins with, after the model's name."""
LONGEST_REASON = 300

USER_INPUT = ("shape", "input")


class ModelRefusedError(StageError):
    """`model` cannot be run there; the others can."""

    def __init__(self, model: str, what: str, *, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.model = model


def converse(
    workspace: Workspace,
    job: Job,
    on_event: Callable[[Event], None],
    *,
    rows: int = 0,
    patience_s: float = PATIENCE_S,
) -> None:
    """Runs one job to its end, handing over each event; `rows`: of inputs, if it is about so many.

    Raises:
        ConfigError: the input that the user gave does not fit the model.
        ModelRefusedError: the runtime refuses the model, or the agent died or fell silent on it.
        StageError: the device refuses the runtime settings.
        TargetError: no agent can be run on the device.
    """
    agent = workspace.write("agent.pyz", agent_zip())
    ticket = workspace.write("job.json", job.model_dump_json().encode())
    last: list[Event] = []
    at: list[Step] = []

    limit_s = longest_s(job, rows, patience_s)
    deadline = time.monotonic() + limit_s
    heard, most = 0, MOST_CHARACTERS + rows * CHARACTERS_OF_ROW

    def receive(line: str) -> None:
        nonlocal heard
        heard += len(line)
        if heard > most:
            raise TargetError(f"the device says more than {most >> 20} MiB about one job", hint=ANOTHER)
        if time.monotonic() > deadline:
            raise _endless(at, limit_s)
        event = read_event(line)
        if event is None:
            return
        last[:] = [event]
        if isinstance(event, Step):
            at[:] = [event]
        on_event(event)

    ended = workspace.run([workspace.python, agent, ticket], receive, patience_s)
    final = last[0] if last else None
    if ended.silent:
        raise _silence(at, patience_s)
    if isinstance(final, Refused):
        raise _refusal(final, at)
    if isinstance(final, Done) and ended.code == 0:
        return
    raise _death(ended, at)


def longest_s(job: Job, rows: int, patience_s: float) -> float:
    """What a job may take that reports something new before `patience_s` is over, again and again, in seconds: the
    wait for its turn, its own time, every step of one set of models, and `ROW_S` for an inference."""
    models = job.models if isinstance(job, (ModelsJob, PredictJob)) else ()
    own = next((getattr(job, name) for name in ("process_s", "seconds") if getattr(job, name, None)), 0.0)
    steps = LONGEST_TURN_S + STEPS * (1 + len(models)) * patience_s
    return float(own + steps + rows * len(models) * ROW_S)


@lru_cache(maxsize=1)
def agent_zip() -> bytes:
    """The agent as one file that Python runs."""
    folder = files("edgekd.agent")
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for source in sorted(folder.iterdir(), key=lambda each: each.name):
            if source.name.endswith(".py"):
                name = "__main__.py" if source.name == "launch.py" else f"agent/{source.name}"
                archive.writestr(name, source.read_bytes())
    return buffer.getvalue()


def _refusal(refused: Refused, at: list[Step]) -> EdgekdError:
    what = " ".join(RUNTIME_NOISE.sub("", refused.what).split())
    what = what if len(what) <= LONGEST_REASON else f"{what[:LONGEST_REASON]}..."
    about = f"{at[0].model}: {ABOUT[refused.cause]}" if at and refused.cause in ABOUT else ""
    hint = HINTS.get(refused.cause)
    if refused.cause in USER_INPUT:
        return ConfigError(f"{about}{what}", hint=hint)
    if refused.cause in ("missing", "protocol", "turn"):
        return TargetError(what, hint=hint)
    if not at or refused.cause == "setting":
        return StageError(what, hint=hint)
    return ModelRefusedError(at[0].model, f"{about}{what}", hint=hint)


def _silence(at: list[Step], patience_s: float) -> EdgekdError:
    what = f"{_doing(at)} has shown no sign of life for {patience_s:.0f} s and was stopped"
    if not at:
        return TargetError(what, hint="`edgekd doctor` says whether it can be measured on")
    hint = "a model this slow, or one that never ends, cannot be measured here"
    return ModelRefusedError(at[0].model, what, hint=hint)


def _endless(at: list[Step], limit_s: float) -> EdgekdError:
    what = f"{_doing(at)} has not come to an end in {limit_s:,.0f} s and was stopped"
    return ModelRefusedError(at[0].model, what) if at else TargetError(what, hint=ANOTHER)


def _death(ended: Ended, at: list[Step]) -> EdgekdError:
    reason = visible(ended.errors.splitlines()[-1], LONGEST_REASON) if ended.errors else "it left no message"
    if not at:
        return TargetError(
            f"the measuring program does not start: {reason}", hint="`edgekd doctor` says what is missing"
        )
    if ended.code < 0:
        return ModelRefusedError(
            at[0].model,
            f"{_doing(at)} killed the measuring process with {_signal_name(-ended.code)}",
            hint="the runtime crashes on this model" if -ended.code != signal.SIGKILL else "out of memory?",
        )
    return ModelRefusedError(at[0].model, f"{_doing(at)} ended the measuring process with code {ended.code}: {reason}")


def _signal_name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")


def _doing(at: list[Step]) -> str:
    return f"{at[0].what} {at[0].model}" if at else "the agent"
