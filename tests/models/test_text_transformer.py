"""What is particular about the small transformer."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edgekd.models.attention import NOT_THERE, Attention
from edgekd.training.network import build_network

from .text_contracts import CUT, model, some, text_contract


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    mine, theirs = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    state = theirs.state_dict()
    mine.load_state_dict(
        {
            "read.weight": state["in_proj_weight"],
            "read.bias": state["in_proj_bias"],
            "write.weight": state["out_proj.weight"],
            "write.bias": state["out_proj.bias"],
        }
    )
    values, empty = torch.randn(2, 7, 12), torch.arange(7) >= torch.tensor([[7], [4]])
    expected, _ = theirs(values, values, values, key_padding_mask=empty)
    assert torch.allclose(mine(values, empty[:, None, None] * NOT_THERE), expected, atol=1e-6)


def test_the_order_of_words_counts() -> None:
    network = build_network(model("text_transformer"), text_contract(), 0)
    text = some([6], 12, len(CUT))
    turned = torch.cat([text[:, :6].flip(1), text[:, 6:]], dim=1)
    with torch.no_grad():
        assert (network(text) - network(turned)).abs().max() > 1e-4


def test_heads_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="3 heads cannot share a width of 64"):
        model("text_transformer", heads=3)
