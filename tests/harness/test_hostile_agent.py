"""Whatever a device answers: a record or one line, never a traceback."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekd.config.target import Measuring
from edgekd.devices.base import Device, Ended
from edgekd.devices.local import Local, LocalWorkspace
from edgekd.errors import EdgekdError
from edgekd.graph.execution import executed
from edgekd.harness.answers import predict
from edgekd.harness.doctor import examine
from edgekd.harness.driver import measure
from edgekd.harness.environment import identity_of
from edgekd.harness.optimising import Wanted, optimise
from edgekd.harness.screening import Trial, screen
from edgekd.harness.subject import Subject
from edgekd.progress import Silent
from edgekd.records.doctor import Health
from edgekd.records.latency import LatencyRecord
from edgekd.records.runtime import RuntimeSettings
from edgekd.records.screening import ScreeningRecord

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=10)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@dataclass
class Said:
    """One job's answer: lines, how it ended, and the files that it left, by ending."""

    lines: list[str] = field(default_factory=list)
    ended: Ended = field(default_factory=lambda: Ended(0, ""))
    files: dict[str, bytes] = field(default_factory=dict)


class Scripted(Device):
    """A device that answers what it is told to, job after job, the last one again and again."""

    said: tuple[Any, ...]

    @contextmanager
    def connect(self):  # type: ignore[no-untyped-def]
        with Local(use="local").connect() as workspace:
            yield ScriptedWorkspace(Path(workspace.path("x")).parent, list(self.said))


class ScriptedWorkspace(LocalWorkspace):
    def __init__(self, folder: Path, said: list[Said]) -> None:
        super().__init__(folder)
        self.folder = folder
        self.said = said

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        job = json.loads(Path(argv[-1]).read_text())
        for line in said.lines:
            on_line(line)
        paths = files_of(job)
        for path, content in zip(paths, said.files.values(), strict=False):
            Path(path).write_bytes(content)
        return said.ended


class Recorded(LocalWorkspace):
    """This machine, every answer kept."""

    kept: list[Said] = []

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        said = Said()

        def both(line: str) -> None:
            said.lines.append(line)
            on_line(line)

        said.ended = super().run(argv, both, patience_s)
        job = json.loads(Path(argv[-1]).read_text())
        paths = files_of(job)
        said.files = {path: Path(path).read_bytes() for path in paths if Path(path).exists()}
        self.kept.append(said)
        return said.ended


def files_of(job: dict[str, Any]) -> list[str]:
    """Where a job wants files written."""
    if job["task"] == "predict":
        return [model[key] for model in job["models"] for key in ("result", "graph") if model[key]]
    if job["task"] == "optimise":
        return [each["result"] for each in job["saved"]]
    return [job["result"]] if "result" in job else []


class Recorder(Device):
    @contextmanager
    def connect(self):  # type: ignore[no-untyped-def]
        with Local(use="local").connect() as workspace:
            yield Recorded(Path(workspace.path("x")).parent)


def record(job: Callable[[Device], object]) -> list[Said]:
    Recorded.kept = []
    job(Recorder(use="recorder"))
    return Recorded.kept


@pytest.fixture(scope="session")
def jobs(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[Device], object]]:
    pair = {"a": models["small"], "b": models["small"]}
    inputs = np.zeros((3, 1, 14, 14), np.float32)
    file = tmp_path_factory.mktemp("optimised") / "small.ort"
    short = Measuring(seconds=0.3, screen_seconds=0.3)
    screened = {name: Trial(Subject(models["small"]), executed) for name in ("fp32", "other")}
    runtime = RuntimeSettings(nice=os.getpriority(os.PRIO_PROCESS, 0))

    def saved(device: Device) -> dict[str, bytes]:
        optimise(device, runtime, {"small": Subject(models["small"])}, {file: Wanted("small", "all", "ORT")})
        return {"small": file.read_bytes()}

    return {
        "predict": lambda device: predict(device, runtime, pair, {"x": inputs}, Silent()),
        "examine": lambda device: examine(device, runtime, seconds=0.02),
        "measure": lambda device: measure(device, runtime, short, dict(pair), [("b", "a")], 0, Silent()),
        "screen": lambda device: screen(
            device, runtime, short, "t", screened, {"x": inputs}, np.zeros(3, np.int64), 1.0, 0, Silent()
        ),
        "identify": identity_of,
        "optimise": saved,
    }


@pytest.fixture(scope="session")
def honest(jobs: dict[str, Callable[[Device], object]]) -> dict[str, list[Said]]:
    return {name: record(job) for name, job in jobs.items()}


def try_it(job: Callable[[Device], object], said: list[Said]) -> None:
    told: object
    try:
        told = job(Scripted(use="scripted", said=tuple(said)))
    except EdgekdError as error:
        told = str(error)
    assert isinstance(told, (LatencyRecord, ScreeningRecord, Health, dict)) or (
        isinstance(told, str) and len(told.splitlines()) == 1
    )


def mutated(draw: Any, said: Said) -> Said:
    """An honest answer with one thing in it changed."""
    lines = list(said.lines)
    kind = draw(st.sampled_from(["value", "drop", "repeat", "noise", "file", "end"]))
    place = draw(st.integers(0, len(lines) - 1))
    if kind == "value":
        event = json.loads(lines[place])
        node, key = event, draw(st.sampled_from(sorted(event)))
        if isinstance(event[key], dict) and event[key]:
            node, key = event[key], draw(st.sampled_from(sorted(event[key])))
        node[key] = draw(JSON)
        lines[place] = json.dumps(event)
    elif kind == "drop":
        del lines[place]
    elif kind == "repeat":
        lines.insert(place, draw(st.sampled_from(lines)))
    elif kind == "noise":
        lines[place] = draw(st.text(max_size=50) | JSON.map(json.dumps))
    files = dict(said.files)
    if kind == "file" and files:
        name = draw(st.sampled_from(sorted(files)))
        files[name] = draw(st.binary(max_size=200) | st.sampled_from(odd_files(files[name])))
    ended = said.ended
    if kind == "end":
        ended = Ended(draw(st.integers(-300, 300)), draw(st.text(max_size=50)), draw(st.booleans()))
    return Said(lines, ended, files)


def odd_files(content: bytes) -> list[bytes]:
    """Files that are nearly what was asked for."""
    found = [content[: len(content) // 2], content + b"x", content[:-1]]
    for array in (
        np.zeros((2, 5), np.float32),
        np.zeros((3, 5), "U3"),
        np.array(1.0),
        np.full((3, 8), np.nan, np.float32),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append(buffer.getvalue())
    if zipfile.is_zipfile(io.BytesIO(content)):
        with np.load(io.BytesIO(content)) as archive:
            arrays = dict(archive)
        for name, array in arrays.items():
            for other in (array[:0], array[:1], -array, array.astype(np.float64), array.reshape(-1, 1)):
                buffer = io.BytesIO()
                np.savez(buffer, **{**arrays, name: other})
                found.append(buffer.getvalue())
        buffer = io.BytesIO()
        np.savez(buffer, **dict(list(arrays.items())[1:]))
        found.append(buffer.getvalue())
    return found


@pytest.mark.parametrize("name", ["predict", "examine", "measure", "screen", "identify", "optimise"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_change_of_an_honest_answer_is_a_record_or_a_line(
    name: str, jobs: dict[str, Callable[[Device], object]], honest: dict[str, list[Said]]
) -> None:
    @FUZZ
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        said = list(honest[name])
        place = data.draw(st.integers(0, len(said) - 1))
        said[place] = mutated(data.draw, said[place])
        try_it(jobs[name], said)

    fuzz()


@pytest.mark.parametrize("name", ["predict", "examine", "measure", "screen", "identify", "optimise"])
@given(lines=st.lists(st.text(max_size=30) | JSON.map(json.dumps), max_size=4), code=st.integers(-70, 300))
@settings(max_examples=40)
def test_pure_noise_is_a_line(
    name: str, lines: list[str], code: int, jobs: dict[str, Callable[[Device], object]]
) -> None:
    with pytest.raises(EdgekdError):
        jobs[name](Scripted(use="scripted", said=(Said(lines, Ended(code, "noise")),)))
