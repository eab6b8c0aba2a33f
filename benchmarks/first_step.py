"""A program that has nothing loaded yet: ``python benchmarks/first_step.py caffe`` prints how long it took until the
first forward pass and the first training step.  ``startup.py`` runs it twice."""

import time

BEGIN = time.perf_counter()


def main(variant: str) -> None:
    """Prints the seconds since Python had started, after each milestone."""
    import tinyconv as tc
    import tinyconv.functional as F

    seconds = {"import": time.perf_counter() - BEGIN}
    import numpy as np

    from tinyconv.models.alexnet import VARIANTS

    model = tc.models.alexnet(variant)
    optimizer = tc.optim.SGD(model.parameters(), lr=1e-5)
    images = np.zeros((1, 3, VARIANTS[variant], VARIANTS[variant]), np.float32)
    model(tc.tensor(images)).numpy()
    seconds["forward"] = time.perf_counter() - BEGIN
    F.cross_entropy(model(tc.tensor(images)), np.zeros(1, np.int64)).backward()
    optimizer.step()
    seconds["step"] = time.perf_counter() - BEGIN
    print(json.dumps(seconds))


if __name__ == "__main__":
    import json
    import sys

    main(sys.argv[1])
