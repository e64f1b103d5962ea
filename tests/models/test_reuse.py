"""A network that ends in another one's classifier: what it is made of, and what it is made from."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import ConfigError
from edgekd.models.base import Model, drawn_inputs
from edgekd.models.reuse import Ending, Projector, Reuse, ending, lend, reusing
from edgekd.models.reused import Reused
from edgekd.models.whitening import Scaled
from edgekd.training.network import build_network
from edgekd.training.taps import answers

from .test_models import contract, model
from .text_contracts import model as text_model
from .text_contracts import save_bert, text_contract

IMAGES = (3, 16, 16)


def reused(body: Model, lender: Model, shape: tuple[int, ...] = IMAGES, reduction: int = 2) -> nn.Module:
    whole = Reused(use="reused", body=body, lender=lender, reduction=reduction)
    return build_network(whole, contract(shape), seed=5)


def reuse_of(network: nn.Module) -> Reuse:
    return next(each.reuse for each in network.modules() if isinstance(each, Projector))


def found(made: Model, shape: tuple[int, ...] = IMAGES) -> Ending:
    return ending(made.build(contract(shape)), drawn_inputs(contract(shape), 8, seed=0), made.use)


@pytest.mark.parametrize(
    ("made", "classifier", "pool", "maps", "mean", "rectified"),
    [
        (model("conv", width=4, stages=2), "head", "pool", (8, 8, 8), True, True),
        (model("resnet", width=4, stages=3), "head", "pool", (16, 4, 4), True, True),
        (model("ds_resnet", stem=4, width=12, blocks=(1, 1)), "head", "pool", (12, 4, 4), True, True),
        (model("airbench", widths=(8, 12)), "head", "pool", (12, 3, 3), False, False),
        (model("mlp", width=9), "head", None, (), False, True),
        (model("torchvision", name="resnet18", size=64), "1.fc", "1.avgpool", (512, 2, 2), True, True),
        (model("torchvision", name="mobilenet_v3_small", size=64), "1.classifier.3", None, (), False, False),
    ],
    ids=lambda each: each.use if isinstance(each, Model) else "",
)
def test_where_a_network_ends_is_found(
    made: Model, classifier: str, pool: str | None, maps: tuple[int, ...], mean: bool, rectified: bool
) -> None:
    torch.manual_seed(0)
    end = found(made)
    assert (end.classifier, end.pool, end.maps, end.mean, end.rectified) == (classifier, pool, maps, mean, rectified)


def test_it_is_the_teachers_classifier_of_the_projected_features_and_layers_before_keep_names_and_weights() -> None:
    body, lender = model("conv", width=4, stages=2), model("resnet", width=6, stages=3)
    alone, network = (build_network(body, contract(IMAGES), seed=5), reused(body, lender))
    teacher = build_network(lender, contract(IMAGES), seed=9)
    reuse = lend(teacher, network)
    images = torch.randn(7, *IMAGES, generator=torch.Generator().manual_seed(1))
    maps = alone.get_submodule("stages")(images)
    projected = network.get_submodule(reuse.projector)(maps)
    assert projected.shape == (7, 24, 4, 4), "the teacher's channels, and its maps' size"
    expected = projected.mean(dim=(2, 3)) @ teacher.head.weight.T + teacher.head.bias  # type: ignore[union-attr]
    assert torch.allclose(network(images), expected, atol=1e-5)
    assert [name for name, each in network.named_parameters() if not each.requires_grad] == ["head.weight", "head.bias"]
    assert (reuse.projector, reuse.features) == ("pool.projector", "pool:input")


def test_the_projector_of_maps_is_the_papers_bottleneck_and_narrower_with_a_larger_reduction() -> None:
    for reduction, inner in ((1, 24), (2, 12), (4, 6), (64, 1)):
        network = reused(model("conv", width=4, stages=3), model("resnet", width=6, stages=3), reduction=reduction)
        layers = list(network.get_submodule("pool.projector"))  # type: ignore[call-overload]
        convolutions = [each for each in layers if isinstance(each, nn.Conv2d)]
        assert [(each.in_channels, each.out_channels, each.kernel_size) for each in convolutions] == [
            (16, inner, (1, 1)),
            (inner, inner, (3, 3)),
            (inner, 24, (1, 1)),
        ]
        assert isinstance(layers[-1], nn.ReLU), "the teacher's features end in one"
        assert not any(isinstance(each, nn.AvgPool2d) for each in layers), "maps are of one size"


def test_vectors_have_a_linear_projector_of_both_widths() -> None:
    network = reused(model("mlp", width=5), model("mlp", width=40, depth=2), shape=(30,))
    reuse = reuse_of(network)
    projector = network.get_submodule(reuse.projector)
    assert isinstance(projector, Projector)
    linear, relu = projector
    assert isinstance(linear, nn.Linear)
    assert (linear.in_features, linear.out_features) == (5, 40)
    assert isinstance(relu, nn.ReLU)
    assert (reuse.classifier, reuse.features) == ("head.classifier", "head:input")


@pytest.mark.parametrize("lender", ["mlp", "airbench", "ds_resnet", "torchvision"])
@pytest.mark.parametrize("body", ["mlp", "conv", "airbench"])
def test_any_student_meets_any_teacher(body: str, lender: str) -> None:
    options = {"torchvision": {"name": "mobilenet_v3_small"}}
    network = reused(model(body), model(lender, **options.get(lender, {}))).train()
    images = torch.randn(4, *IMAGES, generator=torch.Generator().manual_seed(0))
    functional.cross_entropy(network(images), torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    assert all((each.grad is not None) == each.requires_grad for each in network.parameters())


def test_a_classifier_with_a_forward_of_its_own_is_taken_whole() -> None:
    network = reused(model("conv", width=4), model("airbench", widths=(8, 12)))
    assert isinstance(network.get_submodule("head"), Scaled)


def test_features_that_can_be_negative_are_met_without_a_relu_at_the_end() -> None:
    network = reused(model("conv", width=4), model("airbench", widths=(8, 12)))
    layers = list(network.get_submodule("pool.projector"))  # type: ignore[call-overload]
    assert isinstance(layers[-1], nn.BatchNorm2d)


class Functional(nn.Module):
    """It registers its classifier first and pools without a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 10)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.relu(self.conv(x)).mean(dim=(2, 3)))
        return logits


def test_what_no_layer_gives_is_read_at_the_classifier() -> None:
    lender = Functional()
    network = reusing(
        Functional(), lender, drawn_inputs(contract(IMAGES), 8, seed=0), reduction=2, names=("own", "own")
    )
    reuse = reuse_of(network)
    assert (reuse.projector, reuse.classifier, reuse.features) == ("fc.projector", "fc.classifier", "fc:input")
    images = torch.randn(3, *IMAGES, generator=torch.Generator().manual_seed(0))
    said = answers(lender, (images,), [reuse.features])
    assert torch.equal(said.taps[reuse.features], torch.relu(lender.conv(images)).mean(dim=(2, 3)))


class GlobalConvolution(nn.Sequential):
    """A convolution that covers the whole map is no pooling: it must not be lost."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 6, 16), nn.Flatten(), nn.Linear(6, 10))


def test_a_layer_with_weights_is_never_taken_for_pooling() -> None:
    assert ending(GlobalConvolution(), drawn_inputs(contract(IMAGES), 8, seed=0), "own").pool is None


@pytest.mark.parametrize(
    "last",
    [
        nn.Sequential(nn.Linear(8, 10), nn.LogSoftmax(1)),
        nn.Sequential(nn.Unflatten(1, (8, 1, 1)), nn.Conv2d(8, 10, 1), nn.Flatten()),
    ],
)
def test_a_network_without_a_linear_classifier_at_its_end_is_refused_by_name(last: nn.Module) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), last)
    with pytest.raises(ConfigError, match=r"the last layer of the model own\.py:net is no nn\.Linear"):
        ending(network, drawn_inputs(contract(IMAGES), 2, seed=0), "own.py:net")


def test_built_of_another_seed_it_is_the_same_network() -> None:
    for lender in (model("resnet", width=4), model("airbench", widths=(8, 12)), model("mlp", width=7)):
        whole = Reused(use="reused", body=model("conv", width=4), lender=lender, reduction=2)
        assert len({str(build_network(whole, contract(IMAGES), seed)) for seed in range(6)}) == 1


def test_looking_for_the_end_changes_nothing() -> None:
    network = build_network(model("conv"), contract(IMAGES), seed=0).train()
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    ending(network, drawn_inputs(contract(IMAGES), 8, seed=0), "conv")
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(each.training for each in network.modules())
    assert not any(each._forward_hooks for each in network.modules())


@pytest.mark.parametrize("use", ["text_cnn", "text_ngrams", "text_transformer"])
def test_a_network_for_texts_ends_in_the_classifier_of_one_that_reads_pieces(tmp_path: Path, use: str) -> None:
    lender = text_model("transformers", name=str(save_bert(tmp_path / "bert")))
    whole = Reused(use="reused", body=text_model(use), lender=lender, reduction=2)
    network = build_network(whole, text_contract(), seed=5)
    assert network.get_submodule("head.projector.0").out_features == 16
    teacher = build_network(lender, text_contract(), seed=1)
    lend(teacher, network)
    assert torch.equal(network.get_parameter("head.classifier.weight"), teacher.get_parameter("head.weight"))
