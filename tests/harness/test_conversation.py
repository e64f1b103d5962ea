"""Everything that can be wrong with a model, its input, or the device: one clear line each."""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import edgekd.agent
from edgekd.config.target import Measuring
from edgekd.devices.local import Local, LocalWorkspace
from edgekd.errors import ConfigError, EdgekdError, StageError, TargetError
from edgekd.harness.conversation import agent_zip, converse
from edgekd.harness.driver import measure
from edgekd.harness.protocol import ColdJob, DescribeJob, Event, JobModel, Step
from edgekd.harness.subject import Subject
from edgekd.progress import Silent
from edgekd.records.runtime import RuntimeSettings
from tests.command import Place
from tests.harness.conftest import save_model

PLAIN_RUN = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
session.run(None, {"x": numpy.zeros((1, 4), numpy.float32)})
"""
"""The runtime alone, without anything of edgekd."""


def bench(subject: Subject | Path, **runtime: object) -> None:
    settings = RuntimeSettings.model_validate(runtime)
    measure(Local(use="local"), settings, Measuring(seconds=1), {"m": subject}, (), 0, Silent())


def relu(path: Path, **options: object) -> Path:
    return save_model(path, [helper.make_node("Relu", ["x"], ["y"])], **options)  # type: ignore[arg-type]


def endless(path: Path) -> Path:
    """A model that loops for ever."""
    return looping(path, np.array(2**62))


def looping(path: Path, trips: np.ndarray) -> Path:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Sin", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "go", "x"], ["y"], body=body)
    return save_model(path, [loop], {"trips": trips, "go": np.array(True)})


def test_a_model_that_returns_nan(tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    with pytest.raises(StageError, match="m returns NaN or infinity in its output 'y'") as caught:
        bench(save_model(tmp_path / "m.onnx", nodes))
    assert caught.value.exit_code == 4


def test_an_operator_that_the_runtime_lacks(tmp_path: Path) -> None:
    nodes = [helper.make_node("Fancy", ["x"], ["y"], domain="com.nowhere")]
    with pytest.raises(StageError, match=r"^m: the runtime does not take it: .*Fancy.* is not a registered"):
        bench(save_model(tmp_path / "m.onnx", nodes, domains=["com.nowhere"]))


def test_an_opset_that_the_runtime_lacks(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"^m: the runtime does not take it: .*[Oo]pset"):
        bench(relu(tmp_path / "m.onnx", opset=99))


def test_a_free_dimension_without_a_shape(tmp_path: Path) -> None:
    path = relu(tmp_path / "m.onnx", shape=("n", "height", 4))
    with pytest.raises(ConfigError, match="'height'.*no shape is given") as caught:
        bench(path)
    assert caught.value.exit_code == 2
    assert caught.value.hint == "give it, for example `--shape input=1,3,224,224`"
    bench(Subject(path, shapes={"x": (2, 3, 4)}))


def test_a_shape_that_contradicts_the_signature(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"m: input 'x' takes \['n', 4\], not \[1, 5\]"):
        bench(Subject(relu(tmp_path / "m.onnx"), shapes={"x": (1, 5)}))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros((3, 4)), "takes float32, the file holds float64"),
        (np.zeros((3, 5), np.float32), r"takes \['N', 4\], the file holds \[3, 5\]"),
        (np.zeros((0, 4), np.float32), r"the file holds \[0, 4\]"),
        (np.zeros(4, np.float32), r"the file holds \[4\]"),
    ],
)
def test_an_input_file_that_does_not_fit(content: np.ndarray, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", content)
    with pytest.raises(ConfigError, match=says):
        bench(Subject(relu(tmp_path / "m.onnx"), inputs=tmp_path / "input.npy"))


def test_an_input_file_with_other_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "input.npz", y=np.zeros((3, 4), np.float32))
    with pytest.raises(ConfigError, match=r"the model takes \['x'\], the file holds \['y'\]"):
        bench(Subject(relu(tmp_path / "m.onnx"), inputs=tmp_path / "input.npz"))


def test_an_input_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "input.npy").write_text("no array")
    with pytest.raises(ConfigError, match=r"input\.npy is no \.npy or \.npz file"):
        bench(Subject(relu(tmp_path / "m.onnx"), inputs=tmp_path / "input.npy"))


def damaged_npz(encrypted: bool) -> bytes:
    """An .npz whose entry is encrypted, or whose packed bytes are changed."""
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.zeros((30, 4), np.float32))
    content = bytearray(stream.getvalue())
    if encrypted:
        content[content.index(b"PK\x03\x04") + 6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
    else:
        content[content.index(b"x.npy") + 25] ^= 0xFF
    return bytes(content)


LYING_HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 4), }"
LYING = (b"\x93NUMPY\x01\x00v\x00" + LYING_HEADER).ljust(127) + b"\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [("e.npz", damaged_npz(True)), ("d.npz", damaged_npz(False)), ("l.npy", LYING + bytes(16)), ("s.npy", LYING[:60])],
)
def test_an_input_file_that_is_encrypted_damaged_or_lies_is_told(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name} is no \.npy or \.npz file"):
        bench(Subject(relu(tmp_path / "m.onnx"), inputs=tmp_path / name))


def test_too_little_memory(tmp_path: Path) -> None:
    grown = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Expand", ["x", "s"], ["e"]), helper.make_node("ReduceMax", ["e"], ["y"], axes=[0])],
        {"s": np.array([100_000_000, 4])},
        shape=(1, 4),
    )
    with pytest.raises(StageError, match="m: not enough memory"):
        bench(grown, memory_limit_mb=400)


@pytest.mark.parametrize(
    ("runtime", "says"),
    [
        ({"affinity": [4095]}, "this system refuses .*affinity"),
        ({"provider": "CUDAExecutionProvider"}, "there is no provider CUDAExecutionProvider"),
    ],
)
def test_settings_that_the_device_does_not_take(runtime: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=says):
        bench(relu(tmp_path / "m.onnx"), **runtime)


def test_a_model_that_never_ends_is_stopped(tmp_path: Path) -> None:
    path = endless(tmp_path / "m.onnx")
    job = ColdJob(runtime=RuntimeSettings(), models=(JobModel(name="m", path=str(path)),))
    with Local(use="local").connect() as workspace, pytest.raises(StageError, match="m has shown no sign of life"):
        converse(workspace, job, lambda event: None, patience_s=2)


def test_a_process_that_dies_is_named_with_its_signal_and_its_model(tmp_path: Path) -> None:
    """A crash made by hand: the next test's are real, and a newer onnxruntime may survive them."""
    path = endless(tmp_path / "m.onnx")
    job = ColdJob(runtime=RuntimeSettings(), models=(JobModel(name="the-model", path=str(path)),))

    def kill_it(event: Event) -> None:
        if isinstance(event, Step):
            threading.Thread(target=_kill_child, args=(signal.SIGSEGV,)).start()

    with (
        Local(use="local").connect() as workspace,
        pytest.raises(StageError, match="starting the-model killed the measuring process with SIGSEGV") as caught,
    ):
        converse(workspace, job, kill_it)
    assert caught.value.exit_code == 4


def dividing(path: Path, *, folded: bool) -> Path:
    """The lowest integer divided by -1: more than the type holds, which an x86 processor answers with a trap.

    folded: all is constant, and the runtime computes it while it loads the model.
    """
    nodes = [
        helper.make_node("Div", ["lowest", "minus_one"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "float"], ["y"]),
    ]
    constants = {"lowest": np.array(-(2**63)), "minus_one": np.array(-1)}
    if not folded:
        del constants["minus_one"]
        constants |= {"zero": np.array(0), "one": np.array(1)}
        nodes[:0] = [
            helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Mul", ["whole", "zero"], ["nothing"]),
            helper.make_node("Sub", ["nothing", "one"], ["minus_one"]),
        ]
    return save_model(path, nodes, constants)


def counting_to_nothing(path: Path) -> Path:
    """A loop whose number of trips is an empty tensor: the runtime reads its first element."""
    return looping(path, np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("make", "doing"),
    [
        (lambda path: dividing(path, folded=False), "running"),
        (lambda path: dividing(path, folded=True), "loading"),
        (counting_to_nothing, "running"),
    ],
    ids=["divides at a run", "divides at the load", "loops at a run"],
)
def test_a_model_that_crashes_the_runtime_is_told_in_one_line(
    make: Callable[[Path], Path], doing: str, tmp_path: Path
) -> None:
    relu(tmp_path / "sound.onnx")
    make(tmp_path / "deadly.onnx")
    number = -subprocess.run([sys.executable, "-c", PLAIN_RUN, tmp_path / "deadly.onnx"], check=False).returncode
    if number <= 0:
        pytest.skip("this onnxruntime, or this processor, survives the model")
    done = Place(tmp_path).edgekd("bench", "sound.onnx", "deadly.onnx", "--seconds", "5", timeout_s=120)
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{doing} deadly.onnx killed the measuring process with {signal.Signals(number).name}",
        "hint: the runtime crashes on this model",
    ]


def _kill_child(number: int) -> None:
    time.sleep(0.3)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and b"agent.pyz" in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), number)


def test_a_device_without_onnxruntime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(LocalWorkspace, "python", str(bare))
    job = DescribeJob(runtime=RuntimeSettings(), seconds=0.1)
    with (
        Local(use="local").connect() as workspace,
        pytest.raises(TargetError, match="this device's Python lacks") as caught,
    ):
        converse(workspace, job, lambda event: None)
    assert caught.value.exit_code == 5
    assert "pip install" in str(caught.value.hint)


def test_a_device_without_python_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalWorkspace, "python", "/nowhere/python3")
    job = DescribeJob(runtime=RuntimeSettings(), seconds=0.1)
    with Local(use="local").connect() as workspace, pytest.raises(TargetError, match="/nowhere/python3"):
        converse(workspace, job, lambda event: None)


def test_an_agent_of_another_version_is_refused() -> None:
    job = DescribeJob(runtime=RuntimeSettings(), seconds=0.1, protocol=99)
    with Local(use="local").connect() as workspace, pytest.raises(EdgekdError, match="speaks protocol 2, not 99"):
        converse(workspace, job, lambda event: None)


def test_the_agent_imports_nothing_of_edgekd() -> None:
    folder = Path(str(edgekd.agent.__path__[0]))
    allowed = {"numpy", "onnxruntime", "agent", *sys.stdlib_module_names}
    for source in folder.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            else:
                assert not isinstance(node, ast.ImportFrom) or node.level == 1, source.name
            assert {name.partition(".")[0] for name in names} <= allowed, source.name


def test_the_agent_is_one_small_file() -> None:
    assert agent_zip()[:2] == b"PK"
    assert len(agent_zip()) < 40_000
