"""The 2012 paper's ablation, in small: do two towers help, and does local response normalisation?

    python -m benchmarks.ablation                                   # 12 runs; goes on where it was stopped
    python -m benchmarks.ablation --only "two, LRN|seed 0"          # some of them

Four networks, {two towers, one tower of equal cost} x {LRN, no LRN}, trained on the same batches of 64-pixel photos,
with each of several seeds.

``networks.py``    the four networks, and why their widths are as they are
``runs.py``        one training run: data, loaders, trainer; what is kept when it is finished
``table.py``       means and spreads over the seeds, and what each of the two ideas changes
``__main__.py``    the command line
"""
