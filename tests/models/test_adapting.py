"""Networks of other libraries through the user's own file: stand-ins that behave like theirs, and the libraries
themselves where they are installed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError
from edgekd.graph.export import export_onnx
from edgekd.graph.runtime import run_onnx
from edgekd.models.custom import UserModel
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.evaluate import predict_logits
from edgekd.training.network import build_network
from edgekd.training.replicas import obstacle
from edgekd.training.weights import load_weights, save_weights

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
IMAGES = ModelContract(
    modality="image",
    inputs=(InputSpec(name="image", shape=(3, 8, 8), preprocessing={"mean": [*MEAN], "std": [*STD]}),),
    classes=("a", "b", "c", "d"),
)
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
LIKE_TRANSFORMERS = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class Output:
    loss: object
    logits: torch.Tensor

class Classifier(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.vit = nn.Conv2d(3, 5, 3)
        self.classifier = nn.Linear(5, classes)

    def forward(self, pixel_values, labels=None):
        return Output(None, self.classifier(self.vit(pixel_values).mean((2, 3))))

def build(contract):
    return Classifier(len(contract.classes))
"""
LIKE_TIMM = """
from torch import nn

class Network(nn.Sequential):
    pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "input_size": (3, 12, 12)}

def build(contract):
    return Network(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(500, len(contract.classes)))
"""


def model(folder: Path, code: str, **options: object) -> UserModel:
    (folder / "mine.py").write_text(code)
    return UserModel.model_validate({"use": "mine.py:build", "use_group": "models", "use_folder": folder, **options})


def pixels(count: int = 5) -> Tensor:
    """From 0 to 1."""
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def fed(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    return (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def feeds(images: Tensor) -> Feeds:
    return {"image": fed(images, MEAN, STD).numpy()}


def test_a_network_that_answers_with_an_object_gives_its_logits_and_keeps_its_names(tmp_path: Path) -> None:
    network = build_network(model(tmp_path, LIKE_TRANSFORMERS), IMAGES, seed=0)
    assert list(network.state_dict()) == ["vit.weight", "vit.bias", "classifier.weight", "classifier.bias"]
    inputs = fed(pixels(), MEAN, STD)
    expected = network.get_submodule("classifier")(network.get_submodule("vit")(inputs).mean((2, 3)))
    assert torch.equal(network(inputs), expected)
    assert torch.equal(copy.deepcopy(network)(inputs), expected)
    assert obstacle(network, (inputs,)) is None, "it can be trained in shards"


def test_a_network_that_answers_with_a_tuple_is_refused_with_what_to_return(tmp_path: Path) -> None:
    code = LIKE_TRANSFORMERS.replace("return Output(None, ", "return (").replace("mean((2, 3))))", "mean((2, 3))),)")
    with pytest.raises(ConfigError, match=r"^the model mine.py:build gives tuple for 2 samples") as error:
        build_network(model(tmp_path, code), IMAGES, seed=0)
    assert "`.logits`" in str(error.value.hint)


@pytest.mark.parametrize(
    ("gives", "what"),
    [("'x'", "str"), ("torch.tensor(1.0)", r"\(\)"), ("found[:1]", r"\(1, 4\)"), ("found[:, :1]", r"\(2, 1\)")],
)
def test_what_a_network_gives_is_looked_at_whenever_it_is_asked(tmp_path: Path, gives: str, what: str) -> None:
    code = f"""\
import torch
from torch import nn
class Fickle(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.asked = nn.Linear(3, 4), 0
    def forward(self, images):
        self.asked += 1
        found = self.linear(images.mean((2, 3)))
        return found if self.asked < 2 else {gives}
def build(contract):
    return Fickle()
"""
    network = build_network(model(tmp_path, code), IMAGES, seed=0)
    with pytest.raises(ConfigError, match=f"^the model mine.py:build gives {what} for 2 samples, expected logits of"):
        network(pixels()[:2])


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("torch.jit.script(nn.Linear(4, 2))", "RuntimeError: register_forward_hook is not supported"),
        ("type('Equal', (nn.Linear,), {'__eq__': lambda self, other: True})(4, 2)", "TypeError: unhashable type"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_network_that_torch_cannot_work_with_is_told_with_its_file(tmp_path: Path, module: str, what: str) -> None:
    code = f"import torch\nfrom torch import nn\ndef build(contract):\n    return {module}\n"
    with pytest.raises(ConfigError, match=f"gives a network that cannot be used: {what}") as error:
        build_network(model(tmp_path, code), IMAGES, seed=0)
    assert str(error.value.where).startswith(str(tmp_path / "mine.py"))


def test_a_network_is_fed_what_it_was_trained_with_and_its_own_checkpoint_fits(tmp_path: Path) -> None:
    plain = model(tmp_path, LIKE_TIMM).function()(IMAGES)
    save_weights(plain, tmp_path / "timm.safetensors")
    network = build_network(model(tmp_path, LIKE_TIMM, **IMAGENET, input_size=12), IMAGES, seed=1)
    load_weights(network, tmp_path / "timm.safetensors")
    wanted = functional.interpolate(pixels(), (12, 12), mode="bilinear")
    with torch.no_grad():
        expected = plain(fed(wanted, IMAGENET["mean"], IMAGENET["std"]))
        torch.testing.assert_close(network(fed(pixels(), MEAN, STD)), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(network(pixels()), expected, atol=1e-2)
    assert obstacle(network, (fed(pixels(), MEAN, STD),)) is None


@pytest.mark.parametrize(
    ("code", "options"),
    [(LIKE_TIMM, {**IMAGENET, "input_size": 12}), (LIKE_TRANSFORMERS, {})],
    ids=["fed", "unwrapped"],
)
def test_what_brings_a_network_here_is_part_of_the_file_that_is_exported(
    tmp_path: Path, code: str, options: dict[str, object]
) -> None:
    network = build_network(model(tmp_path, code, **options), IMAGES, seed=0)
    export_onnx(network, IMAGES, tmp_path / "model.onnx", ExportOptions())
    found = run_onnx(tmp_path / "model.onnx", feeds(pixels()))
    assert found == pytest.approx(predict_logits(network, feeds(pixels())), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": [0.5], "std": [0.5]}, "mean and std have 1 and 1 numbers, the data has 3 channels"),
        ({"mean": [0.5]}, "mean and std belong together"),
        ({"std": [0.5, 0.0, 0.5], "mean": [0.5] * 3}, "greater than 0"),
    ],
)
def test_a_normalisation_that_does_not_fit_is_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=words):
        build_network(model(tmp_path, LIKE_TIMM, **options), IMAGES, seed=0)


def test_another_normalisation_is_another_identity(tmp_path: Path) -> None:
    identities = [
        str(model(tmp_path, LIKE_TIMM, **options).identity()) for options in ({}, IMAGENET, {"input_size": 12})
    ]
    assert len(set(identities)) == 3


def test_a_network_of_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    code = """
import timm

def build(contract, name):
    channels, *_ = contract.shape
    return timm.create_model(name, in_chans=channels, num_classes=len(contract.classes))
"""
    plain = timm.create_model("resnet10t", num_classes=4).eval()
    save_weights(plain, tmp_path / "timm.safetensors")
    network = build_network(model(tmp_path, code, name="resnet10t", **IMAGENET, input_size=32), IMAGES, seed=1)
    load_weights(network, tmp_path / "timm.safetensors")
    assert [*plain.pretrained_cfg["mean"]] == IMAGENET["mean"]
    wanted = functional.interpolate(pixels(), (32, 32), mode="bilinear")
    with torch.no_grad():
        expected = plain(fed(wanted, IMAGENET["mean"], IMAGENET["std"]))
    assert predict_logits(network, feeds(pixels())) == pytest.approx(expected.numpy(), abs=1e-4)


def test_an_image_classifier_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    code = """
from pathlib import Path
from transformers import ViTConfig, ViTForImageClassification

def build(contract):
    return ViTForImageClassification(ViTConfig.from_pretrained(Path(__file__).parent / "vit"))
"""
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4
    )
    config.num_labels = 4
    plain: nn.Module = transformers.ViTForImageClassification(config).eval()
    plain.save_pretrained(tmp_path / "vit")  # type: ignore[operator]
    save_weights(plain, tmp_path / "vit.safetensors")
    network = build_network(model(tmp_path, code), IMAGES, seed=1)
    load_weights(network, tmp_path / "vit.safetensors")
    with torch.no_grad():
        expected = plain(fed(pixels(), MEAN, STD)).logits
    assert predict_logits(network, feeds(pixels())) == pytest.approx(expected.numpy(), abs=1e-5)
