"""The numbers of a vocabulary's entries from what a teacher says of each alone."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.models.text_inputs import IDS, PIECES, tokens
from edgekd.models.text_network import PieceReader
from edgekd.records.contract import ModelContract
from edgekd.training.initialisers.base import Taken
from edgekd.training.taps import undisturbed

AT_ONCE = 512
"""Entries that the teacher reads in one go."""
NOT_IN_TABLE = "it is no table of the vocabulary's entries"


def fill_table(
    student: nn.Module, teacher: nn.Module, contract: ModelContract, name: str, frequent: float | None
) -> Taken:
    """Fills the student's table of the contract's IDS; name: of the teacher; frequent: see `weights`.

    Raises:
        ConfigError: the teacher reads no pieces of words, or the student has no such table, or a wider one than the
            teacher's outputs.
    """
    if not isinstance(teacher, PieceReader):
        raise ConfigError(
            f"{name} is a {type(teacher).__name__}, which reads no words by themselves",
            hint="`use: token_table` starts from a network of `use: transformers`",
        )
    ids = tokens(contract, IDS, "token_table").vocabulary
    table, place = _table(student, len(ids))
    numbers = {piece: number for number, piece in enumerate(tokens(contract, PIECES, "token_table").vocabulary)}
    known = [entry for entry, text in enumerate(ids) if text in numbers and not _special(text)]
    if not known:
        raise ConfigError(f"{name} knows no entry of the vocabulary", hint="leave out `start`")
    outputs = alone(teacher, [numbers[ids[entry]] for entry in known], *_frame(contract))
    width = table.shape[1]
    if width > min(outputs.shape):
        raise ConfigError(
            f"the table has {width} numbers for each entry, and {len(known)} outputs of {name} with "
            f"{outputs.shape[1]} numbers have no more than {min(outputs.shape)} components",
            hint="a smaller `embedding_width`",
        )
    found = principal(outputs, width)
    if frequent is not None:
        found *= weights(len(known), frequent).unsqueeze(1)
    with torch.no_grad():
        size = table.pow(2).mean().sqrt()
        table.zero_()
        table[known] = (found * (size / found.pow(2).mean().sqrt())).to(table.dtype)
    state = student.state_dict()
    return Taken(len(state), {each: NOT_IN_TABLE for each in state if each != place})


def alone(teacher: PieceReader, pieces: list[int], first: int, last: int) -> Tensor:
    """The mean of what the teacher says of each piece and of what stands around it, in a text of nothing else, float64
    (pieces, D); first, last: the pieces that begin and end a text, below 0 for none."""
    texts = torch.tensor([[each for each in (first, piece, last) if each >= 0] for piece in pieces], dtype=torch.int32)
    with undisturbed(teacher), torch.no_grad():
        return torch.cat([teacher.outputs(some).double().mean(dim=1) for some in torch.split(texts, AT_ONCE)])


def principal(values: Tensor, count: int) -> Tensor:
    """Values (N, D) by their first principal components (N, count), about their mean; of each component the largest of
    its D numbers is positive, so that it is the same on every machine."""
    centred = values - values.mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
    chosen = directions[:, -count:].flip(1)
    largest = chosen.gather(0, chosen.abs().argmax(dim=0, keepdim=True))
    found: Tensor = centred @ (chosen * largest.sign())
    return found


def weights(entries: int, frequent: float) -> Tensor:
    """a / (a + p) with a = frequent and p the probability of each of so many entries: in proportion to 1 / its place
    among them, by Zipf's law, from 2 on, as model2vec has it."""
    chances = 1 / torch.arange(2, entries + 2, dtype=torch.float64)
    return frequent / (frequent + chances / chances.sum())


def _table(student: nn.Module, entries: int) -> tuple[Tensor, str]:
    """The table of so many entries, and its name in the state."""
    for name, layer in student.named_modules():
        if isinstance(layer, nn.Embedding) and layer.num_embeddings == entries:
            return layer.weight, f"{name}.weight"
    raise ConfigError(
        f"the student ({type(student).__name__}) has no table with the {entries} entries of the vocabulary",
        hint="`use: token_table` starts networks such as text_cnn, text_ngrams and text_transformer",
    )


def _special(entry: str) -> bool:
    """[PAD], [UNK] and others of which the teacher says nothing as a word."""
    return len(entry) > 2 and entry[0] == "[" and entry[-1] == "]"


def _frame(contract: ModelContract) -> tuple[int, int]:
    """The pieces that begin and end a text."""
    spec = next(each for each in contract.inputs if each.name == PIECES)
    return cast("int", spec.preprocessing["first"]), cast("int", spec.preprocessing["last"])
