"""What ``make bench`` runs: ``python -m benchmarks`` from the root of the repository.

One idea per file, in the order in which a run uses them:

``shapes.py``          the layers of AlexNet as plain data: sizes, floating-point operations, bytes
``convolutions.py``    the convolutions of VGG-16, GoogLeNet, ResNet-50 and convnet-benchmarks
``jobs.py``            everything that there is to measure, as a list
``timing.py``          sides in turns, samples, medians; what disturbed a sample
``processes.py``       each side in a process of its own, and what makes PyTorch a tuned one; ``worker.py`` runs there
``layers.py``          each pass of each layer as a tinyconv kernel launch; ``torch_layers.py`` in PyTorch
``step.py``            a whole training step and inference, in both; ``torch_networks.py`` has PyTorch's networks
``peak.py``            what this machine can do at best: multiply-adds and copies per second, measured
``memory.py``          page faults and peak memory of warm training steps
``breakdown.py``       where the time of a training step goes, by kernel
``startup.py``         how long until the first forward pass; it times ``first_step.py``
``machine.py``         what it ran on
``report.py``          the table and the JSON; ``picture.py`` the roofline

Programs of their own: ``choose.py`` measures where Winograd pays, for ``kernels/conv/table.py``; ``gpu.py`` times a
GPU, ``cuda/`` reads what the compiler made, ``two_devices.py`` times two devices, ``loading.py`` the loader.
``ablation/`` trains what the 2012 paper compared: two towers or one, with LRN or without; ``accuracy/`` trains AlexNet
beside PyTorch; ``handcrafted.py`` compares it with what it replaced.
What those that train share: ``photos.py``, ``features.py``, ``choice.py``, ``result_file.py``, ``spread.py``,
``exit_status.py``, ``markdown.py``; what all commands do: ``arguments.py``.

Where both are used in one process (the tests do), tinyconv is imported before PyTorch: its kernels ask OpenMP for
threads that spin only shortly while they wait (see ``kernels/jit.py``), and whoever comes first decides.  PyTorch's own
processes load PyTorch first, and there it waits as it does where tinyconv is not.
"""

import tinyconv.kernels.jit  # noqa: F401
