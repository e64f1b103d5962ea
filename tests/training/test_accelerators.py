from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.training import accelerators, execution
from edgekd.training.accelerators import Accelerator
from edgekd.training.execution import Execution, execution_here
from tests.command import DIGITS, REPOSITORY, Place, sets

DRIVER = """
int cuInit(unsigned flags) { return STATUS; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int number) { *device = 100 + number; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  if (attribute != 75) return 1;
  *value = device == 100 ? 9 : 7;
  return 0;
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for NVIDIA's driver is built for Linux")
@pytest.mark.parametrize(("status", "count", "found"), [(0, 1, "9"), (0, 2, "7"), (0, 0, "None"), (100, 1, "None")])
def test_the_driver_is_asked_without_torch(tmp_path: Path, status: int, count: int, found: str) -> None:
    (tmp_path / "driver.c").write_text(DRIVER)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f"-DSTATUS={status}", f"-DCOUNT={count}", "-o", "libcuda.so.1", "driver.c"],
        cwd=tmp_path,
        check=True,
    )
    program = (
        "import sys; from edgekd.training import accelerators; print(accelerators._cuda_capability()); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == found


def test_how_torch_is_built_is_read_as_torch_says() -> None:
    import torch

    assert accelerators._torch_is_built_for_cuda() == (torch.version.cuda is not None)


def test_none_where_torch_finds_none() -> None:
    import torch

    assert ("cuda" in accelerators.accelerators()) == torch.cuda.is_available()
    assert ("mps" in accelerators.accelerators()) == torch.backends.mps.is_available()


@pytest.mark.parametrize(
    ("found", "options", "expected"),
    [
        ([Accelerator("cuda", True)], {}, Execution("bfloat16", 1, 4, "cuda")),
        ([Accelerator("cuda", False)], {}, Execution("float32", 1, 4, "cuda")),
        ([Accelerator("cuda", False)], {"precision": "bfloat16"}, Execution("bfloat16", 1, 4, "cuda")),
        ([Accelerator("cuda", True), Accelerator("mps", True)], {"device": "mps"}, Execution("bfloat16", 1, 4, "mps")),
        ([Accelerator("cuda", True)], {"device": "cpu"}, Execution("float32", 4, 1, "cpu")),
        ([], {}, Execution("float32", 4, 1, "cpu")),
    ],
)
def test_an_accelerator_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, found: list[Accelerator], options: dict[str, str], expected: Execution
) -> None:
    monkeypatch.setattr(execution, "usable_cores", lambda: 4)
    monkeypatch.setattr(execution, "accelerators", lambda: {each.name: each for each in found})
    assert execution_here(TrainingOptions.model_validate({"epochs": 1, **options}), []) == expected


def test_one_that_is_not_there_is_an_error_in_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(execution, "accelerators", lambda: {"cuda": Accelerator("cuda", True)})
    with pytest.raises(ConfigError, match="no mps device that torch can use: there is cuda"):
        execution_here(TrainingOptions(epochs=1, device="mps"), [])
    done = Place(tmp_path).edgekd("run", DIGITS, *sets("teacher.device=mps"))
    assert done.returncode == 2
    assert "teacher.device: this machine has no mps device that torch can use" in done.stderr
    assert "hint: device: auto" in done.stderr
