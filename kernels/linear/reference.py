"""The linear layer, by its definition: x (N,C), weight (K,C), bias (K) or None, y (N,K)."""


def forward(x, weight, bias, y):
    """y[n,k] = bias[k] + sum over c of weight[k,c] x[n,c]."""
    y[...] = x @ weight.T if bias is None else x @ weight.T + bias


def backward_input(gy, weight, gx):
    """gx[n,c] = sum over k of gy[n,k] weight[k,c]."""
    gx[...] = gy @ weight


def backward_weight(x, gy, gw, gb):
    """gw[k,c] = sum over n of gy[n,k] x[n,c];  gb[k] = sum over n of gy[n,k].  gb may be None."""
    gw[...] = gy.T @ x
    if gb is not None:
        gb[...] = gy.sum(axis=0)
