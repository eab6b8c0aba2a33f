"""What one sees while it runs: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from .evaluation import Result
from .rss import resident


class Progress:
    """Images done, images/s, time left, loss and accuracy so far, and whether the loader keeps up.  On standard error;
    use as ``with Progress(...)``.

    Args:
        title: what is going on.
        images: how many there are, and ``done``, how many were done before.
        every: batches between two reports.
        run: epochs done and wanted, and the best validation top-1 (None before the first): a second bar, of the run.
    """

    def __init__(self, title: str, images: int, done: int, every: int,
                 run: tuple[int, int, float | None] | None = None) -> None:
        self.title, self.images, self.every = title, images, max(1, every)
        self.first, self.began, self.batches = done, time.monotonic(), 0
        how = {"dynamic_ncols": True, "leave": False, "disable": not sys.stderr.isatty()}
        self.bar = tqdm(total=images, initial=done, desc=title, unit="img", **how)
        self.whole = None
        if run is not None:
            epochs, wanted, best = run
            self.whole = tqdm(total=wanted, initial=epochs + done / images, desc="run", position=1, **how,
                              bar_format="{desc}: {n:.2f}/{total} epochs |{bar}|{postfix}")
            if best is not None:
                self.whole.set_postfix_str(f"best top-1 {100 * best:.1f} %")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bars away."""
        if self.whole is not None:
            self.whole.close()
        self.bar.close()

    def update(self, result: Result, lr: float | None = None, wait_share: float | None = None) -> None:
        """After each batch, with the sums so far.  ``lr`` and ``wait_share``, the part of the time in which training
        waited for the loader, belong to training; its bar of the run moves on, too."""
        self.batches += 1
        if self.whole is not None and lr is not None:
            self.whole.update((result.images - self.bar.n) / self.images)
        self.bar.update(result.images - self.bar.n)
        if self.batches % self.every and result.images < self.images:
            return
        text = f"loss {result.loss:.4f}, top-1 {100 * result.top1:.1f} %, top-5 {100 * result.top5:.1f} %"
        if lr is not None:
            text += f", lr {lr:.3g}"
        if wait_share is not None:
            text += f", waiting for data {100 * wait_share:.0f} %, {resident()['rss_mib']:.0f} MiB"
        if self.bar.disable:
            rate = (result.images - self.first) / max(time.monotonic() - self.began, 1e-9)
            left = (self.images - result.images) / rate if rate else float("inf")
            print(f"{self.title}: {result.images}/{self.images} images, {rate:.0f} images/s, "
                  f"{left:.0f} s left, {text}", file=sys.stderr, flush=True)
        else:
            self.bar.set_postfix_str(text)

    def say(self, text: str) -> None:
        """A line of its own, above the bars."""
        tqdm.write(text, file=sys.stderr)
