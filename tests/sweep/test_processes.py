"""Jobs in processes of this machine, some of which die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import JsonValue

from edgekd.errors import StageError
from edgekd.pipeline.plan import Node, Plan
from edgekd.pipeline.stage import Context, Stage
from edgekd.sweep.job import Failed, Job, Outcome, decided_by
from edgekd.sweep.processes import Processes
from edgekd.sweep.workers import ATTEMPTS
from tests.command import REPOSITORY
from tests.conftest import Told


@dataclass(frozen=True)
class Dying(Stage):
    """Kills its process so many times, or fails; then writes in which process it ran with how many cores."""

    folder: Path
    name_of_it: str
    deaths: int = 0
    error: str = ""

    name = "dying"
    outputs = {"out": "out.txt"}
    libraries = ()

    def identity(self) -> JsonValue:
        return {"name": self.name_of_it, "folder": str(self.folder)}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        begun = self.folder / self.name_of_it
        with begun.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        if len(begun.read_text().splitlines()) <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error == "bug":
            raise ZeroDivisionError("a bug")
        if self.error:
            raise StageError(self.error)
        if self.name_of_it == "long":
            time.sleep(60)
        context.output("out").write_text(os.environ.get("OMP_NUM_THREADS", ""))
        context.warn("this is always told")
        return "ran"


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))


@contextmanager
def processes(count: int, told: Told, cores: int | None = None) -> Iterator[Processes]:
    found = Processes(count, cores, told, follow=False)
    try:
        yield found
    finally:
        found.close()


def job(folder: Path, name: str, deaths: int = 0, error: str = "") -> Job:
    plan = Plan("p", 0, (Node("dying", Dying(folder, name, deaths, error), {}),))
    return Job(name, "student", plan, {}, decided_by(plan, {}))


def outcomes(workers: Processes, jobs: list[Job]) -> dict[str, Outcome]:
    for each in jobs:
        workers.submit(each)
    return {done.label: outcome for done, outcome in (workers.finished() for _ in jobs)}


def begun(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines()


def test_the_processes_stay_for_all_jobs_and_are_as_many_as_asked_for(tmp_path: Path, told: Told) -> None:
    jobs = [job(tmp_path, f"job{number}") for number in range(6)]
    with processes(2, told) as workers:
        found = outcomes(workers, jobs)
    assert not any(isinstance(each, Failed) for each in found.values())
    assert len({pid for each in jobs for pid in begun(tmp_path, each.label)}) <= 2
    assert told.lines.count("warning: this is always told") == 1


def test_a_job_whose_process_was_killed_is_begun_again(tmp_path: Path, told: Told) -> None:
    with processes(1, told) as workers:
        found = outcomes(workers, [job(tmp_path, "dies", deaths=1), job(tmp_path, "next")])
    assert not any(isinstance(each, Failed) for each in found.values())
    assert len(begun(tmp_path, "dies")) == 2
    assert any("was killed by signal 9; it is begun again" in line for line in told.lines)


def test_a_job_that_always_kills_its_process_fails_and_the_others_do_not(tmp_path: Path, told: Told) -> None:
    with processes(2, told) as workers:
        found = outcomes(workers, [job(tmp_path, "dies", deaths=99), job(tmp_path, "next")])
    failed = found["dies"]
    assert isinstance(failed, Failed)
    assert f"{ATTEMPTS} times" in failed.why
    assert len(begun(tmp_path, "dies")) == ATTEMPTS
    assert not isinstance(found["next"], Failed)


def test_an_error_is_the_outcome_of_its_job_alone(tmp_path: Path, told: Told) -> None:
    jobs = [job(tmp_path, "fails", error="it did not converge"), job(tmp_path, "bug", error="bug"), job(tmp_path, "ok")]
    with processes(1, told) as workers:
        found = outcomes(workers, jobs)
    assert found["fails"] == Failed("dying: it did not converge")
    assert found["bug"] == Failed("ZeroDivisionError: a bug")
    assert any("Traceback" in line for line in told.lines)
    assert not isinstance(found["ok"], Failed)


def test_each_process_computes_with_its_share_of_the_cores(tmp_path: Path, told: Told) -> None:
    with processes(2, told, cores=3) as workers:
        outcomes(workers, [job(tmp_path, "a")])
    (out,) = (tmp_path / "store" / "blobs").glob("*/*.txt")
    assert out.read_text() == "3"


def test_closing_ends_what_is_running(tmp_path: Path, told: Told) -> None:
    with processes(1, told) as workers:
        workers.submit(job(tmp_path, "long"))
        (pid,) = wait_for(tmp_path / "long")
    assert not alive(int(pid))


def test_a_process_ends_when_the_one_that_drives_it_was_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.sweep.test_processes import job, Processes\n"
        "from edgekd.progress import Silent\n"
        "if __name__ == '__main__':\n"
        "    workers = Processes(1, None, Silent(), follow=False)\n"
        "    workers.submit(job(Path(sys.argv[1]), 'long'))\n"
        "    workers.finished()\n"
    )
    (tmp_path / "drive.py").write_text(program)
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen(
        [sys.executable, tmp_path / "drive.py", tmp_path], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        (pid,) = wait_for(tmp_path / "long")
    finally:
        driver.kill()
        driver.wait()
    deadline = time.monotonic() + 20
    while alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(pid))


def wait_for(path: Path) -> list[str]:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path.read_text().splitlines()


def alive(pid: int) -> bool:
    """Whether a process still runs; one that nobody has waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
