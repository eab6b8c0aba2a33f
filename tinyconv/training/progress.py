"""What one sees while it runs: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from .evaluation import Result


class Progress:
    """Images done, images/s, time left, and loss and accuracy so far.  On standard error; use as ``with
    Progress(...)``.

    Args:
        title: what is going on.
        images: how many there are, and ``done``, how many were done before.
        every: batches between two reports.
    """

    def __init__(self, title: str, images: int, done: int, every: int) -> None:
        self.title, self.images, self.every = title, images, max(1, every)
        self.first, self.began, self.batches = done, time.monotonic(), 0
        self.bar = tqdm(total=images, initial=done, desc=title, unit="img", dynamic_ncols=True, leave=False,
                        disable=not sys.stderr.isatty())

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def update(self, result: Result, lr: float | None = None) -> None:
        """After each batch, with the sums so far."""
        self.batches += 1
        self.bar.update(result.images - self.bar.n)
        if self.batches % self.every and result.images < self.images:
            return
        text = f"loss {result.loss:.4f}, top-1 {100 * result.top1:.1f} %, top-5 {100 * result.top5:.1f} %"
        if lr is not None:
            text += f", lr {lr:.3g}"
        if self.bar.disable:
            rate = (result.images - self.first) / max(time.monotonic() - self.began, 1e-9)
            print(f"{self.title}: {result.images}/{self.images} images, {rate:.0f} images/s, "
                  f"{(self.images - result.images) / rate:.0f} s left, {text}", file=sys.stderr, flush=True)
        else:
            self.bar.set_postfix_str(text)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        tqdm.write(text, file=sys.stderr)
