from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from edgekd.graph.quantization.rounding import quantized


def test_weights_are_rounded_to_127_steps_on_each_side_of_zero_by_channel() -> None:
    rows, scale = quantized(np.array([[1.27, -0.005, 0.5], [-254, 3, 2.9]], np.float32), 0)
    columns, _ = quantized(np.array([[1.27, -0.016], [-0.005, 0.127]], np.float32), 1)

    np.testing.assert_array_equal(rows, [[127, 0, 50], [-127, 2, 1]])  # -0.5 and 1.5: half to even
    np.testing.assert_allclose(scale, [0.01, 2], rtol=1e-6)
    np.testing.assert_array_equal(columns, [[127, -16], [0, 127]])


@settings(max_examples=200)
@given(
    weights=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.floats(-(2.0**60), 2.0**60, width=32),
    ),
    data=st.data(),
)
def test_no_weight_is_off_by_more_than_half_a_step_and_none_uses_minus_128(
    weights: NDArray[np.float32], data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, weights.ndim - 1))
    with np.errstate(divide="raise", invalid="raise"):
        whole, scale = quantized(weights, axis)

    others = tuple(each for each in range(weights.ndim) if each != axis)
    step = np.expand_dims(scale.astype(np.float64), others)
    assert (whole.dtype, whole.shape) == (np.int8, weights.shape)  # type: ignore[comparison-overlap]  # a dtype equals its type
    assert (scale.dtype, scale.shape) == (np.float32, (weights.shape[axis],))  # type: ignore[comparison-overlap]  # a dtype equals its type
    assert whole.min() >= -127
    assert (scale > 0).all()
    assert (np.abs(weights - whole * step) <= 0.5001 * step).all()
    seen = np.abs(weights).max(axis=others)
    assert (np.abs(whole.astype(int)).max(axis=others)[seen > 1e-30] == 127).all()
    assert (whole[weights == 0] == 0).all()
