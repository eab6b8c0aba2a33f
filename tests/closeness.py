"""What "agrees" means in these tests."""

from typing import Any

import numpy as np

# Both sides sum the same products in different orders.  Float32 carries 6e-8 per operation; with the cancellation of a
# few thousand terms 1e-4 of the largest element is what two correct programs may differ by.  In float64 the same
# reasoning gives 2e-13 and leaves 1e-9 as a bound that no mistake in a formula slips under.
TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


def assert_close(actual: Any, expected: Any, tol: float | None = None, what: str = "") -> None:
    """max|actual - expected| <= tol * max|expected|, equal shapes, and NaN and infinities in the same places.

    ``tol``: by default that of the dtype of ``actual``."""
    a, b = np.asarray(actual), np.asarray(expected)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}"
    tol = TOLERANCE[a.dtype] if tol is None else tol
    a, b = a.astype(np.float64), b.astype(np.float64)
    odd = ~np.isfinite(b)
    np.testing.assert_array_equal(a[odd], b[odd], err_msg=what)
    error, size = np.abs(a[~odd] - b[~odd]), np.abs(b[~odd]).max(initial=0)
    worst = error.max(initial=0)
    assert worst <= tol * size, f"{what}: off by {worst:.3g}, where the largest element is {size:.3g}"
