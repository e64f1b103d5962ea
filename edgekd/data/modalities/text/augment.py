"""Random changes to the words of a whole batch of texts at once, the same words in each of the inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities.base import Spec
from edgekd.data.modalities.text.inputs import CONTINUATION, PADDING
from edgekd.data.tensors import moved

LONGEST_SPAN = 5
OFFSET = 2.7
BELOW_ONE = 1 - 2.0**-24  # the largest float32 below 1
BEGINS, GOES_ON, FRAMES = 1, 2, 3
"""What an entry is in its word; FRAMES: it stands before or behind all words. Padding is 0."""


class TextAugment:
    """Changed copies of the inputs of `specs`, int32 (N, L), in which words are hidden, replaced and left out.

    The number of a word decides: below `mask` it is hidden, in the next `replace` it becomes another one. Only words
    that are one piece in every input that shows them are replaced, by such words, of which the vocabulary's r-th comes
    with a probability proportional to 1 / (r + OFFSET): it stands in the order of frequency in training, and that is
    how often words come. Each text keeps one word that is not hidden, among those that every input has room for, where
    spans lie too.

    Source: Tang et al. 2019, Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, section 3.2,
    without parts of speech; the law of frequencies is Piantadosi 2014, Zipf's Word Frequency Law in Natural Language,
    equation 2.
    """

    def __init__(self, options: AugmentOptions, specs: Sequence[Spec]) -> None:
        self.options = options
        shared = set.intersection(*(set(_whole_words(spec)) for spec in specs))
        words = [each for each in _whole_words(specs[0]) if each in shared]
        self.entries = {spec["name"]: _Entries(spec, words) for spec in specs}
        frequency = np.cumsum(1 / (np.arange(1, len(words) + 1) + OFFSET))
        self.cumulative = torch.from_numpy(frequency / frequency[-1] if words else frequency).float()

    def __call__(self, inputs: dict[str, Tensor], numbers: NDArray[np.float64]) -> dict[str, Tensor]:
        """numbers: float64 (N, 3 + W) in [0, 1): whether there is a span, its length and place, then one a word."""
        texts = {name: _Text(inputs[name], entries) for name, entries in self.entries.items()}
        # float32 for accelerators that know no other, below 1 as they were
        below_one = np.minimum(numbers, BELOW_ONE).astype(np.float32)
        drawn = moved(below_one, next(iter(texts.values())).tokens.device)
        each_word = drawn[:, 3:]
        # those that every input shows; of a text without any word one shows nothing, and another the unknown one
        counts = torch.stack([text.words for text in texts.values()]).amin(dim=0).clamp_(min=1)
        at = torch.arange(each_word.shape[1], device=counts.device)
        kept = self._kept(drawn[:, :3], counts, at)
        hidden = kept & (each_word < self.options.mask)
        # the highest number is the last to be hidden
        shown = kept & (at < counts[:, None])
        stays = torch.where(shown, each_word, -1.0).argmax(dim=1, keepdim=True)
        hidden.scatter_(1, stays, False)
        others = self._others(list(texts.values()), each_word)
        return {**inputs, **{name: text.changed(kept, hidden, others) for name, text in texts.items()}}

    def _kept(self, drawn: Tensor, counts: Tensor, at: Tensor) -> Tensor:
        """Which words stay: bool (N, W). drawn: (N, 3); counts: of words, int64 (N,); at: their places, int64 (W,)."""
        length = torch.minimum((drawn[:, 1] * LONGEST_SPAN).long() + 1, counts)
        first = (drawn[:, 2] * (counts - length + 1)).long()
        inside = (at >= first[:, None]) & (at < (first + length)[:, None])
        return inside | (drawn[:, :1] >= self.options.span)

    def _others(self, texts: Sequence[_Text], each_word: Tensor) -> Tensor:
        """Which word stands for each one, by its number among those that are one piece, or -1: int64 (N, W)."""
        mask, replace = self.options.mask, self.options.replace
        own = torch.full_like(each_word, -1, dtype=torch.int64)
        if not replace or len(self.cumulative) < 2:
            return own
        wanted = (each_word >= mask) & (each_word < mask + replace)
        for text in texts:
            pieces, single = text.by_word(each_word.shape[1])
            own = torch.maximum(own, single)
            wanted &= (pieces == 0) | (single >= 0)
        share = ((each_word - mask) / replace).clamp(0, 1)
        other = torch.searchsorted(moved(self.cumulative, share.device), share, right=True)
        other = other.clamp_(max=len(self.cumulative) - 1)
        other = torch.where(other == own, (other + 1) % len(self.cumulative), other)
        return torch.where(wanted & (own >= 0), other, -1)


class _Entries:
    """The vocabulary of an input. kinds: int64 (V,), what each entry is in its word; single: int64 (V,), which of
    `words` it is, or -1; numbers: int32 (words,), the entry of each of them; hides: the entry of a hidden word."""

    def __init__(self, spec: Spec, words: Sequence[str]) -> None:
        rules = spec["preprocessing"]
        vocabulary: list[str] = rules["vocabulary"]
        places = {entry: number for number, entry in enumerate(vocabulary)}
        kinds = np.array([GOES_ON if each.startswith(CONTINUATION) else BEGINS for each in vocabulary])
        if rules["bytes"] >= 0:
            kinds[rules["bytes"] : rules["bytes"] + 256] = GOES_ON
        kinds[[number for number in (rules["first"], rules["last"]) if number >= 0]] = FRAMES
        kinds[PADDING] = 0
        single = np.full(len(vocabulary), -1)
        numbers = np.array([places[word] for word in words], np.int32)
        single[numbers] = np.arange(len(words))
        self.kinds, self.single, self.numbers = (torch.from_numpy(each) for each in (kinds, single, numbers))
        self.hides: int = places.get("[MASK]", rules["unknown"])


class _Text:
    """One input of a batch, int32 (N, L), and where its words are. words: how many each text has, int64 (N,)."""

    def __init__(self, tokens: Tensor, entries: _Entries) -> None:
        self.tokens, self.entries = tokens, entries
        self.kinds = moved(entries.kinds, tokens.device)[tokens.long()]
        self.begins = self.kinds == BEGINS
        self.words = self.begins.sum(dim=1)
        self.place = (self.begins.cumsum(dim=1) - 1).clamp_(min=0)

    def by_word(self, most: int) -> tuple[Tensor, Tensor]:
        """How many pieces each word has, and which single one it is, or -1: int64 (N, most)."""
        inside = (self.begins | (self.kinds == GOES_ON)).long()
        none = torch.zeros(len(self.tokens), most, dtype=torch.int64, device=self.tokens.device)
        pieces = none.scatter_add(1, self.place, inside)
        found = torch.where(self.begins, moved(self.entries.single, self.tokens.device)[self.tokens.long()] + 1, 0)
        single = none.scatter_add(1, self.place, found) - 1
        return pieces, torch.where(pieces == 1, single, -1)

    def changed(self, kept: Tensor, hidden: Tensor, others: Tensor) -> Tensor:
        """int32 (N, L), what is left moved up, in a copy."""
        length = self.tokens.shape[1]
        kept, hidden, others = (each.gather(1, self.place) for each in (kept, hidden, others))
        tokens = torch.where(self.begins & hidden, self.entries.hides, self.tokens)
        replaced = self.begins & ~hidden & (others >= 0)
        if len(self.entries.numbers):
            numbers = moved(self.entries.numbers, tokens.device)
            tokens = torch.where(replaced, numbers[others.clamp(min=0)], tokens)
        stays = torch.where(self.begins, kept, (self.kinds == GOES_ON) & kept & ~hidden) | (self.kinds == FRAMES)
        target = torch.where(stays, stays.cumsum(dim=1) - 1, length)  # one more place, for all that is left out
        moved_up = torch.full((len(tokens), length + 1), PADDING, dtype=tokens.dtype, device=tokens.device)
        return moved_up.scatter_(1, target, tokens)[:, :length].contiguous()


def _whole_words(spec: Spec) -> list[str]:
    """The entries that are words, not marks, in their order."""
    return [each for each in spec["preprocessing"]["vocabulary"] if each.isalnum()]
