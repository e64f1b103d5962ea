"""mixup and cutmix against values that were worked out one sample at a time, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.training.mixing import DRAWN, Mixing

IMAGE = [{"name": "image", "shape": [3, 9, 14]}]
VECTOR = [{"name": "features", "shape": [5]}]
MIXUP, CUTMIX = AugmentOptions(mixup=0.2), AugmentOptions(cutmix=1)
BOTH = AugmentOptions(mixup=0.4, cutmix=0.7)


def uniform(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, Mixing.numbers))


def pictures(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 9, 14, generator=torch.Generator().manual_seed(seed))


def mixed(options: AugmentOptions, own: Tensor, partner: Tensor, numbers: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """The mixed samples and the shares of their own labels."""
    specs = IMAGE if own.ndim == 4 else VECTOR
    inputs, share = Mixing(options, specs, 100).apply({"x": own}, {"x": partner}, numbers)
    return inputs["x"], share


def owned(options: AugmentOptions, numbers: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """How much of each pixel is a row's own, (N, H, W), the same in every channel; and the shares."""
    shape = (len(numbers), 3, 9, 14)
    weights, share = mixed(options, torch.ones(shape), torch.zeros(shape), numbers)
    assert torch.equal(weights.amin(dim=1), weights.amax(dim=1))
    return weights[:, 0], share


@pytest.mark.parametrize("alpha", [0.4, 1.0, 4.0])
def test_the_share_of_mixup_has_the_beta_distribution(alpha: float) -> None:
    _, share = mixed(AugmentOptions(mixup=alpha), torch.zeros(4000, 1), torch.zeros(4000, 1), uniform(4000))
    assert share.dtype == torch.float32
    assert stats.kstest(share.double().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.001


@pytest.mark.parametrize("shape", [(5,), (3, 9, 14)], ids=["vectors", "images"])
def test_mixup_is_the_weighted_mean_of_both(shape: tuple[int, ...]) -> None:
    own, partner = torch.randn(2, 60, *shape, generator=torch.Generator().manual_seed(0))
    numbers = uniform(60)
    found, share = mixed(MIXUP, own, partner, numbers)
    assert found.dtype == torch.float32
    expected = stats.beta(0.2, 0.2).ppf(numbers[:, DRAWN.index("share")])
    np.testing.assert_allclose(share.numpy(), expected, rtol=1e-6)
    weights = torch.from_numpy(expected).reshape(-1, *[1] * len(shape))
    assert torch.allclose(found.double(), own.double() * weights + partner.double() * (1 - weights), atol=1e-5)


def test_cutmix_puts_in_the_box_of_the_paper() -> None:
    numbers = uniform(400)
    own, partner = pictures(400), pictures(400, seed=1)
    found, share = mixed(CUTMIX, own, partner, numbers)
    for row, drawn in enumerate(numbers):
        left = np.float32(drawn[DRAWN.index("share")])  # Beta(1, 1) is uniform
        expected = own[row].clone()
        box = []
        for name, length in (("box_y", 9), ("box_x", 14)):
            side = int(length * np.sqrt(1 - left))
            first = int(drawn[DRAWN.index(name)] * length) - side // 2
            box.append(slice(max(first, 0), max(first + side, 0)))
        expected[:, box[0], box[1]] = partner[row][:, box[0], box[1]]
        assert torch.equal(found[row], expected)
        assert float(share[row]) == pytest.approx(float((expected == own[row]).double().mean()), rel=1e-6)
    assert len(set(share.tolist())) > 40


def test_the_share_after_cutmix_is_that_of_the_box_as_it_was_clipped() -> None:
    weights, share = owned(AugmentOptions(cutmix=0.5), uniform(500))
    assert set(weights.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(share, weights.double().mean(dim=(1, 2)).float())
    assert share.mean() > 0.55  # of 0.5 before


def test_where_both_are_set_each_row_has_one_of_the_two_by_a_number_of_its_own() -> None:
    numbers = uniform(600)
    weights, share = owned(BOTH, numbers)
    cut = torch.from_numpy(numbers[:, DRAWN.index("choice")] < 0.5)
    assert 250 < cut.sum() < 350
    for rows, options in ((~cut, AugmentOptions(mixup=0.4)), (cut, AugmentOptions(cutmix=0.7))):
        alone_weights, alone_share = owned(options, numbers)
        assert torch.equal(weights[rows], alone_weights[rows])
        assert torch.equal(share[rows], alone_share[rows])


def test_partners_are_drawn_evenly_from_the_whole_training_set() -> None:
    found = Mixing(MIXUP, VECTOR, 100).partners(uniform(20_000))
    assert found.dtype == np.int64
    assert stats.chisquare(np.bincount(found, minlength=100)).pvalue > 0.001


@given(st.integers(1, 2**40), st.floats(0, 1, exclude_max=True))
def test_a_partner_is_a_training_sample_whatever_the_number(samples: int, number: float) -> None:
    numbers = np.array([number, 0.0, np.nextafter(1, 0)])
    found = Mixing(MIXUP, VECTOR, samples).partners(np.repeat(numbers[:, None], Mixing.numbers, axis=1))
    assert found.min() >= 0
    assert found.max() < samples


@given(st.integers(0, 2**31), st.integers(1, 33), st.sampled_from([MIXUP, CUTMIX, BOTH]))
def test_a_mixed_sample_is_the_same_to_the_bit_in_whatever_batch_and_place(
    seed: int, batch: int, options: AugmentOptions
) -> None:
    own, partner, numbers = pictures(32, seed), pictures(32, seed + 1), uniform(32, seed)
    whole, shares = mixed(options, own, partner, numbers)
    order = np.random.default_rng(seed).permutation(32)
    for at in range(0, 32, batch):
        rows = order[at : at + batch]
        part, share = mixed(options, own[rows], partner[rows], numbers[rows])
        assert torch.equal(part, whole[rows])
        assert torch.equal(share, shares[rows])
    assert not torch.equal(whole, own)


@pytest.mark.parametrize(
    ("options", "columns"),
    [(MIXUP, {"share"}), (CUTMIX, {"share", "box_x", "box_y"}), (BOTH, {"share", "choice", "box_x", "box_y"})],
)
def test_each_choice_reads_columns_of_its_own(options: AugmentOptions, columns: set[str]) -> None:
    made = Mixing(options, IMAGE, 100)
    own, partner, numbers, other = pictures(64), pictures(64, seed=1), uniform(64), uniform(64, seed=1)
    for column, name in enumerate(DRAWN):
        changed = numbers.copy()
        changed[:, column] = other[:, column]
        same = torch.equal(mixed(options, own, partner, changed)[0], mixed(options, own, partner, numbers)[0])
        assert same == (name not in columns), name
        assert np.array_equal(made.partners(changed), made.partners(numbers)) == (name != "partner")


@pytest.mark.parametrize("options", [AugmentOptions(mixup=1e-3), AugmentOptions(cutmix=1e-3)])
def test_the_ends_of_the_numbers_and_a_tiny_alpha_give_one_of_both(options: AugmentOptions) -> None:
    numbers = np.stack([np.zeros(5), np.full(5, 0.5), np.full(5, np.nextafter(1, 0))])
    own, partner = pictures(3), pictures(3, seed=1)
    found, share = mixed(options, own, partner, numbers)
    assert found.isfinite().all()
    assert ((share >= 0) & (share <= 1)).all()
    assert torch.equal(found[2], own[2])


def test_the_inputs_themselves_stay() -> None:
    own, partner = pictures(8), pictures(8, seed=1)
    mixed(BOTH, own, partner, uniform(8))
    assert torch.equal(own, pictures(8))
    assert torch.equal(partner, pictures(8, seed=1))


def test_cutmix_of_vectors_is_refused_with_what_there_is_instead() -> None:
    with pytest.raises(ValueError, match="cutmix takes boxes out of images, features is none\nmixup is for every"):
        Mixing(BOTH, VECTOR, 10)


def test_numbers_of_words_are_not_mixed() -> None:
    ids = [{"name": "ids", "dtype": "int32", "shape": [8], "preprocessing": {}}]
    for options in (MIXUP, CUTMIX):
        with pytest.raises(ValueError, match="ids: numbers of words cannot be mixed\nleave mixup and cutmix out"):
            Mixing(options, ids, 10)
