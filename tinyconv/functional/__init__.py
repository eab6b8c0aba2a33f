"""Functions of tensors, as ``import tinyconv.functional as F``.  Names and arguments follow ``torch.nn.functional``.

Shape letters: N images, C channels in, K channels out (filters), H x W pixels in, P x Q out, R x S filter, G groups.
Each function checks its arguments, and calls a :class:`~tinyconv.function.Function` that launches kernels.
"""

from .activation import dropout, relu
from .arithmetic import add, div, exp, log, matmul, max, mean, mul, neg, pow, sub, sum
from .convolution import conv2d
from .linear import linear
from .loss import cross_entropy, log_softmax, softmax
from .normalization import local_response_norm
from .pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from .shape import cat, flatten, getitem, pad, permute, reshape, to, transpose

__all__ = [
    "adaptive_avg_pool2d", "add", "avg_pool2d", "cat", "conv2d", "cross_entropy", "div", "dropout", "exp", "flatten",
    "getitem", "linear", "local_response_norm", "log", "log_softmax", "matmul", "max", "max_pool2d", "mean", "mul",
    "neg", "pad", "permute", "pow", "relu", "reshape", "softmax", "sub", "sum", "to", "transpose",
]
