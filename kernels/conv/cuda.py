"""Convolution on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses one."""

from ..gpu import Source, blocks

_NAIVE = Source(__file__, "naive.cu")
_BIAS = Source(__file__, "bias.cu")
_THREADS = 256


def forward(x, weight, bias, y, *, stride, padding, groups, relu=False, kept=None):
    _NAIVE.launch("forward", blocks(y.size, _THREADS), _THREADS, x, weight, bias, y, relu,
                  *_shape(x, weight, y, stride, padding, groups), real=x.dtype)


def backward_input(gy, weight, gx, y=None, *, stride, padding, groups):
    _NAIVE.launch("backward_input", blocks(gx.size, _THREADS), _THREADS, gy, weight, gx, y,
                  *_shape(gx, weight, gy, stride, padding, groups), real=gx.dtype)


def backward_weight(x, gy, gw, gb, y=None, *, stride, padding, groups):
    _NAIVE.launch("backward_weight", blocks(gw.size, _THREADS), _THREADS, x, gy, gw, y,
                  *_shape(x, gw, gy, stride, padding, groups), real=x.dtype)
    if gb is not None:
        N, K, P, Q = gy.shape
        _BIAS.launch("bias_gradient", K, _THREADS, gy, y, gb, N, K, P * Q, real=x.dtype)


def _shape(x, weight, y, stride, padding, groups):
    """The numbers that ``shape.cuh`` names SHAPE."""
    N, C, H, W = x.shape
    _, K, P, Q = y.shape
    return N, C, H, W, K, P, Q, *weight.shape[2:], *stride, *padding, groups
