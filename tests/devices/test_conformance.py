"""What every registered target kind must do: its options, and its workspace where a test can reach one from here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from edgekd.config.component import Component, Use, component_class
from edgekd.config.registry import DEVICES
from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.qemu import Qemu
from edgekd.errors import TargetError
from tests.devices.conftest import Server

REQUIRED: dict[str, dict[str, object]] = {"ssh": {"host": "board"}, "hostile": {"does": "dies"}}
PATIENCE_S = 60.0

every_kind = pytest.mark.parametrize("name", DEVICES.members)


def device(name: str, **options: object) -> Device:
    found = TypeAdapter(Annotated[Component, Use("devices")]).validate_python(
        {"use": name, **REQUIRED.get(name, {}), **options}
    )
    assert isinstance(found, Device)
    return found


def reachable(name: str, request: pytest.FixtureRequest) -> Device:
    """A device of the kind that a test can open here; it is skipped where there is none."""
    if name == "ssh":
        server: Server = request.getfixturevalue("server")
        return server.device()
    found = device(name, after=1000) if name == "hostile" else device(name)
    if isinstance(found, Qemu):
        try:
            with found.connect():
                pass
        except TargetError as error:
            pytest.skip(f"{error}: {error.hint}")
    return found


@pytest.fixture(params=DEVICES.members)
def workspace(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    with reachable(request.param, request).connect() as workspace:
        yield workspace


def run(workspace: Workspace, program: str, patience_s: float = PATIENCE_S) -> tuple[Ended, list[str]]:
    lines: list[str] = []
    return workspace.run([workspace.python, "-c", program], lines.append, patience_s), lines


@every_kind
def test_its_options_say_what_they_are_for_and_refuse_others(name: str) -> None:
    kind = component_class(DEVICES, name)
    assert kind.__doc__
    assert "\n" not in kind.__doc__, "`edgekd list` prints it in a line"
    for option, schema in kind.model_json_schema()["properties"].items():
        assert option == "use" or schema["description"], option
    with pytest.raises(ValidationError, match="nonsense"):
        device(name, nonsense=1)


@every_kind
def test_the_schema_of_a_target_file_offers_it(name: str) -> None:
    schema = TypeAdapter(Annotated[Component, Use("devices")]).json_schema()
    (offered,) = (each for each in schema["anyOf"] if each["properties"]["use"] == {"const": name})
    assert offered["additionalProperties"] is False
    assert set(REQUIRED.get(name, {})) == set(offered["required"]) - {"use"}
    assert json.loads(json.dumps(offered)) == offered


@every_kind
def test_it_says_of_itself_what_the_user_reads_and_what_decides_results(name: str) -> None:
    found = device(name)
    assert found.place
    assert found.place.isprintable()
    assert isinstance(found.machine, str)
    assert isinstance(found.counts, str)
    assert not (found.here and found.emulated)
    identity = found.identity()
    assert json.loads(json.dumps(identity)) == identity == device(name).identity()
    assert str(Path.home()) not in json.dumps(identity), "another user's results are the same"


@every_kind
def test_its_options_are_read_without_a_library_that_computes(name: str) -> None:
    program = (
        "import sys; from edgekd.config.component import component_class; from edgekd.config.registry import DEVICES; "
        f"component_class(DEVICES, {name!r}); print({{'numpy', 'torch', 'onnx', 'onnxruntime'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@every_kind
def test_instructions_are_counted_at_each_call_of_getppid_or_refused_in_a_line(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    found = reachable(name, request)
    if not found.counts:
        with pytest.raises(TargetError, match="count"):
            found.count_into(tmp_path / "marks").__enter__()
        return
    with found.count_into(tmp_path / "marks") as workspace:
        assert run(workspace, "import os\nos.getppid()\nfor n in range(10000): pass\nos.getppid()")[0].code == 0
    first, last = map(int, (tmp_path / "marks").read_text().split())
    assert last - first > 10_000


@every_kind
def test_a_workspace_is_private_and_gone_when_it_closes(name: str, request: pytest.FixtureRequest) -> None:
    found = reachable(name, request)
    with found.connect() as workspace, found.connect() as other:
        paths = [Path(each.write("x", b"x")) for each in (workspace, other)]
        assert paths[0] != paths[1]
        assert all(path.read_bytes() == b"x" for path in paths), "here, every device's folder is on this machine"
    assert not any(path.parent.exists() for path in paths)


def test_its_python_has_what_the_agent_needs(workspace: Workspace) -> None:
    ended, lines = run(workspace, "import numpy, onnxruntime; print('ok')")
    assert (ended.code, lines) == (0, ["ok"]), ended.errors


def test_lines_arrive_in_order_with_the_exit_code_and_the_errors(workspace: Workspace) -> None:
    program = (
        "import sys\nfor n in range(3): print('line', n)\nprint('end', end='')\nsys.stderr.write('oh')\nsys.exit(7)"
    )
    ended, lines = run(workspace, program)
    assert lines == ["line 0", "line 1", "line 2", "end"]
    assert (ended.code, ended.errors, ended.silent) == (7, "oh", False)


def test_a_line_arrives_while_the_program_runs(workspace: Workspace) -> None:
    go = workspace.path("go")
    seen: list[str] = []

    def answer(line: str) -> None:
        seen.append(line)
        workspace_file = Path(go)
        workspace_file.write_bytes(b"")

    program = (
        f"import os,time\nprint('ready',flush=True)\nwhile not os.path.exists({go!r}): time.sleep(0.01)\nprint('on')"
    )
    assert workspace.run([workspace.python, "-c", program], answer, PATIENCE_S).code == 0
    assert seen == ["ready", "on"]


def test_a_program_that_says_nothing_is_stopped(workspace: Workspace) -> None:
    ended, _ = run(workspace, "import time; time.sleep(600)", patience_s=1.0)
    assert ended.silent
    assert run(workspace, "print('still there')")[1] == ["still there"]


def test_arguments_arrive_as_they_are(workspace: Workspace) -> None:
    odd = ["a b", "$(touch pwned)", "'", '"', "é", "--", "", "*"]
    lines: list[str] = []
    argv = [workspace.python, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))", *odd]
    assert workspace.run(argv, lines.append, PATIENCE_S).code == 0
    assert json.loads(lines[0]) == odd


def test_files_go_there_and_back(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(bytes(range(256)) * 1000)
    there, small = workspace.put(tmp_path / "sent"), workspace.write("small", b"\0\n")
    program = (
        "import sys\nopen(sys.argv[3], 'wb').write(open(sys.argv[1], 'rb').read() + open(sys.argv[2], 'rb').read())"
    )
    argv = [workspace.python, "-c", program, there, small, workspace.path("result")]
    ended = workspace.run(argv, lambda line: None, PATIENCE_S)
    assert ended.code == 0, ended.errors
    workspace.fetch("result", tmp_path / "result")
    assert (tmp_path / "result").read_bytes() == bytes(range(256)) * 1000 + b"\0\n"
    assert (tmp_path / "sent").stat().st_size == 256_000


def test_a_file_that_is_written_again_has_the_new_content(workspace: Workspace) -> None:
    for content in ("one", "two"):
        path = workspace.write("x", content.encode())
        assert run(workspace, f"print(open({path!r}).read())")[1] == [content]


def test_files_beside_another_lie_beside_it_there(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "model").write_text("whole")
    (tmp_path / "parts" / "one").write_text("part")
    there = workspace.put(tmp_path / "model", ["parts/one"])
    program = "import os,sys\nprint(open(os.path.join(os.path.dirname(sys.argv[1]), 'parts', 'one')).read())"
    lines: list[str] = []
    assert workspace.run([workspace.python, "-c", program, there], lines.append, PATIENCE_S).code == 0
    assert lines == ["part"]
