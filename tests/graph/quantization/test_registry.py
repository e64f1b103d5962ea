"""What holds for every registered scheme, and for one that a test registers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.config.component import Use
from edgekd.config.registry import SCHEMES
from edgekd.config.section import Section
from edgekd.data.modalities.base import FedRows
from edgekd.errors import StageError
from edgekd.graph.device_form import Ranges
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.runtime import run_onnx

from ..conftest import Digits, fitting
from .conftest import Trained, agreement

PROCESS = """
import json, sys, numpy as np
from pathlib import Path
from edgekd.config.component import component_class
from edgekd.config.registry import SCHEMES
from edgekd.graph.quantization.quantize import make_candidate
fp32, feeds, out, use = sys.argv[1:]
use = json.loads(use)
scheme = component_class(SCHEMES, use["use"]).model_validate(use)
make_candidate(scheme, Path(fp32), dict(np.load(feeds)), Path(out))
assert "torch" not in sys.modules
"""

LIGHT = """
import json, sys
from edgekd.config.component import component_class
from edgekd.config.registry import SCHEMES
schemes = [component_class(SCHEMES, name).model_validate({"use": name}) for name in SCHEMES.members]
told = {each.use: (each.session, each.samples_wanted) for each in schemes}
assert not {"torch", "onnx", "onnxruntime"} & set(sys.modules)
print(json.dumps(told))
"""


class Options(Section):
    scheme: Annotated[Scheme, Use("schemes")]


def scheme_of(name: str) -> Scheme:
    return Options.model_validate({"scheme": fitting(name)}).scheme


def conforms(scheme: Scheme, trained: Trained, folder: Path) -> None:
    """A small file that gives the answers of the fp32 one under its own session options, each time the same."""
    feeds = {name: array[: scheme.samples_wanted] for name, array in trained.train.items()}
    made = make_candidate(scheme, trained.fp32, feeds, folder / "one.onnx")
    again = make_candidate(scheme, trained.fp32, feeds, folder / "two.onnx")
    before, after = describe(trained.fp32), describe(folder / "one.onnx")
    expected = run_onnx(trained.fp32, trained.held_out)
    given = run_onnx(folder / "one.onnx", trained.held_out, made.session)

    # where products of 8 bits overflow, they do so on x86 without VNNI: these bounds hold there too
    assert agreement(expected, given) >= (0.9 if made.saturates_without_vnni else 0.98)
    assert np.abs(expected - given).mean() <= (0.05 if made.saturates_without_vnni else 0.005) * np.ptp(expected)
    assert (folder / "one.onnx").read_bytes() == (folder / "two.onnx").read_bytes()
    assert made == again
    assert made.facts == after
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    assert (after.parameters, after.opset, after.ir_version) == (before.parameters, before.opset, before.ir_version)
    assert after.size_bytes <= before.size_bytes
    assert made.calibration_samples == scheme.samples_wanted
    assert made.session == scheme.session
    assert all(isinstance(each, str) for entry in made.session.items() for each in entry)
    assert not (made.execution.in_float and made.saturates_without_vnni)


@pytest.mark.parametrize("name", SCHEMES.members)
def test_every_scheme_makes_a_file_with_the_answers_of_the_fp32_one_of_every_kind_of_input(
    name: str, trained: Trained, tmp_path: Path
) -> None:
    if name == "padded" and "image" not in trained.train:  # vectors have no channels, a Concat is not followed
        with pytest.raises(StageError, match=r"no convolution|channels reach Concat"):
            conforms(scheme_of(name), trained, tmp_path)
        return
    conforms(scheme_of(name), trained, tmp_path)


@pytest.mark.parametrize("name", SCHEMES.members)
def test_every_scheme_gives_the_same_bytes_in_another_process_that_prints_nothing(
    name: str, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    feeds = {"image": digits.train["image"][:64]}
    make_candidate(scheme_of(name), fp32, feeds, tmp_path / "here.onnx")
    np.savez(tmp_path / "feeds.npz", image=feeds["image"])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROCESS,
            fp32,
            tmp_path / "feeds.npz",
            tmp_path / "there.onnx",
            json.dumps(fitting(name)),
        ],
        env={"PYTHONHASHSEED": "11"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()


def test_what_a_plan_asks_of_schemes_needs_no_runtime() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)

    told = json.loads(done.stdout)
    assert set(told) == set(SCHEMES.members)
    assert told["fp32"] == [{}, 0]
    assert told["int8_weights"] == [{"session.disable_quant_qdq": "1"}, 0]
    assert told["int8_qdq"] == [{}, 512]


def test_the_fp32_candidate_is_the_exported_file_to_the_byte(fp32: Path, tmp_path: Path) -> None:
    made = make_candidate(scheme_of("fp32"), fp32, {}, tmp_path / "candidate.onnx")

    assert (tmp_path / "candidate.onnx").read_bytes() == fp32.read_bytes()
    assert made.execution.in_float
    assert not made.saturates_without_vnni


class HalfWeights(Scheme):
    """float16 weights behind Cast: what a scheme of one's own takes."""

    smallest: int = 1000

    def apply(self, fp32: Path, feeds: FedRows, ranges: Ranges) -> bytes:
        model = onnx.load(fp32)
        casts = []
        for tensor in model.graph.initializer:
            weights = numpy_helper.to_array(tensor)
            if weights.size >= self.smallest:
                casts.append(helper.make_node("Cast", [f"{tensor.name}_half"], [tensor.name], to=TensorProto.FLOAT))
                tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), f"{tensor.name}_half"))
        nodes = [*casts, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def test_a_scheme_of_ones_own_takes_a_class_and_a_line_of_the_registry(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEMES.members, "half", f"{__name__}:HalfWeights")
    conforms(scheme_of("half"), trained, tmp_path)

    assert describe(tmp_path / "one.onnx").size_bytes < 0.7 * describe(trained.fp32).size_bytes
    small = Options.model_validate({"scheme": {"use": "half", "smallest": 10**6}}).scheme
    make_candidate(small, trained.fp32, {}, tmp_path / "none.onnx")
    assert (tmp_path / "none.onnx").read_bytes() == trained.fp32.read_bytes()
