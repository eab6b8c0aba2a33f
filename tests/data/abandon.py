"""A program that uses a loader and comes to an end: python -m tests.data.abandon HOW.  Prints its workers' numbers."""

import os
import sys
import time

from tinyconv.data.loader import Loader

from .loading import EVAL, Slow


def main(how: str) -> None:
    loader = Loader(Slow(200), 4, EVAL, shuffle=False, seed=0, workers=2, keep=0)
    batches = loader.epoch(0)
    next(batches)
    print(*loader.pids, flush=True)
    if how == "fork" and os.fork() == 0:
        print("child", os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    if how in ("wait", "fork"):
        if how == "wait":
            print("ready", flush=True)
        for _ in batches:
            pass
    if how == "idle":
        batches.close()
        print("ready", flush=True)
        time.sleep(60)
    if how == "break":
        for _ in batches:
            break
        time.sleep(0.1)
        return
    if how == "exception":
        for _ in batches:
            raise RuntimeError("the consumer has an error")
    if how == "exit":
        globals()["alive"] = batches  # still alive when the interpreter ends
        sys.exit(3)
    if how == "abort":
        os._exit(4)


if __name__ == "__main__":
    main(sys.argv[1])
