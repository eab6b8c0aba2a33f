"""Local response normalisation, by its definition.  See README.md for the formulas.

x, y, scale (N,C,H,W).  The window of channel c is c - size//2 .. c + (size-1)//2, cut off at the first and last
channel: ``size`` channels, centred for odd sizes, one further to the left for even ones (as PyTorch does it).
"""


def forward(x, y, scale, *, size, alpha, beta, k):
    """scale[c] = k + alpha/size * sum over the window of c of x**2;   y = x * scale**-beta."""
    for c in range(x.shape[1]):
        window = x[:, max(0, c - size // 2):c + (size - 1) // 2 + 1]
        scale[:, c] = k + alpha / size * (window ** 2).sum(axis=1)
    y[...] = x * scale ** -beta


def backward(x, y, scale, gy, gx, *, size, alpha, beta, k):
    """gx[c] = gy[c] scale[c]**-beta - 2 alpha beta / size * x[c] * sum over all j whose window holds c of
    gy[j] y[j] / scale[j]."""
    ratio = gy * y / scale
    for c in range(x.shape[1]):
        holders = ratio[:, max(0, c - (size - 1) // 2):c + size // 2 + 1]
        gx[:, c] = gy[:, c] * scale[:, c] ** -beta - 2 * alpha * beta / size * x[:, c] * holders.sum(axis=1)
