"""What is particular about the network for small photographs."""

from __future__ import annotations

import pytest
import torch

from edgekd.errors import ConfigError
from edgekd.models.whitening import Whitening, cosines, identity_convolution

from .test_models import contract, model


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_cosine_transform_is_orthogonal(size: int) -> None:
    assert torch.allclose(cosines(size) @ cosines(size).T, torch.eye(size), atol=1e-6)


def test_whitening_makes_smooth_images_nearly_uncorrelated_and_of_variance_one() -> None:
    drawn = torch.randn(64, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    grey = drawn.mean(dim=1, keepdim=True)
    smooth = torch.nn.functional.avg_pool2d(3 * grey + drawn, 3, stride=1)
    layer = Whitening(3).train()
    outputs = layer(smooth)
    assert outputs.shape == (64, 24, 17, 17)
    assert torch.equal(layer.filters[:12], -layer.filters[12:])
    own = outputs[:, :12].transpose(0, 1).flatten(1)
    assert torch.allclose(own.var(dim=1), torch.ones(12), atol=0.01)
    others = torch.corrcoef(own) - torch.eye(12)
    patches = torch.nn.functional.unfold(smooth, 2).transpose(0, 1).flatten(1)
    before = torch.corrcoef(patches) - torch.eye(12)
    assert others.abs().mean() < 0.1 * before.abs().mean()


def test_the_first_outputs_of_a_convolution_are_its_inputs() -> None:
    images = torch.randn(2, 4, 5, 5)
    assert torch.allclose(identity_convolution(4, 6)(images)[:, :4], images, atol=1e-6)


@pytest.mark.parametrize(
    ("use", "few"), [("airbench", {"widths": [8, 8]}), ("ds_resnet", {"width": 8, "blocks": [1, 1]})]
)
def test_an_image_too_small_to_be_halved_so_often_is_refused(use: str, few: dict[str, object]) -> None:
    assert model(use, **few).build(contract((1, 8, 8))) is not None
    key = "widths" if use == "airbench" else "blocks"
    with pytest.raises(ConfigError, match="halve an image of 8 x 8 to nothing"):
        model(use, **{key: [1, 1, 1, 1]}).build(contract((1, 8, 8)))
