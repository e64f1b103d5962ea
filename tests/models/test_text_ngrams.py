"""What is particular about a bag of hashed n-grams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.models.hashed_ngrams import FACTOR, PRIME, HashedNgrams, extended
from edgekd.training.network import build_network

from .text_contracts import CUT, model, some, text_contract


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=6))
def test_the_hash_is_that_of_whole_numbers_without_end(tokens: list[int]) -> None:
    """Python's numbers do not overflow: neither do 64 bits, whatever the tokens are."""
    code, expected = torch.tensor([tokens[0]]), tokens[0]
    for each in tokens[1:]:
        code = extended(code, torch.tensor([each], dtype=torch.int32))
        expected = (expected * FACTOR + each + 1) % PRIME
    assert code.tolist() == [expected]


@pytest.mark.parametrize(("ngrams", "length"), [(1, 5), (2, 1), (2, 6), (3, 2), (3, 12)])
def test_the_answer_is_the_mean_over_all_tokens_and_all_in_a_row(ngrams: int, length: int) -> None:
    network = build_network(model("text_ngrams", ngrams=ngrams, buckets=37), text_contract(), 0)
    assert isinstance(network, HashedNgrams)
    text = some([length], 12, len(CUT))
    tokens = text[0, :length].tolist()
    table = network.get_parameter("table.entries.weight")
    found = [table[each] for each in tokens]
    for count in range(2, ngrams + 1):
        for start in range(length - count + 1):
            code = tokens[start]
            for each in tokens[start + 1 : start + count]:
                code = (code * FACTOR + each + 1) % PRIME
            found.append(network.hashed.weight[code % 37])
    with torch.no_grad():
        assert torch.allclose(network(text)[0], network.head(torch.stack(found).mean(0)), atol=1e-5)


def test_words_in_a_row_are_spread_over_the_buckets() -> None:
    """All pairs of 300 tokens over 1,000 buckets: as even as drawn ones would be, by the chi-squared statistic, whose
    mean is 999 and standard deviation 45."""
    one, other = torch.meshgrid(torch.arange(1, 301), torch.arange(1, 301), indexing="ij")
    counts = np.bincount((extended(one, other) % 1000).flatten().numpy(), minlength=1000)
    assert ((counts - 90) ** 2 / 90).sum() < 999 + 5 * 45


def test_the_order_of_words_counts_from_two_in_a_row_on() -> None:
    text = some([6], 12, len(CUT))
    turned = torch.cat([text[:, :6].flip(1), text[:, 6:]], dim=1)
    for ngrams, same in ((1, True), (2, False)):
        network = build_network(model("text_ngrams", ngrams=ngrams), text_contract(), 0)
        with torch.no_grad():
            assert torch.allclose(network(text), network(turned), atol=1e-6) == same
