"""How a kernel is told of views: steps along axes, and axes that are one."""

from typing import Any

import numpy as np
import pytest
from tinyconv.kernels.gpu.strides import join, padded, steps_of


def test_steps_count_elements_and_are_zero_where_an_array_is_repeated() -> None:
    x = np.zeros((4, 1, 6), np.float32)
    assert steps_of(x, (4, 1, 6)) == (6, 0, 1)
    assert steps_of(x[::-2], (5, 2, 3, 6)) == (0, -12, 0, 1)


@pytest.mark.parametrize("view, expected", [
    (lambda x: x, ((240,), (1,))),
    (lambda x: x[:, 1:3], ((2, 80), (120, 1))),
    (lambda x: x[..., ::2], ((120,), (2,))),
    (lambda x: x[:, :, ::-1], ((6, 4, 10), (40, -10, 1))),
    (lambda x: x.transpose(0, 2, 3, 1), ((2, 40, 3), (120, 1, 40))),
    (lambda x: x[1:, 2:, 3:, 4:5], ((), ())),
])
def test_axes_that_are_one_are_joined(view: Any, expected: Any) -> None:
    x = view(np.zeros((2, 3, 4, 10), np.float32))
    assert join(x.shape, steps_of(x, x.shape)) == expected


def test_axes_are_joined_only_where_every_array_allows_it() -> None:
    shape = (3, 4, 5)
    assert join(shape, (20, 5, 1), (0, 0, 0)) == ((60,), (1,), (0,))
    assert join(shape, (20, 5, 1), (5, 0, 1)) == ((3, 4, 5), (20, 5, 1), (5, 0, 1))
    assert join(shape, (20, 5, 1), (0, 5, 1)) == ((3, 20), (20, 1), (0, 1))


@pytest.mark.parametrize("seed", range(20))
def test_the_joined_walk_visits_the_same_elements_in_the_same_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(6 ** 4).reshape(6, 6, 6, 6)
    cuts = [slice(None, None, step) for step in rng.choice([1, 2, -1, 7], 4)]
    x = x[tuple(cuts)].transpose(rng.permutation(4))
    sizes, steps = join(x.shape, steps_of(x, x.shape))
    visited = x.flat[0] + sum((np.multiply(i, s) for i, s in zip(np.indices(sizes), steps, strict=True)),
                              start=np.zeros(sizes, int))
    assert visited.ravel().tolist() == x.ravel().tolist()


def test_a_walk_that_the_kernel_cannot_take_is_refused() -> None:
    assert padded((5, 7), 4, 1) == (1, 1, 5, 7)
    with pytest.raises(ValueError, match="a walk over 3 axes that cannot be joined, where a kernel takes 2"):
        padded((2, 2, 2), 2, 1)
