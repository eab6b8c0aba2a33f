"""Writes functions.npz: inputs, options, and what PyTorch makes of them, in double precision.

    python tests/vectors/make_vectors.py        # needs PyTorch; see README.md for when to run it
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as T

# name of the case: (function, shapes of the inputs, options), in PyTorch's names, which are ours but for `dim`
CASES: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any]]] = {
    "conv": ("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], {"stride": (2, 1), "padding": (1, 2)}),
    "conv_groups": ("conv2d", [(1, 4, 4, 5), (6, 2, 3, 3)], {"padding": 1, "groups": 2}),
    "conv_1x1": ("conv2d", [(2, 5, 3, 3), (4, 5, 1, 1), (4,)], {}),
    "conv_as_in_alexnet": ("conv2d", [(1, 3, 23, 23), (2, 3, 11, 11), (2,)], {"stride": 4, "padding": 2}),
    "max_pool": ("max_pool2d", [(2, 3, 7, 6)], {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    "avg_pool": ("avg_pool2d", [(1, 2, 7, 6)], {"kernel_size": 3, "stride": (2, 3), "padding": 1, "ceil_mode": True}),
    "avg_pool_of_pixels": ("avg_pool2d", [(1, 2, 7, 6)],
                           {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    "adaptive": ("adaptive_avg_pool2d", [(1, 2, 7, 5)], {"output_size": (3, 4)}),
    "lrn": ("local_response_norm", [(2, 7, 2, 3)], {"size": 5, "alpha": 1.0, "beta": 0.75, "k": 2.0}),
    "lrn_even": ("local_response_norm", [(1, 7, 2, 2)], {"size": 4, "alpha": 1.5, "beta": 0.6, "k": 1.0}),
    "relu": ("relu", [(2, 3, 4)], {}),
    "linear": ("linear", [(3, 5), (4, 5), (4,)], {}),
    "softmax": ("softmax", [(2, 5, 2, 2)], {"dim": 1}),
    "log_softmax": ("log_softmax", [(3, 6)], {"dim": 1}),
    "cross_entropy": ("cross_entropy", [(4, 6)], {"target": [0, 5, 2, 2]}),
    "cross_entropy_smoothed": ("cross_entropy", [(4, 6)], {"target": [0, 5, 2, 2], "label_smoothing": 0.1}),
}


def main() -> None:
    random = np.random.default_rng(2012)
    arrays: dict[str, Any] = {"torch": np.array(torch.__version__)}
    for case, (function, shapes, options) in CASES.items():
        inputs = [torch.tensor(random.standard_normal(shape), requires_grad=True) for shape in shapes]
        given = {**options, "target": torch.tensor(options["target"])} if "target" in options else options
        y = getattr(T, function)(*inputs, **given)
        cotangent = torch.tensor(random.standard_normal(tuple(y.shape)))
        y.backward(cotangent)
        arrays[f"{case}.function"] = np.array(function)
        arrays[f"{case}.options"] = np.array(json.dumps(options))
        arrays[f"{case}.y"], arrays[f"{case}.gy"] = y.detach().numpy(), cotangent.numpy()
        for i, x in enumerate(inputs):
            arrays[f"{case}.x{i}"], arrays[f"{case}.gx{i}"] = x.detach().numpy(), x.grad.numpy()
    np.savez_compressed(Path(__file__).with_name("functions.npz"), **arrays)


if __name__ == "__main__":
    main()
