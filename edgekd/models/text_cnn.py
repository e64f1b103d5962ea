"""Convolutions over the words of a text: each finds a few words in a row wherever they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgekd.models.base import Model
from edgekd.models.text_inputs import IDS, tokens
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn

Pooling = Literal["max", "mean", "both"]


class TextCnn(Model):
    """A table with the numbers of each entry of the vocabulary, convolutions of several lengths with ReLU, and of each
    the largest value over the text: the layers `table`, `convolutions` and `head`.

    Source: Kim 2014, Convolutional Neural Networks for Sentence Classification, section 2.
    """

    embedding_width: int = Field(24, ge=1, le=4096, description="numbers of each entry of the table, most of the file")
    projection: int | None = Field(
        None, ge=1, le=4096, description="makes so many numbers of them, by a linear layer, before the convolutions"
    )
    kernels: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        (2, 3, 4, 5), min_length=1, max_length=8, description="tokens in a row that a convolution sees; one a length"
    )
    channels: int = Field(64, ge=1, le=4096, description="of each length")
    pooling: Pooling = Field("max", description="over the text: the largest value, the mean, or both")
    bag: bool = Field(False, description="the classifier reads the mean over the table's entries too")
    dropout: float = Field(0.5, ge=0, lt=1, description="share of the features left out in each training step")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="share of the words left out in each training step")

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.ngram_convolutions import NgramConvolutions
        from edgekd.models.text_network import Table

        ids = tokens(contract, IDS, self.use)
        table = Table(len(ids.vocabulary), self.embedding_width, self.projection, self.embedding_dropout)
        return NgramConvolutions(
            ids.place,
            table,
            self.kernels,
            self.channels,
            pooling=self.pooling,
            bag=self.bag,
            dropout=self.dropout,
            classes=len(contract.classes),
        )
