"""One launch of every CPU kernel, on arrays large enough that all threads get some work."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyconv as tc

CPU = tc.device("cpu")


def _image(*shape: int) -> np.ndarray:
    return CPU.upload(np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32))


def _plain(*shape: int) -> np.ndarray:
    return CPU.upload(np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32), plain=True)


def _rare(*shape: int) -> np.ndarray:
    """Of which most columns are 0."""
    return _plain(*shape) * (np.arange(shape[-1]) % 4 == 1)


def _conv(groups: int, kernel: int) -> dict[str, Any]:
    return {"stride": (1, 1), "padding": (kernel // 2, kernel // 2), "groups": groups}


WINDOW: dict[str, Any] = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
NORM: dict[str, Any] = {"size": 5, "alpha": 1.0, "beta": 0.75, "k": 2.0}
RANDOM: dict[str, Any] = {"p": 0.5, "seed": 1, "stream": 2, "step": 3, "first_sample": 4}
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
LABELS = np.arange(300) % 200


def _max_index() -> np.ndarray:
    index = CPU.empty((8, 32, 16, 16), np.uint8)
    CPU.launch("pool.max_forward", _image(8, 32, 32, 32), _image(8, 32, 16, 16), index, **WINDOW)
    return index


def _scale() -> np.ndarray:
    return CPU.upload(np.abs(_image(8, 32, 32, 32)) + 1)


# name -> (arrays before the launch, options): what a kernel writes is among the arrays
LAUNCHES: dict[str, Callable[[], tuple[list[Any], dict[str, Any]]]] = {
    "conv.forward": lambda: ([_image(8, 32, 32, 32), _plain(48, 32, 3, 3), _plain(48), _image(8, 48, 32, 32)],
                             _conv(1, 3)),
    "conv.forward grouped": lambda: (
        [_image(8, 32, 32, 32), _plain(48, 16, 3, 3), _plain(48), _image(8, 48, 32, 32)], _conv(2, 3)),
    "conv.forward relu": lambda: ([_image(8, 32, 32, 32), _plain(48, 32, 3, 3), _plain(48), _image(8, 48, 32, 32)],
                                  {**_conv(1, 3), "relu": True}),
    "conv.backward_input relu": lambda: (
        [_image(8, 48, 32, 32), _plain(48, 16, 3, 3), _image(8, 32, 32, 32), -_image(8, 48, 32, 32)], _conv(2, 3)),
    "conv.backward_weight relu": lambda: (
        [_image(8, 32, 32, 32), _image(8, 48, 32, 32), _plain(48, 16, 3, 3), _plain(48), -_image(8, 48, 32, 32)],
        _conv(2, 3)),
    "conv.forward 1x1": lambda: ([_image(8, 32, 32, 32), _plain(48, 32, 1, 1), None, _image(8, 48, 32, 32)],
                                 _conv(1, 1)),
    "conv.backward_input": lambda: ([_image(8, 48, 32, 32), _plain(48, 32, 3, 3), _image(8, 32, 32, 32)], _conv(1, 3)),
    "conv.backward_input grouped": lambda: (
        [_image(8, 48, 32, 32), _plain(48, 16, 3, 3), _image(8, 32, 32, 32)], _conv(2, 3)),
    "conv.backward_weight": lambda: (
        [_image(8, 32, 32, 32), _image(8, 48, 32, 32), _plain(48, 32, 3, 3), _plain(48)], _conv(1, 3)),
    "conv.backward_weight grouped": lambda: (
        [_image(8, 32, 32, 32), _image(8, 48, 32, 32), _plain(48, 16, 3, 3), _plain(48)], _conv(2, 3)),
    "conv.forward few channels": lambda: (
        [_image(8, 3, 33, 35), _plain(64, 3, 3, 3), _plain(64), _image(8, 64, 33, 35)], {**_conv(1, 3), "relu": True}),
    "conv.backward_input few channels": lambda: (
        [_image(8, 16, 48, 48), _plain(16, 16, 3, 3), _image(8, 16, 48, 48), -_image(8, 16, 48, 48)], _conv(1, 3)),
    "conv.forward few pixels": lambda: (
        [_image(2, 64, 8, 8), _plain(192, 32, 5, 5), _plain(192), _image(2, 192, 8, 8)], _conv(2, 5)),
    "conv.backward_input few pixels": lambda: (
        [_image(2, 192, 8, 8), _plain(192, 32, 5, 5), _image(2, 64, 8, 8)], _conv(2, 5)),
    "conv.backward_weight 1x1": lambda: (
        [_image(8, 300, 32, 32), _image(8, 200, 16, 16), _plain(200, 300, 1, 1), None, -_image(8, 200, 16, 16)],
        {**_conv(1, 1), "stride": (2, 2)}),
    "conv.backward_weight 1x1 where x lies": lambda: (
        [_image(8, 128, 32, 32), _image(8, 120, 32, 32), _plain(120, 128, 1, 1), None], _conv(1, 1)),
    "conv.backward_weight 1x1 few pixels": lambda: (
        [_image(2, 300, 16, 16), _image(2, 200, 16, 16), _plain(200, 300, 1, 1), None], _conv(1, 1)),
    "conv.backward_weight few pixels": lambda: (
        [_image(2, 64, 8, 8), _image(2, 192, 8, 8), _plain(192, 32, 5, 5), _plain(192)], _conv(2, 5)),
    "pool.max_forward": lambda: ([_image(8, 32, 32, 32), _image(8, 32, 16, 16), _max_index()], WINDOW),
    "pool.max_backward": lambda: ([_image(8, 32, 16, 16), _max_index(), _image(8, 32, 32, 32)], WINDOW),
    "pool.average_forward": lambda: (
        [_image(8, 32, 32, 32), _image(8, 32, 16, 16)], {**WINDOW, "count_include_pad": False}),
    "pool.average_backward": lambda: (
        [_image(8, 32, 16, 16), _image(8, 32, 32, 32)], {**WINDOW, "count_include_pad": False}),
    "pool.adaptive_average_forward": lambda: ([_image(8, 32, 32, 32), _image(8, 32, 6, 6)], {}),
    "pool.adaptive_average_backward": lambda: ([_image(8, 32, 6, 6), _image(8, 32, 32, 32)], {}),
    "lrn.forward": lambda: ([_image(8, 32, 32, 32) for _ in range(3)], NORM),
    "lrn.backward": lambda: (
        [_image(8, 32, 32, 32), _image(8, 32, 32, 32), _scale(), _image(8, 32, 32, 32), _image(8, 32, 32, 32)], NORM),
    "lrn_max_pool.forward": lambda: (
        [_image(8, 32, 32, 32), _image(8, 32, 16, 16), _max_index()], {**NORM, **WINDOW}),
    "lrn_max_pool.forward one image": lambda: (
        [_image(1, 64, 64, 64), _image(1, 64, 32, 32), CPU.empty((1, 64, 32, 32), np.uint16)], {**NORM, **WINDOW}),
    "lrn_max_pool.backward": lambda: (
        [_image(8, 32, 32, 32), _max_index(), _image(8, 32, 16, 16), _image(8, 32, 32, 32)], {**NORM, **WINDOW}),
    "relu.forward": lambda: ([_image(8, 32, 32, 32), _image(8, 32, 32, 32)], {}),
    "relu.backward": lambda: ([_image(8, 32, 32, 32) for _ in range(3)], {}),
    "dropout.apply": lambda: ([_image(8, 32, 32, 32), _image(8, 32, 32, 32)], RANDOM),
    "linear.forward": lambda: ([_plain(256, 512), _plain(384, 512), _plain(384), _plain(256, 384)], {}),
    "linear.backward_input": lambda: ([_plain(256, 384), _plain(384, 512), _plain(256, 512)], {}),
    "linear.backward_weight": lambda: ([_plain(256, 512), _plain(256, 384), _plain(384, 512), _plain(384)], {}),
    "linear.forward few images": lambda: ([_plain(5, 512), _plain(384, 512), _plain(384), _plain(5, 384)], {}),
    "linear.backward_input few images": lambda: ([_rare(5, 384), _plain(384, 512), _plain(5, 512)], {}),
    "linear.backward_input one image": lambda: (
        [_rare(1, 384), _plain(384, 500), _plain(1, 500), -_plain(1, 384)], {}),
    "linear.forward relu": lambda: (
        [_plain(256, 512), _plain(384, 512), _plain(384), _plain(256, 384)], {"relu": True}),
    "linear.backward_input relu": lambda: (
        [_plain(256, 384), _plain(384, 512), _plain(256, 512), -_plain(256, 384)], {}),
    "linear.backward_weight relu": lambda: (
        [_plain(256, 512), _plain(256, 384), _plain(384, 512), _plain(384), -_plain(256, 384)], {}),
    "elementwise.fill": lambda: ([_image(8, 32, 32, 32)], {"value": 2.0}),
    "elementwise.copy": lambda: ([_plain(8, 32, 32, 32), _scale()], {}),
    "elementwise.copy alike": lambda: ([_scale(), _image(8, 32, 32, 32)], {}),
    "elementwise.copy to plain": lambda: ([_scale(), _plain(8, 32, 32, 32)], {}),
    "elementwise.copy of channels": lambda: (
        [_image(8, 64, 32, 32)[:, 16:48], _image(8, 96, 32, 32)[:, 32:64]], {}),
    "elementwise.copy of images": lambda: (
        [_plain(5, 3, 67, 71), CPU.upload(np.zeros((5, 3, 67, 71), np.float32))], {}),
    "elementwise.sub": lambda: ([_image(8, 32, 32, 32) for _ in range(3)], {}),
    "elementwise.mul": lambda: ([_image(8, 32, 32, 32) for _ in range(3)], {}),
    "elementwise.div": lambda: ([_image(8, 32, 32, 32), _scale(), _image(8, 32, 32, 32)], {}),
    "elementwise.scale": lambda: ([_image(8, 32, 32, 32), _image(8, 32, 32, 32)], {"factor": 0.3}),
    "elementwise.power": lambda: ([_scale(), _image(8, 32, 32, 32)], {"exponent": 1.5}),
    "elementwise.exp": lambda: ([_image(8, 32, 32, 32), _image(8, 32, 32, 32)], {}),
    "elementwise.log": lambda: ([_scale(), _image(8, 32, 32, 32)], {}),
    "reduce.sum": lambda: ([_image(8, 32, 32, 32), _plain(8, 1, 1, 32)], {"axes": (1, 2)}),
    "reduce.max": lambda: ([_image(8, 32, 32, 32), _plain(8, 1, 1, 32)], {"axes": (1, 2)}),
    "reduce.max_backward": lambda: (
        [_plain(300, 200), _plain(300, 200).max(axis=1, keepdims=True), _plain(300, 1), _plain(300, 200)],
        {"axes": (1,)}),
    "elementwise.add": lambda: ([_image(8, 32, 32, 32) for _ in range(3)], {}),
    "softmax_cross_entropy.softmax": lambda: ([_plain(300, 200), _plain(300, 200)], {}),
    "softmax_cross_entropy.softmax_backward": lambda: ([_plain(300, 200) for _ in range(3)], {}),
    "softmax_cross_entropy.log_softmax": lambda: ([_plain(300, 200), _plain(300, 200)], {}),
    "softmax_cross_entropy.log_softmax_backward": lambda: ([_plain(300, 200) for _ in range(3)], {}),
    "softmax_cross_entropy.forward": lambda: (
        [_plain(300, 200), LABELS, _plain(), _plain(300, 200)], {"label_smoothing": 0.1}),
    "softmax_cross_entropy.backward": lambda: (
        [_plain(300, 200), LABELS, _plain(), _plain(300, 200)], {"label_smoothing": 0.1}),
    "update.sgd": lambda: ([_plain(300, 500) for _ in range(3)], SGD),
    "update.sum_of_squares": lambda: ([_plain(300, 500), np.zeros(())], {}),
}
