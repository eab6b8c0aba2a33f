"""What is timed must be the right thing: both sides of every case compute the same values."""

import numpy as np
import pytest

from benchmarks import layers, shapes
from benchmarks.shapes import FORWARD, INPUT, UPDATE, WEIGHT

# Small relatives of AlexNet's layers: the same kinds and options, odd sizes.
SMALL = [
    shapes.Conv("conv1", (3, 23, 23), 8, 11, stride=4), shapes.Conv("conv2", (8, 7, 7), 6, 5, padding=2, groups=2),
    shapes.Pool("pool", (5, 8, 8)), shapes.LRN("lrn", (7, 3, 3), alpha=1.0),
    shapes.LRNMaxPool("lrn-pool", (7, 6, 6), alpha=1.0), shapes.ReLU("relu", (4, 5, 5)),
    shapes.Linear("fc", (12,), 7), shapes.Loss("loss", (10,)), shapes.Update("update", (26,), ((4, 5), (6,)))]
CASES = [(layer, which) for layer in SMALL for which in layer.passes]
# float32 sums of up to 363 products, in another order: a few times sqrt(363) * 2**-24 of the largest value
TOLERANCE = 1e-5


@pytest.mark.parametrize("tuned", [False, True], ids=["as installed", "tuned"])
@pytest.mark.parametrize("layer, which", CASES, ids=lambda value: getattr(value, "name", value))
def test_tinyconv_and_torch_compute_the_same(layer, which, tuned):
    pytest.importorskip("torch")
    from benchmarks import torch_layers

    data = layers.numbers(layer, 3)
    ours = layers.side(layer, which, data)
    theirs = torch_layers.side(layer, which, data, channels_last=tuned, fused=tuned)
    for _ in range(2):  # the second run must not be spoiled by the first
        ours.run()
        theirs.run()
    result, expected = ours.result(), theirs.result()
    assert result.keys() == expected.keys() and result
    for name in result:
        assert result[name].shape == expected[name].shape
        difference = np.abs(result[name] - expected[name]).max()
        assert difference <= TOLERANCE * np.abs(expected[name]).max(), (name, difference)


@pytest.mark.parametrize("which, source, target", [(FORWARD, "x", "y"), (INPUT, "gy", "gx")])
def test_dropout_zeroes_or_doubles_on_both_sides(which, source, target):
    """Their random numbers differ, so the masks do, too."""
    pytest.importorskip("torch")
    from benchmarks import torch_layers

    layer = shapes.Dropout("drop", (1000,))
    data = layers.numbers(layer, 4)
    for module in (layers, torch_layers):
        side = module.side(layer, which, data)
        side.run()
        y = side.result()[target]
        kept = y != 0
        assert np.array_equal(y[kept], 2 * data[source][kept])
        assert 0.4 < kept.mean() < 0.6  # 4000 coins: one half, plus or minus 0.008


def test_a_forward_pass_by_hand():
    """One 2x2 filter of ones over a 3x3 image that counts from 1: independent of PyTorch."""
    layer = shapes.Conv("conv", (1, 3, 3), 1, 2)
    ones = np.ones((1, 1, 2, 2), np.float32)
    data = {"x": np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3), "gy": ones, "weight": ones,
            "bias": np.array([0.5], np.float32)}

    def values(which):
        side = layers.side(layer, which, data)
        side.run()
        return side.result()

    assert values(FORWARD)["y"].ravel().tolist() == [12.5, 16.5, 24.5, 28.5]
    assert values(INPUT)["gx"].ravel().tolist() == [1, 2, 1, 2, 4, 2, 1, 2, 1]
    assert values(WEIGHT)["gw"].ravel().tolist() == [12, 16, 24, 28] and values(WEIGHT)["gb"].tolist() == [4]


def test_every_layer_of_alexnet_has_a_case():
    for layer in shapes.alexnet():
        assert layer.kind in layers._KINDS and set(layer.passes) <= {FORWARD, INPUT, WEIGHT, UPDATE}
