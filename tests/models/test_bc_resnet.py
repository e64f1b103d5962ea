from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgekd.config.component import component_class
from edgekd.config.export import ExportOptions
from edgekd.config.registry import SCHEMES
from edgekd.errors import ConfigError
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.overflow import sums_overflow_here
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.runtime import run_onnx
from edgekd.models.bc_resnet import BroadcastedResNet
from edgekd.models.broadcasted import Broadcasted
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.network import build_network, count_parameters


def contract(shape: tuple[int, ...], classes: int = 10) -> ModelContract:
    return ModelContract(
        modality="sound",
        inputs=(InputSpec(name="mel", shape=shape),),
        classes=tuple(str(number) for number in range(classes)),
    )


def built(shape: tuple[int, ...], classes: int = 10, **options: float) -> torch.nn.Module:
    model = BroadcastedResNet.model_validate({"use": "bc_resnet", **options})
    return build_network(model, contract(shape, classes), seed=0).eval()


@pytest.mark.parametrize("shape", [(1, 32, 61), (1, 40, 98), (1, 40, 49)])
def test_at_width_1_it_has_fewer_than_10_000_parameters_whatever_the_size_of_its_input(shape: tuple[int, ...]) -> None:
    # by hand: a block of c channels has c² + 11 c; one that changes from b channels has b c + 2 c more
    stages = (296 + 152) + (396 + 276) + (656 + 3 * 432) + (980 + 3 * 620)
    ends = (16 * 25 + 32) + (20 * 25 + 40) + (20 * 32 + 64)
    assert count_parameters(built(shape)) == stages + ends + (32 * 10 + 10) == 7918
    assert count_parameters(built(shape, classes=12)) == 7984


def test_width_multiplies_all_channels() -> None:
    channels = {
        width: [
            each.out_channels for each in built((1, 40, 49), width=width).modules() if isinstance(each, torch.nn.Conv2d)
        ]
        for width in (1.0, 1.5)
    }
    assert channels[1.5] == [round(1.5 * each) for each in channels[1.0]]
    assert sorted(set(channels[1.0])) == [8, 12, 16, 20, 32]


def test_pitch_is_halved_three_times_and_time_never() -> None:
    network, bands = built((1, 40, 49)), torch.zeros(1, 1, 40, 49)
    bands = network.get_submodule("stem")(bands)
    sizes = [tuple(bands.shape[2:])]
    for stage in network.get_submodule("stages").children():
        bands = stage(bands)
        sizes.append(tuple(bands.shape[2:]))
    assert sizes == [(20, 49), (20, 49), (10, 49), (5, 49), (5, 49)]


def test_what_is_seen_along_time_is_added_to_every_pitch_alike() -> None:
    torch.manual_seed(0)
    block = Broadcasted(3, 3, 6, 1, 2).eval()
    block.activation = torch.nn.Identity()  # type: ignore[assignment]  # to look at the sum itself
    x = torch.randn(2, 3, 6, 9)
    added = block(x) - x - block.pitch(x)
    assert added.std(dim=(1, 3)).min() > 0
    torch.testing.assert_close(added, added[:, :, :1].expand_as(added), rtol=0, atol=1e-5)


def test_a_dilated_block_sees_frames_so_far_apart() -> None:
    torch.manual_seed(0)
    block = Broadcasted(16, 16, 4, 1, 3).eval()
    click = torch.zeros(1, 16, 4, 15)
    click[..., 7] = 5.0
    reached = (block.time(click) - block.time(torch.zeros_like(click))).abs().amax(dim=(0, 1, 2))
    assert reached.nonzero().flatten().tolist() == [4, 7, 10]


def test_an_input_of_too_few_pitches_is_refused_with_a_way_out() -> None:
    assert built((1, 8, 3)) is not None
    with pytest.raises(ConfigError, match="halves the 7 pitches of its input three times") as error:
        built((1, 7, 20))
    assert "8 pitches" in str(error.value.hint)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bc_resnet") / "m.onnx"
    network = built((1, 24, 61)).train()
    torch.manual_seed(0)
    for _ in range(30):  # batch norm learns what comes, so that the answers differ
        network(torch.randn(64, 1, 24, 61))
    export_onnx(network.eval(), contract((1, 24, 61)), path, ExportOptions())
    return path


def test_its_file_has_only_operators_that_8_bit_files_have_too(exported: Path) -> None:
    found = {node.op_type for node in onnx.load(exported).graph.node}
    assert found == {"Conv", "Relu", "Add", "AveragePool", "GlobalAveragePool", "Reshape", "Gemm"}


@pytest.mark.parametrize("scheme", ["int8_qdq", "int8_qoperator"])
def test_in_8_bits_it_says_nearly_the_same(exported: Path, scheme: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    feeds = {"mel": torch.randn(200, 1, 24, 61).numpy()}
    reduced = sums_overflow_here()  # then weights have 7 bits
    made = component_class(SCHEMES, scheme).model_validate({"use": scheme, "reduce_range": reduced})
    assert isinstance(made, Scheme)
    make_candidate(made, exported, feeds, tmp_path / "int8.onnx")
    exact, rounded = (run_onnx(path, feeds) for path in (exported, tmp_path / "int8.onnx"))
    spread = exact - exact.mean(axis=0)
    correlation = np.corrcoef(spread.ravel(), (rounded - exact.mean(axis=0)).ravel())[0, 1]
    assert correlation > (0.85 if reduced else 0.9)  # of a net that learned nothing, on noise
