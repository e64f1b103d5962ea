from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.training.layout import laid_out, lay_out


@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolution_gives_channels_last_of_however_many_channels(channels: int) -> None:
    network = nn.Conv2d(channels, 8, 3)
    images = torch.randn(4, channels, 9, 9)
    expected = network(images)
    lay_out(network)
    found = network(laid_out({"image": images})["image"])
    assert found.stride() == (8 * 7 * 7, 1, 8 * 7, 8)
    torch.testing.assert_close(found, expected)


def test_what_has_another_number_of_dimensions_stays_as_it_is() -> None:
    rows = torch.randn(4, 9)
    assert laid_out({"features": rows})["features"] is rows
