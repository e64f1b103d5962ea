"""What networks for texts read of a contract: the numbers of words or their pieces, by entry of a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract

IDS = "ids"
"""The input of the vocabulary that was cut to the training texts: what ships."""
PIECES = "pieces"
"""The input of the whole vocabulary that the data set names: what a network that was trained elsewhere reads."""
PADDING = 0
"""What fills a text up, in both."""


@dataclass(frozen=True)
class Tokens:
    """One such input. place: among the contract's inputs; length: of the longest text; vocabulary: the entries by
    their numbers."""

    place: int
    length: int
    vocabulary: tuple[str, ...]


def tokens(contract: ModelContract, name: str, model: str) -> Tokens:
    """The input IDS or PIECES of a contract, for a model that is called so.

    Raises:
        ConfigError: the contract has none.
    """
    for place, spec in enumerate(contract.inputs):
        if contract.modality == "text" and spec.name == name:
            vocabulary = cast("list[str]", spec.preprocessing["vocabulary"])
            return Tokens(place, spec.shape[-1], tuple(vocabulary))
    if contract.modality == "text" and name == PIECES:
        raise ConfigError(
            f"the model {model} reads the pieces of words that it was trained with, and the data say of none",
            hint="name its list of pieces: `tokenizer: {vocabulary: FOLDER/vocab.txt}` in the section `data`",
        )
    raise ConfigError(
        f"the model {model} reads texts, and these samples are of the kind {contract.modality!r}",
        hint="`use: mlp` takes inputs of any shape; texts are given by `data: {use: text}`",
    )
