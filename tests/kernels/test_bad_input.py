"""What cannot work is refused with a message that names the function, the argument and the value, and says what would
do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
import tinyconv.functional as F


def t(*shape: int, dtype: Any = np.float32, device: str = "cpu") -> tc.Tensor:
    return tc.tensor(np.ones(shape), device, dtype=dtype)


X, W, B = t(2, 6, 5, 5), t(4, 6, 3, 3), t(4)

WRONG_VALUES: dict[str, tuple[Callable[[], Any], str]] = {
    # shapes
    "conv2d without batch axis": (lambda: F.conv2d(t(6, 5, 5), W),
        r"conv2d: x must have shape \(N, C, H, W\), not \(6, 5, 5\)"
                                  r"; add a batch axis"),
    "max_pool2d without batch axis": (lambda: F.max_pool2d(t(6, 5, 5), 2),
        r"max_pool2d: x .* not \(6, 5, 5\); add a batch"),
    "avg_pool2d of a matrix": (lambda: F.avg_pool2d(t(6, 5), 2), r"avg_pool2d: x must have shape .* not \(6, 5\)"),
    "adaptive without batch axis": (lambda: F.adaptive_avg_pool2d(t(6, 5, 5), 2),
        r"adaptive_avg_pool2d: x .*\(6, 5, 5\)"),
    "lrn without batch axis": (lambda: F.local_response_norm(t(6, 5, 5), 5), r"local_response_norm: x .*\(6, 5, 5\)"),
    "conv2d of nothing": (lambda: F.conv2d(t(0, 6, 5, 5), W), r"conv2d: x is empty: its shape is \(0, 6, 5, 5\)"),
    "max_pool2d of nothing": (lambda: F.max_pool2d(t(0, 6, 5, 5), 2), r"max_pool2d: x is empty"),
    "lrn of nothing": (lambda: F.local_response_norm(t(0, 6, 5, 5), 5), r"local_response_norm: x is empty"),
    "dropout of nothing": (lambda: F.dropout(t(0, 6)), r"dropout: x must have shape .* not \(0, 6\)"),
    "dropout of a scalar": (lambda: F.dropout(t()), r"dropout: x must have shape \(N, ...\), none of them 0; not \(\)"),
    "linear of nothing": (lambda: F.linear(t(0, 3), t(2, 3)), r"linear: x must have shape \(N, C\).* not \(0, 3\)"),
    "linear of images": (lambda: F.linear(t(2, 3, 4, 4), t(2, 48)), r"linear: x .* not \(2, 3, 4, 4\); use flatten"),
    "linear weight": (lambda: F.linear(t(2, 3), t(3, 2)), r"linear: x has 3 features, but weight has shape \(3, 2\)"),
    "linear bias": (lambda: F.linear(t(2, 3), t(4, 3), t(3)), r"linear: bias has shape \(3,\); it should be \(4,\)"),
    "cross_entropy of nothing": (lambda: F.cross_entropy(t(0, 3), []), r"cross_entropy: logits .* not \(0, 3\)"),
    "softmax of nothing": (lambda: F.softmax(t(0, 3)), r"softmax: x is empty: its shape is \(0, 3\)"),
    "mean of nothing": (lambda: F.mean(t(0, 3)), r"mean: there is nothing to average in a tensor of shape \(0, 3\)"),
    "max of nothing": (lambda: F.max(t(0, 3)), r"max: a tensor of shape \(0, 3\) has no elements"),
    "conv2d weight": (lambda: F.conv2d(X, t(4, 6, 3)), r"conv2d: weight must have shape .* not \(4, 6, 3\)"),
    "conv2d bias": (lambda: F.conv2d(X, W, t(5)), r"conv2d: bias has shape \(5,\), but weight has 4 filters"),
    "conv2d window": (lambda: F.conv2d(t(1, 6, 2, 9), W),
                      r"conv2d: a window 3 pixels high does not fit into an image of 2 pixels padded by 0"),
    "max_pool2d window": (lambda: F.max_pool2d(X, (2, 7)),
        r"max_pool2d: a window 7 pixels wide does not fit .* 5 pixels"),
    # groups
    "conv2d groups forgotten": (lambda: F.conv2d(X, t(4, 3, 3, 3)),
        r"conv2d: weight has 3 input channels per group, but x has "
                                r"6 channels in 1 group; pass groups=2\?"),
    "conv2d groups do not divide C": (lambda: F.conv2d(X, W, groups=4),
        r"conv2d: weight has 6 input .* 6 channels in 4 groups"),
    "conv2d groups do not divide K": (lambda: F.conv2d(X, t(4, 2, 3, 3), groups=3), r"conv2d: 4 filters .* 3 groups"),
    "conv2d groups 0": (lambda: F.conv2d(X, W, groups=0), r"conv2d: groups must be an int of at least 1, not 0"),
    "conv2d groups 1.0": (lambda: F.conv2d(X, W, groups=1.0), r"conv2d: groups must be an int of at least 1, not 1.0"),
    # strides and padding
    "conv2d stride 0": (lambda: F.conv2d(X, W, stride=0), r"conv2d: stride must be at least 1, not 0"),
    "conv2d stride -1": (lambda: F.conv2d(X, W, stride=(1, -1)), r"conv2d: stride must be at least 1, not \(1, -1\)"),
    "conv2d padding -1": (lambda: F.conv2d(X, W, padding=-1), r"conv2d: padding must be at least 0, not -1"),
    "max_pool2d stride 0": (lambda: F.max_pool2d(X, 2, 0), r"max_pool2d: stride must be at least 1, not 0"),
    "avg_pool2d kernel_size 0": (lambda: F.avg_pool2d(X, 0), r"avg_pool2d: kernel_size must be at least 1, not 0"),
    "avg_pool2d padding -2": (lambda: F.avg_pool2d(X, 2, padding=-2),
        r"avg_pool2d: padding must be at least 0, not -2"),
    "max_pool2d padding": (lambda: F.max_pool2d(X, 2, padding=2),
        r"max_pool2d: padding \(2, 2\) must be smaller than kernel_size"),
    "adaptive to 0": (lambda: F.adaptive_avg_pool2d(X, (1, 0)), r"adaptive_avg_pool2d: output_size must be at least 1"),
    # numbers
    "lrn size 0": (lambda: F.local_response_norm(X, 0),
        r"local_response_norm: size must be an int of at least 1, not 0"),
    "lrn size 2.5": (lambda: F.local_response_norm(X, 2.5), r"local_response_norm: size must be an int .* not 2.5"),
    "lrn alpha": (lambda: F.local_response_norm(X, 5, alpha=-1),
        r"local_response_norm: alpha must be at least 0, not -1"),
    "lrn alpha NaN": (lambda: F.local_response_norm(X, 5, alpha=np.nan), r"local_response_norm: alpha .* not nan"),
    "lrn alpha inf": (lambda: F.local_response_norm(X, 5, alpha=np.inf), r"local_response_norm: alpha .* not inf"),
    "lrn beta": (lambda: F.local_response_norm(X, 5, beta=np.nan),
        r"local_response_norm: beta must be finite, not nan"),
    "lrn k": (lambda: F.local_response_norm(X, 5, k=0),
        r"local_response_norm: k must be greater than 0, not 0"),
    "dropout p 1": (lambda: F.dropout(X, 1.0), r"dropout: p must be at least 0 and less than 1, not 1.0"),
    "dropout p -0.1": (lambda: F.dropout(X, -0.1), r"dropout: p must be .* not -0.1"),
    "dropout p NaN": (lambda: F.dropout(X, np.nan), r"dropout: p must be .* not nan"),
    "dropout first_sample": (lambda: F.dropout(X, first_sample=-1),
        r"dropout: first_sample must be an int from 0 .* not -1"),
    "dropout first_sample too large": (lambda: F.dropout(X, first_sample=2 ** 32 - 1),
        r"dropout: first_sample must be"),
    "dropout step": (lambda: F.dropout(X, step=-1), r"dropout: step must be an int from 0 to 4294967295, not -1"),
    "dropout stream": (lambda: F.dropout(X, stream=2 ** 32), r"dropout: stream must be an int .* not 4294967296"),
    "label_smoothing": (lambda: F.cross_entropy(t(2, 3), [0, 1], 1.5), r"cross_entropy: label_smoothing .* not 1.5"),
    # labels
    "label too large": (lambda: F.cross_entropy(t(3, 10), [0, 10, 99]),
                        r"cross_entropy: target\[1\] is 10, but there are 10 classes: labels go from 0 to 9"),
    "label negative": (lambda: F.cross_entropy(t(3, 10), [0, 1, -1]), r"cross_entropy: target\[2\] is -1"),
    "labels of another batch": (lambda: F.cross_entropy(t(3, 10), [0, 1]), r"cross_entropy: target has shape \(2,\)"),
    "labels one-hot": (lambda: F.cross_entropy(t(3, 4), np.eye(3, 4, dtype=int)),
        r"cross_entropy: target has shape \(3, 4\)"),
    # arithmetic and shapes
    "add": (lambda: t(2, 3) + t(2, 4), r"add: shapes \(2, 3\) and \(2, 4\) do not broadcast"),
    "matmul": (lambda: t(2, 3) @ t(2, 3),
        r"matmul: a must be \(M, L\) and b \(L, N\), but they are \(2, 3\) and \(2, 3\)"),
    "matmul of vectors": (lambda: t(3) @ t(3), r"matmul: a must be \(M, L\)"),
    "sum axis": (lambda: t(2, 3).sum(axis=2), r"sum: axis 2 is out of range for a tensor with 2 axes"),
    "sum axis twice": (lambda: t(2, 3).sum(axis=(1, -1)), r"sum: axis \(1, -1\) names one axis twice"),
    "reshape": (lambda: t(2, 3).reshape(4, -1), r"reshape: 6 elements of shape \(2, 3\) do not fit into \(4, -1\)"),
    "reshape with two unknowns": (lambda: t(2, 3).reshape(-1, -1),
        r"reshape: shape must be ints, at most one of them -1"),
    "reshape to -2": (lambda: t(2, 3).reshape(-2, 3), r"reshape: shape must be ints"),
    "permute": (lambda: t(2, 3).permute(0), r"permute: \(0,\) must name each of the 2 axes once"),
    "linear without outputs": (lambda: F.linear(t(2, 3), t(0, 3)),
        r"linear: .* weight has shape \(0, 3\); it should be \(K, 3\), with K at least 1"),
    "conv2d stride 2**63": (lambda: F.conv2d(X, W, stride=2 ** 63), r"conv2d: stride must be at most 2147483647"),
    "cat": (lambda: F.cat([t(2, 3), t(3, 3)]), r"cat: shapes \(2, 3\) and \(3, 3\) differ in more than axis 1"),
    "cat of other axes": (lambda: F.cat([t(2, 3), t(2, 3, 1)]), r"cat: shapes \(2, 3\) and \(2, 3, 1\)"),
    "cat of none": (lambda: F.cat([]), r"cat: needs at least one tensor"),
    "pad odd": (lambda: F.pad(t(2, 3), (1,)), r"pad: padding must be pairs of ints >= 0.* not \(1,\)"),
    "pad negative": (lambda: F.pad(t(2, 3), (1, -1)), r"pad: padding must be pairs"),
    "pad too many": (lambda: F.pad(t(3), (1, 1, 1, 1)), r"pad: padding must be pairs .* at most 1"),
    # devices
    "an unknown device": (lambda: tc.tensor([1.0], "gpu"),
        r"device: there is no device 'gpu' here; available: cpu, .*reference"),
    "two devices": (lambda: F.conv2d(X, t(4, 6, 3, 3, device="reference")),
        r"conv2d: inputs are on cpu and reference; .*\.to\(\)"),
    "add on two devices": (lambda: t(2) + t(2, device="reference"), r"add: inputs are on cpu and reference"),
    "seed": (lambda: tc.manual_seed(-1), r"manual_seed: seed must be an int from 0 to 2\*\*64 - 1, not -1"),
}

WRONG_TYPES: dict[str, tuple[Callable[[], Any], str]] = {
    "conv2d of integers": (lambda: F.conv2d(t(2, 6, 5, 5, dtype=np.int64), W),
                           r"conv2d: x must be float32 or float64, not int64; use .to\('float32'\)"),
    "max_pool2d of integers": (lambda: F.max_pool2d(t(2, 6, 5, 5, dtype=np.int64), 2), r"max_pool2d: x .* not int64"),
    "relu of integers": (lambda: F.relu(t(3, dtype=np.int64)), r"relu: x must be float32 or float64, not int64"),
    "add of integers": (lambda: t(3, dtype=np.int64) + 1, r"add: a must be float32 or float64, not int64"),
    "conv2d of an array": (lambda: F.conv2d(np.ones((2, 6, 5, 5)), W), r"conv2d: x must be a Tensor, not ndarray"),
    "conv2d with an array": (lambda: F.conv2d(X, W, np.ones(4)), r"conv2d: bias must be a Tensor, not ndarray"),
    "cat of arrays": (lambda: F.cat([t(2, 3), np.ones((2, 3))]), r"cat: tensors\[1\] must be a Tensor, not ndarray"),
    "pad of an array": (lambda: F.pad(np.ones(3), (1, 1)), r"pad: x must be a Tensor, not ndarray"),
    "conv2d of two dtypes": (lambda: F.conv2d(X, t(4, 6, 3, 3, dtype=np.float64)),
                             r"conv2d: inputs are float32 and float64; convert one with .to\(\)"),
    "linear of two dtypes": (lambda: F.linear(t(2, 3), t(2, 3, dtype=np.float64)),
        r"linear: inputs are float32 and float64"),
    "conv2d stride 1.5": (lambda: F.conv2d(X, W, stride=1.5),
        r"conv2d: stride must be an int or a pair of ints, not 1.5"),
    "conv2d stride of three": (lambda: F.conv2d(X, W, stride=(1, 1, 1)), r"conv2d: stride must be an int or a pair"),
    "max_pool2d of True": (lambda: F.max_pool2d(X, True),
        r"max_pool2d: kernel_size must be an int or a pair of ints, not True"),
    "labels are floats": (lambda: F.cross_entropy(t(2, 3), [0.0, 1.0]),
                          r"cross_entropy: target must hold integer class indices, not float64$"),
    "labels are NaN": (lambda: F.cross_entropy(t(2, 3), [0, np.nan]), r"cross_entropy: target .* not float64 with NaN"),
    "pow by a tensor": (lambda: t(2) ** t(2), r"pow: exponent must be a number, not Tensor"),
    "getitem by an array": (lambda: t(3)[np.array([0, 1])],
        r"getitem: index with ints, slices, ... and None, not ndarray"),
    "getitem by a list": (lambda: t(3)[[0, 1]], r"getitem: .* not list"),
    "sum over 1.0": (lambda: t(2).sum(axis=1.0), r"sum: axis must be an int or a tuple of ints, not 1.0"),
    "tensor of text": (lambda: tc.tensor(["a"]), r"tensor: cannot hold <U1; use float32, float64 or int64"),
    "tensor of complex": (lambda: tc.tensor([1j]), r"tensor: cannot hold complex128"),
    "tensor of float16": (lambda: tc.tensor([1.0], dtype="float16"), r"tensor: cannot hold float16"),
    "gradient of integers": (lambda: tc.tensor([1], requires_grad=True),
        r"only floating tensors can require a gradient, not int64"),
    "to int with a gradient": (lambda: tc.tensor([1.0], requires_grad=True).to("int64"),
        r"to: a tensor that requires a gradient"),
    "to nothing": (lambda: t(2).to(None), r"to: target must be a device or a dtype, not None"),
    "to float16": (lambda: t(2).to("float16"), r"to: there is no tensor of float16"),
}


@pytest.mark.parametrize("what", WRONG_VALUES)
def test_wrong_values_are_refused(what: str) -> None:
    call, message = WRONG_VALUES[what]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("what", WRONG_TYPES)
def test_wrong_types_are_refused(what: str) -> None:
    call, message = WRONG_TYPES[what]
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("layer, message", [
    (lambda: tc.nn.Conv2d(3, 4, 3, groups=2), r"Conv2d: groups=2 must divide in_channels=3 and out_channels=4"),
    (lambda: tc.nn.Conv2d(4, 3, 3, groups=2), r"Conv2d: groups=2 must divide in_channels=4 and out_channels=3"),
    (lambda: tc.nn.Conv2d(0, 4, 3), r"Conv2d: in_channels must be an int of at least 1, not 0"),
    (lambda: tc.nn.Conv2d(3, 4, 3, stride=0), r"Conv2d: stride must be at least 1, not 0"),
    (lambda: tc.nn.Conv2d(3, 4, 3, padding=-1), r"Conv2d: padding must be at least 0, not -1"),
    (lambda: tc.nn.Linear(3, 2.0), r"Linear: out_features must be an int of at least 1, not 2.0"),
    (lambda: tc.nn.Dropout(1), r"Dropout: p must be at least 0 and less than 1, not 1"),
    (lambda: tc.nn.MaxPool2d(0), r"MaxPool2d: kernel_size must be at least 1, not 0"),
    (lambda: tc.nn.LocalResponseNorm(0), r"LocalResponseNorm: size must be an int of at least 1, not 0"),
    (lambda: tc.nn.AdaptiveAvgPool2d(0), r"AdaptiveAvgPool2d: output_size must be at least 1, not 0"),
])
def test_layers_refuse_when_they_are_made(layer: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer()


def test_a_layer_of_another_device_is_named() -> None:
    with pytest.raises(ValueError, match="conv2d: inputs are on reference and cpu"):
        tc.nn.Conv2d(6, 4, 3)(t(2, 6, 5, 5, device="reference"))


def test_a_kernel_that_fails_is_named() -> None:
    x = tc.device("cpu").empty((1, 2, 3, 3), plain=True)
    with pytest.raises(ValueError, match=r"relu.forward on cpu: an array of shape .* is not dense"):
        tc.device("cpu").launch("relu.forward", x[:, :, ::2], x)


def test_a_refused_call_leaves_no_trace() -> None:
    """Neither in the graph nor in the random numbers."""
    x = tc.tensor(np.ones((2, 400)), requires_grad=True)
    expected = F.dropout(x, 0.5).numpy()
    tc.manual_seed(0)
    with pytest.raises(ValueError):
        F.dropout(x, 2.0)
    np.testing.assert_array_equal(F.dropout(x, 0.5).numpy(), expected)
    assert x.creator is None and x.grad is None
