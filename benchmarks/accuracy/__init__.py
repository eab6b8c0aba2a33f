"""Does AlexNet learn as much here as in PyTorch?  The same recipe on both sides, with several seeds each.

    python -m benchmarks.accuracy                                   # 6 runs of 15 epochs; goes on where it was stopped
    python -m benchmarks.accuracy --only "PyTorch, seed 0"          # some of them

One side is what a user of tinyconv types: ``examples/alexnet_imagenet.py``, then ``python -m tinyconv.evaluate``.  The
other is written with PyTorch alone, augmentation and evaluation included.  Both read the same encoded photos and the
same statistics of their pixels from one pack, and draw initial weights from the same distributions, each with its own
random numbers: so runs are not equal, but their accuracies must be.

``recipe.py``     what both sides do, and what a run is
``ours.py``       the commands of tinyconv's side
``pictures.py``   PyTorch's side: photos, augmentation, crops
``theirs.py``     PyTorch's side: network, training, evaluation
``table.py``      means and spreads over the seeds, and how far the sides are apart
``__main__.py``   the command line
"""
