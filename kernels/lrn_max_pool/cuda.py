"""Local response normalisation and max-pooling on a GPU, one after the other."""

from ..lrn import cuda as lrn
from ..pool import cuda as pool
from ..scratch import deal, nbytes


def forward(x, y, index, *, size, alpha, beta, k, kernel_size, stride, padding, scratch):
    normalised, scale = deal(scratch, *_images(x, 2))
    lrn.forward(x, normalised, scale, size=size, alpha=alpha, beta=beta, k=k)
    pool.max_forward(normalised, y, index, kernel_size=kernel_size, stride=stride, padding=padding)


def backward(x, index, gy, gx, *, size, alpha, beta, k, kernel_size, stride, padding, scratch):
    normalised, scale, gradient = deal(scratch, *_images(x, 3))
    lrn.forward(x, normalised, scale, size=size, alpha=alpha, beta=beta, k=k)
    pool.max_backward(gy, index, gradient, kernel_size=kernel_size, stride=stride, padding=padding)
    lrn.backward(x, normalised, scale, gradient, gx, size=size, alpha=alpha, beta=beta, k=k)


def forward_workspace(x, y, index, *, size, alpha, beta, k, kernel_size, stride, padding):
    return nbytes(*_images(x, 2))


def backward_workspace(x, index, gy, gx, *, size, alpha, beta, k, kernel_size, stride, padding):
    return nbytes(*_images(x, 3))


def _images(x, count):
    return [(x.shape, x.dtype)] * count
