"""Transposition in squares: every number arrives, and nothing else is written."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tinyconv.kernels.transpose import transpose


@given(height=st.integers(1, 40), width=st.integers(1, 40), gap=st.integers(0, 9), at=st.integers(0, 3),
       backwards=st.booleans(), dtype=st.sampled_from([np.float32, np.float64, np.uint8, np.int64]))
def test_agrees_with_numpy(height: int, width: int, gap: int, at: int, backwards: bool, dtype: Any) -> None:
    pitch, step = width + gap, height + 9 - gap
    source = np.arange(at + height * pitch).astype(dtype)
    target = np.full(at + width * step, -1).astype(dtype)
    expected = target.copy()
    lines = expected[at:].reshape(width, step)[::-1 if backwards else 1]
    lines[:, :height] = source[at:].reshape(height, pitch)[:, :width].T
    to = at + (width - 1) * step if backwards else at
    transpose(target, to, -step if backwards else step, source, at, pitch, height, width)
    np.testing.assert_array_equal(target, expected)
