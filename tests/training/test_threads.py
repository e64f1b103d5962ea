from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekd.training.threads import SMALL_STEP, operations_of, threads_for


@pytest.fixture(autouse=True)
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_small_step_takes_one_thread_and_a_large_one_all() -> None:
    with threads_for(SMALL_STEP / 2):
        assert torch.get_num_threads() == 1
    with threads_for(SMALL_STEP * 2):
        assert torch.get_num_threads() == 2


def test_the_number_comes_back_after_a_failure() -> None:
    with pytest.raises(KeyboardInterrupt), threads_for(0):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 2


def test_operations_of_convolutions_and_products_are_counted_by_hand() -> None:
    convolution = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    product = nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 4, 5, bias=False))
    with torch.no_grad(), operations_of() as operations:
        convolution(torch.zeros(7, 2, 4, 4))
        product(torch.zeros(7, 2, 4, 4))
    assert operations() == 2 * 7 * (3 * 2 * 9 * 4 * 4 + 2 * 4 * 4 * 5)
