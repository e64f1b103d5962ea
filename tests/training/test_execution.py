from __future__ import annotations

import os

import pytest

from edgekd.config.training import TrainingOptions
from edgekd.training import execution
from edgekd.training.execution import Execution, execution_here, usable_cores
from tests.command import python


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "usable_cores", lambda: 4)


@pytest.mark.parametrize(
    ("batch_size", "shards", "threads"), [(128, 4, 1), (1000, 4, 1), (96, 3, 1), (64, 2, 2), (63, 1, 4), (1, 1, 4)]
)
def test_a_batch_is_cut_for_the_cores_into_parts_that_batch_norm_can_use(
    batch_size: int, shards: int, threads: int
) -> None:
    assert execution_here(TrainingOptions(epochs=1, batch_size=batch_size), []) == Execution("float32", shards, threads)


@pytest.mark.parametrize("isa", ["avx512_bf16", "amx_bf16"])
def test_bfloat16_is_for_processors_that_are_made_for_it(isa: str) -> None:
    assert execution_here(TrainingOptions(epochs=1), ["avx2"]).precision == "float32"
    assert execution_here(TrainingOptions(epochs=1), ["avx2", isa]).precision == "bfloat16"


def test_what_the_options_say_holds_on_every_machine() -> None:
    options = TrainingOptions(epochs=1, batch_size=8, shards=3, precision="float32")
    assert execution_here(options, ["amx_bf16"]) == Execution("float32", 3, 1)


def test_the_usual_variable_lowers_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert usable_cores() == 1
    for odd in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", odd)
        assert usable_cores() == len(os.sched_getaffinity(0))


def test_asking_needs_no_library() -> None:
    program = (
        "import sys; from edgekd.config.training import TrainingOptions; "
        "from edgekd.training.execution import execution_here; execution_here(TrainingOptions(epochs=1), []); "
        "assert not {'torch', 'numpy', 'onnxruntime'} & set(sys.modules)"
    )
    python(program)
