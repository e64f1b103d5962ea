"""What every registered architecture must do."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from edgekd.config.component import component_class
from edgekd.config.registry import MODELS
from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.models.custom import UserModel
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.network import build_network, count_parameters

from .test_text_networks import OPTIONS

IMAGES: list[tuple[int, ...]] = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 33, 20)]
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv": IMAGES,
    "resnet": IMAGES,
    "ds_cnn": IMAGES,
    "mlp": [*IMAGES, (30,), (1,), (5, 7)],
    "torchvision": IMAGES,
    "ds_resnet": IMAGES,
    "bc_resnet": [*IMAGES, (1, 40, 98)],
    "airbench": [(1, 28, 28), (3, 32, 32), (3, 33, 20)],
}
TEXTS = {"transformers", "text_cnn", "text_ngrams", "text_transformer"}
"""They read numbers of words: `test_text_networks.py`."""
REQUIRED = {"torchvision": {"name": "resnet18"}}


def contract(shape: tuple[int, ...], classes: int = 10) -> ModelContract:
    spec = InputSpec(name="input", shape=shape)
    return ModelContract(modality="any", inputs=(spec,), classes=tuple(map(str, range(classes))))


def model(use: str, **options: object) -> Model:
    made = component_class(MODELS, use).model_validate({"use": use, **REQUIRED.get(use, {}), **options})
    assert isinstance(made, Model)
    return made


def test_there_are_shapes_for_every_model_in_the_registry() -> None:
    assert set(SHAPES) | TEXTS == set(MODELS.members)
    assert {each.partition(" ")[0] for each in OPTIONS} == TEXTS


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name in SHAPES for shape in SHAPES[name]])
def test_every_model_gives_one_logit_a_class_and_learns(name: str, shape: tuple[int, ...]) -> None:
    network = build_network(model(name), contract(shape, classes=7), seed=0).train()
    images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 6])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    logits = network(images)
    assert logits.shape == (4, 7)
    torch.nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters()), "some weights can never learn"
    optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("name", SHAPES)
def test_the_seed_alone_decides_the_weights_and_the_global_generator_stays(name: str) -> None:
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    once, again, other = (build_network(model(name), contract((1, 28, 28)), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), again.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(once.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # by hand: convolution 9·in·out, batch norm 2·out, linear in·out + out
        ("conv", {"width": 8}, (72 + 16) + (1152 + 32) + (4608 + 64) + (320 + 10)),
        ("conv", {"width": 4, "depth": 2, "stages": 1}, (36 + 8) + (144 + 8) + (40 + 10)),
        ("conv", {"width": 6, "depth": 2, "growth": 1.5, "stages": 2, "stride": 2}, 54 + 324 + 486 + 729 + 60 + 100),
        ("mlp", {"width": 1200, "depth": 2}, (784 * 1200 + 1200) + (1200 * 1200 + 1200) + (12000 + 10)),
        ("mlp", {"depth": 0}, 7850),
        ("ds_cnn", {"width": 8, "stages": 1}, (72 + 16) + (72 + 16) + (64 + 16) + (80 + 10)),
        ("conv", {"width": 8, "stages": 1, "kernel": 5}, (200 + 16) + (80 + 10)),
        ("ds_cnn", {"width": 8, "stages": 1, "kernel": 5}, (200 + 16) + (200 + 16) + (64 + 16) + (80 + 10)),
        ("resnet", {"width": 4, "stages": 2, "kernel": 5}, 108 + 2 * 408 + 816 + 1616 + (32 + 16) + (80 + 10)),
        ("resnet", {"width": 4, "stages": 1}, (36 + 8) + 2 * (144 + 8) + (40 + 10)),
        ("resnet", {"width": 4, "stages": 2}, (36 + 8) + 304 + (288 + 16) + (576 + 16) + (32 + 16) + (80 + 10)),
    ],
)
def test_parameters_are_as_counted_by_hand(name: str, options: dict[str, object], parameters: int) -> None:
    assert count_parameters(model(name, **options).build(contract((1, 28, 28)))) == parameters


@pytest.mark.parametrize("name", ["conv", "resnet", "ds_cnn"])
def test_convolutional_models_pool_by_an_operator_and_put_batch_norm_before_relu(name: str) -> None:
    kinds = [type(module).__name__ for module in model(name).build(contract((1, 28, 28))).modules()]
    assert "AdaptiveAvgPool2d" in kinds
    for kind, following in itertools.pairwise(kinds):
        assert kind != "Conv2d" or following == "BatchNorm2d"
        assert following != "ReLU" or kind in ("BatchNorm2d", "Identity")  # Identity: after the residual sum


def test_growth_multiplies_the_channels_of_each_stage() -> None:
    network = model("conv", width=8, growth=1.5, stages=3).build(contract((1, 28, 28)))
    channels = [module.out_channels for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert channels == [8, 12, 18]


@pytest.mark.parametrize("name", ["conv", "resnet", "ds_cnn"])
@pytest.mark.parametrize("stride", [1, 2])
def test_every_stage_but_the_first_halves_the_size_and_so_does_a_stride_of_two(name: str, stride: int) -> None:
    network = model(name, stages=3, depth=2, stride=stride).build(contract((1, 32, 32)))
    sizes, images = [], torch.zeros(1, 1, 32, 32)
    if name != "conv":
        images = network.get_submodule("stem")(images)
        assert images.shape[2] * stride == 32
    for stage in network.get_submodule("stages").children():
        for block in stage.children():
            images = block(images)
            sizes.append(images.shape[2])
    assert [size * stride for size in sizes] == [32, 32, 16, 16, 8, 8]


@pytest.mark.parametrize("name", ["conv", "resnet", "ds_cnn"])
def test_the_layers_of_a_staged_network_have_names_to_read(name: str) -> None:
    network = model(name, stages=3, width=4).build(contract((1, 32, 32)))
    stem = [] if name == "conv" else ["stem"]
    assert [child for child, _ in network.named_children()] == [*stem, "stages", "pool", "flatten", "head"]
    assert isinstance(network.get_submodule("pool"), torch.nn.AdaptiveAvgPool2d)
    before = network.get_submodule("stem")(torch.zeros(2, 1, 32, 32)) if stem else torch.zeros(2, 1, 32, 32)
    second = network.get_submodule("stages.1")(network.get_submodule("stages.0")(before))
    assert second.shape == (2, 8, 16, 16)


def test_the_layers_of_a_multilayer_perceptron_have_names_to_read() -> None:
    images, rows = (model("mlp", depth=2).build(contract(shape)) for shape in ((1, 8, 8), (30,)))
    assert [child for child, _ in images.named_children()] == ["flatten", "hidden", "head"]
    assert [child for child, _ in rows.named_children()] == ["hidden", "head"]
    assert rows.get_submodule("hidden")(torch.zeros(2, 30)).shape == (2, 128)


@pytest.mark.parametrize(
    ("name", "options"),
    [("conv", {"width": 8}), ("conv", {"width": 6, "depth": 2, "growth": 1.5, "stride": 2}), ("mlp", {"depth": 2})],
)
def test_weights_are_drawn_in_the_order_in_which_the_layers_compute(name: str, options: dict[str, object]) -> None:
    """So that a seed gives the weights of every earlier version, which had the layers in one plain sequence."""
    network = build_network(model(name, **options), contract((1, 28, 28)), seed=5)
    torch.manual_seed(5)
    plain: list[torch.nn.Module] = []
    for module in network.modules():
        match module:
            case torch.nn.Conv2d():
                plain.append(
                    torch.nn.Conv2d(module.in_channels, module.out_channels, 3, module.stride, 1, bias=False)  # type: ignore[arg-type]
                )
            case torch.nn.BatchNorm2d():
                plain.append(torch.nn.BatchNorm2d(module.num_features))
            case torch.nn.Linear():
                plain.append(torch.nn.Linear(module.in_features, module.out_features))
            case torch.nn.ReLU() | torch.nn.Flatten() | torch.nn.AdaptiveAvgPool2d():
                plain.append(module)
    expected = torch.nn.Sequential(*plain).eval()
    for made, drawn in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(made, drawn)
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(images), expected(images))


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "mlp"])
def test_a_model_for_images_says_that_rows_are_none(name: str) -> None:
    words = rf"the model {name} needs inputs of shape \(channels, height, width\), these are \(30,\)"
    with pytest.raises(ConfigError, match=words) as error:
        model(name).build(contract((30,)))
    assert "mlp" in str(error.value.hint)


def test_more_stages_than_the_image_can_be_halved_are_refused() -> None:
    assert model("conv", stages=4).build(contract((1, 8, 8))) is not None
    with pytest.raises(ConfigError, match="5 stages halve an image of 8 x 8 to nothing") as error:
        model("conv", stages=5).build(contract((1, 8, 8)))
    assert "at most 4" in str(error.value.hint)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mobilenet_v3_small", None),
        ("shufflenet_v2_x0_5", None),
        ("squeezenet1_1", None),
        ("efficientnet_b0", None),
        ("googlenet", 64),
        ("vgg11", 32),
        ("vit_b_16", 32),
    ],
)
def test_torchvision_models_fit_grey_images_of_28_pixels(name: str, size: int | None) -> None:
    network = build_network(model("torchvision", name=name, size=size), contract((1, 28, 28)), seed=0)
    network.train()
    assert network(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_an_unknown_torchvision_model_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no classification model 'resnet81'") as error:
        model("torchvision", name="resnet81").build(contract((1, 28, 28)))
    assert "resnet18" in str(error.value.hint)


def test_a_model_that_cannot_read_such_small_images_says_so() -> None:
    with pytest.raises(ConfigError, match=r"the model torchvision fails on samples of shape \(1, 8, 8\)") as error:
        build_network(model("torchvision", name="alexnet"), contract((1, 8, 8)), seed=0)
    assert "size" in str(error.value.hint)


def user_model(tmp_path: Path, code: str, **options: object) -> UserModel:
    (tmp_path / "mine.py").write_text(code)
    return UserModel.model_validate({"use": "mine.py:make", "use_group": "models", "use_folder": tmp_path, **options})


def test_a_model_of_the_users_own_gets_the_contract_and_its_options(tmp_path: Path) -> None:
    code = """
from torch import nn
def make(contract, hidden):
    channels, height, width = contract.shape
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * height * width, hidden), nn.Linear(hidden, len(contract.classes)))
"""
    network = build_network(user_model(tmp_path, code, hidden=5), contract((3, 4, 4), classes=3), seed=0)
    assert count_parameters(network) == 48 * 5 + 5 + 15 + 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 5", "returned int"),
        (
            "from torch import nn; return nn.Flatten()",
            r"gives \(2, 64\) for 2 samples, expected logits of shape \(2, 10\)",
        ),
        ("from torch import nn; return nn.Linear(3, 10)", r"fails on samples of shape \(1, 8, 8\)"),
    ],
)
def test_what_is_wrong_with_a_users_model_is_said(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_network(user_model(tmp_path, f"def make(contract):\n    {body}\n"), contract((1, 8, 8)), seed=0)


@pytest.mark.parametrize(
    ("aligned", "widths"),
    [(None, (9, 13, 19)), (8, (8, 16, 16)), (16, (16, 16, 16)), (4, (8, 12, 20)), (3, (9, 12, 18))],
)
def test_aligned_widths_are_the_nearest_multiples_and_at_least_one(
    aligned: int | None, widths: tuple[int, ...]
) -> None:
    """9, 13.05 and 18.92 channels, by hand."""
    network = build_network(model("conv", width=9, growth=1.45, aligned=aligned), contract((1, 28, 28)), seed=0)
    outputs = [layer.out_channels for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert tuple(outputs) == widths


@pytest.mark.parametrize("name", ["conv", "resnet", "ds_cnn"])
def test_every_convolution_of_an_aligned_network_has_such_a_multiple_of_outputs(name: str) -> None:
    network = build_network(model(name, width=11, growth=1.7, aligned=8), contract((1, 28, 28)), seed=0)
    outputs = [layer.out_channels for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    # the depthwise ones first see the stem, which is aligned too
    assert outputs
    assert all(width % 8 == 0 for width in outputs)


def test_aligned_is_a_plain_number_of_the_fingerprint_and_of_no_machine() -> None:
    """A word such as `local` would train another network on another machine."""
    identity = model("conv", aligned=16).identity()
    assert isinstance(identity, dict)
    options = identity["options"]
    assert isinstance(options, dict)
    assert options["aligned"] == 16
    with pytest.raises(ValueError, match="integer"):
        model("conv", aligned="local")
