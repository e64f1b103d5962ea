"""A bag of words and of words in a row, with a linear layer: the smallest network for texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.models.base import Model
from edgekd.models.text_inputs import IDS, tokens
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class TextNgrams(Model):
    """The mean over the numbers of each token and of each few tokens in a row, then a linear layer: `table` for single
    ones, `hashed` for the others, `head`.

    The tokens in a row are found in the second table by a hash, computed in the graph.

    Source: Joulin et al. 2017, Bag of Tricks for Efficient Text Classification, section 2.
    """

    embedding_width: int = Field(16, ge=1, le=4096, description="numbers of each entry of both tables")
    ngrams: int = Field(2, ge=1, le=6, description="the most tokens in a row that have numbers of their own")
    buckets: int = Field(8192, ge=1, le=1 << 24, description="entries of the table of tokens in a row")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of the features left out in each training step")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="share of the words left out in each training step")

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.hashed_ngrams import HashedNgrams
        from edgekd.models.text_network import Table

        ids = tokens(contract, IDS, self.use)
        table = Table(len(ids.vocabulary), self.embedding_width, word_dropout=self.embedding_dropout)
        return HashedNgrams(
            ids.place,
            table,
            longest=self.ngrams,
            buckets=self.buckets,
            dropout=self.dropout,
            classes=len(contract.classes),
        )
