"""The linear layer on a GPU: see "On a GPU" in README.md for the ladder of kernels, of which ``ladder.py`` chooses
one."""

from ..gpu import Source, blocks

_NAIVE = Source(__file__, "naive.cu")
_THREADS = 256


def forward(x, weight, bias, y, *, relu=False):
    _NAIVE.launch("forward", blocks(y.size, _THREADS), _THREADS, x, weight, bias, y, relu, *_shape(x, weight),
                  real=x.dtype)


def backward_input(gy, weight, gx, y=None):
    _NAIVE.launch("backward_input", blocks(gx.size, _THREADS), _THREADS, gy, weight, gx, y, *_shape(gx, weight),
                  real=gx.dtype)


def backward_weight(x, gy, gw, gb, y=None):
    _NAIVE.launch("backward_weight", blocks(gw.size, _THREADS), _THREADS, x, gy, gw, y, *_shape(x, gw), real=x.dtype)
    if gb is not None:
        _NAIVE.launch("bias_gradient", blocks(len(gb), _THREADS), _THREADS, gy, y, gb, *gy.shape, real=x.dtype)


def _shape(x, weight):
    """N, C, K."""
    return *x.shape, len(weight)
