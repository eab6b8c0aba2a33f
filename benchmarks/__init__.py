"""What ``make bench`` runs: ``python -m benchmarks`` from the root of the repository.

One idea per file, in the order in which a run uses them:

``shapes.py``          the layers of AlexNet as plain data: sizes, floating-point operations, bytes
``timing.py``          interleaved runs, warm-up, medians
``peak.py``            what this machine can do at best: multiply-adds and copies per second, measured
``layers.py``          each pass of each layer as a tinyconv kernel launch
``torch_layers.py``    the same in PyTorch
``step.py``            a whole training step, in both; ``torch_networks.py`` has PyTorch's AlexNets
``memory.py``          page faults and peak memory of warm training steps, each in a process of its own
``machine.py``         what it ran on
``report.py``          the table and the JSON; ``picture.py`` the picture

tinyconv is imported before PyTorch, here and wherever both are used: its kernels ask OpenMP for threads that wait
passively (see ``kernels/jit.py``), and the two libraries share one OpenMP runtime, which listens to whoever comes
first.  PyTorch waits passively then, too, which costs it a little at batch 1; the JSON states the policy.
"""

import tinyconv.kernels.jit  # noqa: F401
