"""Shapes, operations and bytes of AlexNet's layers, against numbers worked out by hand."""

import pytest

from benchmarks import shapes
from benchmarks.shapes import FORWARD, INPUT, WEIGHT

LAYERS = {layer.name: layer for layer in shapes.alexnet()}


@pytest.mark.parametrize("name, y", [
    ("conv1", (96, 55, 55)), ("pool1", (96, 27, 27)), ("conv2", (256, 27, 27)), ("pool2", (256, 13, 13)),
    ("conv3", (384, 13, 13)), ("conv5", (256, 13, 13)), ("pool5", (256, 6, 6)), ("fc6", (4096,)), ("fc8", (1000,))])
def test_output_shapes_are_those_of_the_2012_network(name, y):
    assert LAYERS[name].y == y


@pytest.mark.parametrize("name, multiply_accumulates", [
    ("conv1", 55 * 55 * 96 * 11 * 11 * 3),  # 105,415,200
    ("conv2", 27 * 27 * 256 * 5 * 5 * 48),  # two groups: each filter sees 48 of 96 channels
    ("conv3", 13 * 13 * 384 * 3 * 3 * 256), ("fc6", 9216 * 4096), ("fc8", 4096 * 1000)])
@pytest.mark.parametrize("which", [FORWARD, INPUT, WEIGHT])
def test_every_pass_of_a_layer_with_weights_has_the_same_operations(name, multiply_accumulates, which):
    assert LAYERS[name].flops(1, which) == 2 * multiply_accumulates
    assert LAYERS[name].flops(32, which) == 64 * multiply_accumulates


def test_the_whole_network_has_the_published_size():
    assert sum(layer.flops(1, FORWARD) for layer in LAYERS.values()) == 2 * 724_406_816  # 724.4 M multiply-accumulates
    assert LAYERS["update"].x == (60_965_224,)


def test_bytes_by_hand():
    assert LAYERS["relu3"].bytes(2, FORWARD) == 2 * 4 * 2 * 384 * 13 * 13  # read x, write y
    assert LAYERS["relu3"].bytes(2, INPUT) == 3 * 4 * 2 * 384 * 13 * 13  # read y and gy, write gx
    assert LAYERS["pool5"].bytes(1, FORWARD) == 4 * 256 * 13 * 13 + (4 + 2) * 256 * 6 * 6
    assert LAYERS["fc7"].bytes(1, WEIGHT) == 4 * (4096 + 4096 + 4096 * 4096)
    assert LAYERS["update"].bytes(1, shapes.UPDATE) == 20 * 60_965_224
