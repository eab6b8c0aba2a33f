"""Shapes, operations and bytes of AlexNet's layers, against numbers worked out by hand."""

import pytest

from benchmarks import convolutions, shapes
from benchmarks.shapes import FORWARD, INPUT, WEIGHT

LAYERS = {layer.name: layer for layer in shapes.alexnet()}


@pytest.mark.parametrize("name, y", [
    ("conv1", (96, 55, 55)), ("pool1", (96, 27, 27)), ("conv2", (256, 27, 27)), ("pool2", (256, 13, 13)),
    ("conv3", (384, 13, 13)), ("conv5", (256, 13, 13)), ("pool5", (256, 6, 6)), ("lrn1-pool1", (96, 27, 27)),
    ("fc6", (4096,)), ("fc8", (1000,))])
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
    assert LAYERS["pool5"].bytes(1, FORWARD) == 4 * 256 * 13 * 13 + (4 + 1) * 256 * 6 * 6
    assert LAYERS["lrn2-pool2"].bytes(1, FORWARD) == 4 * 256 * 27 * 27 + (4 + 1) * 256 * 13 * 13
    assert LAYERS["lrn2-pool2"].bytes(1, INPUT) == 2 * 4 * 256 * 27 * 27 + (4 + 1) * 256 * 13 * 13  # x, too
    assert LAYERS["fc7"].bytes(1, WEIGHT) == 4 * (4096 + 4096 + 4096 * 4096)
    assert LAYERS["update"].bytes(1, shapes.UPDATE) == 20 * 60_965_224


@pytest.mark.parametrize("network, shapes, multiply_accumulates", [
    # Worked out by hand from the papers' tables: distinct shapes, and the sum of their multiply-accumulates an image.
    ("convnet", 5, 3 * 96 * 121 * 118 ** 2 + 64 * 128 * 81 * 56 ** 2 + 128 * 128 * 81 * 24 ** 2
     + 128 * 128 * 49 * 10 ** 2 + 384 * 384 * 9 * 11 ** 2),
    ("vgg16", 9, 9 * ((3 + 64) * 64 * 224 ** 2 + (64 + 128) * 128 * 112 ** 2 + (128 + 256) * 256 * 56 ** 2
                      + (256 + 512) * 512 * 28 ** 2 + 512 * 512 * 14 ** 2))])
def test_the_shapes_of_other_networks(network, shapes, multiply_accumulates):
    layers = getattr(convolutions, network)()
    assert len(layers) == shapes
    assert sum(layer.flops(1, FORWARD) for layer in layers) == 2 * multiply_accumulates


def test_shapes_that_repeat_stand_there_once():
    for network in (convolutions.vgg16, convolutions.googlenet, convolutions.resnet50):
        names = [layer.name for layer in network()]
        assert len(set(names)) == len(names)
    names = [layer.name for layer in convolutions.resnet50()]
    assert len(names) == 23 and "resnet50 128>128 3x3 at 56/2" in names and "resnet50 2048>512 1x1 at 7" in names
    names = [layer.name for layer in convolutions.googlenet()]
    assert names[0] == "googlenet 3>64 7x7 at 224/2" and "googlenet 48>128 5x5 at 7" in names
