"""The update of the parameters, by its definition."""


def sgd(w, g, v, *, lr, momentum, weight_decay):
    """v <- momentum * v - lr * (g + weight_decay * w);  w <- w + v   (Krizhevsky et al. 2012, section 5)."""
    number = w.dtype.type
    v[...] = number(momentum) * v - number(lr) * (g + number(weight_decay) * w)
    w += v


def sum_of_squares(g, total):
    """total[()] = sum of g**2, in double precision."""
    total[()] = (g.astype("float64") ** 2).sum()
