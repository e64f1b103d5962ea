"""A small transformer for texts, trained from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from edgekd.models.base import Model
from edgekd.models.text_inputs import IDS, tokens
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class TextTransformer(Model):
    """Layers of attention and two linear layers with ReLU, each after a layer norm, with learned positions, and the
    mean over the text: the layers `table`, `layers`, `norm` and `head`.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3; Xiong et al. 2020, On Layer Normalization in the
    Transformer Architecture, figure 1 (b), for where the norms stand.
    """

    width: int = Field(64, ge=1, le=4096, description="numbers of each token between the layers")
    depth: int = Field(2, ge=1, le=48, description="layers")
    heads: int = Field(4, ge=1, le=256, description="of the attention; they share the width")
    feed_forward: int = Field(128, ge=1, le=65536, description="units between the two linear layers")
    embedding_width: int | None = Field(
        24,
        ge=1,
        le=4096,
        description="numbers of each entry of the table, most of the file, from which a linear layer makes `width`; "
        "null: as many as `width`, and no such layer",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="share left out behind each part in each training step")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="share of the words left out in each training step")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads cannot share a width of {self.width}\ntake a multiple of the heads")
        return self

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.attention import TransformerLayers
        from edgekd.models.text_network import Table

        ids = tokens(contract, IDS, self.use)
        table = Table(
            len(ids.vocabulary), self.embedding_width or self.width, self.width, word_dropout=self.embedding_dropout
        )
        return TransformerLayers(
            ids.place,
            table,
            length=ids.length,
            depth=self.depth,
            heads=self.heads,
            feed_forward=self.feed_forward,
            dropout=self.dropout,
            classes=len(contract.classes),
        )
