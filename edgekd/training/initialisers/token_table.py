"""A student that reads texts starts with what its teacher says of each entry of its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.records.contract import ModelContract
from edgekd.training.initialisers.base import Initialiser, Taken

if TYPE_CHECKING:
    from torch import Tensor, nn


class TokenTable(Initialiser):
    """The teacher reads each entry of the vocabulary as a text of its own, and the mean of its outputs becomes the
    entry's numbers in the student's table: its first few principal components, less of those that occur often. What the
    teacher has no piece for (bytes, padding, what is unknown) starts at zero, the mean of the others.

    The table keeps the size that its numbers had when it was fresh. How often an entry occurs is not in the contract:
    by Zipf's law it follows from its place among those that the teacher reads, for they are in the order of their
    frequency.

    Source: Tulkens and van Dongen 2024, Model2Vec; Arora et al. 2017, A Simple but Tough-to-Beat Baseline for Sentence
    Embeddings, section 3: the weights a / (a + p).
    """

    frequent: float | None = Field(
        1e-3, gt=0, le=1, description="the probability of a word whose numbers are halved; null: all keep theirs"
    )

    def fill(
        self,
        student: nn.Module,
        teacher: nn.Module,
        inputs: Sequence[Tensor],  # noqa: ARG002 - the teacher reads words
        seed: int,  # noqa: ARG002 - nothing is drawn
        contract: ModelContract,
    ) -> Taken:
        from edgekd.training.initialisers.token_outputs import fill_table

        return fill_table(student, teacher, contract, self.network, self.frequent)
