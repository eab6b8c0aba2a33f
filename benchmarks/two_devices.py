"""Are two devices nearly twice as fast?  ``python -m benchmarks.two_devices``

A training step of the paper's AlexNet, its convolutions alone, and its fully connected layers alone, on

    alone       one core: a process that has no other
    two apart   two such processes at the same time, which know nothing of each other: what two cores can do at best,
                for they share the memory and the third cache, as two devices do
    two devices cpu:0 and cpu:1 of one process, a core each: the two towers
    together    one device with both cores: the towers one after the other

All in images per second, taking turns, medians.  At the end the timeline of a step on two devices is saved: there one
can see where the missing part goes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PARTS = ("step", "convolutions", "fully connected")
SIDES = {"alone": 1, "other": 1, "two devices": 2, "together": 2}  # and the cores of each process
ROOT = Path(__file__).resolve().parent.parent


class Step:
    """A training step of a part of the network on ``devices``."""

    def __init__(self, devices: list[str], batch: int) -> None:
        import numpy as np

        import tinyconv as tc

        random = np.random.default_rng(0)
        tc.manual_seed(0)
        self.devices = [tc.device(name) for name in devices]
        self.model = tc.models.alexnet("paper", devices=devices).train()
        # As the loader gives them: in memory from which an upload is quick, pixel by pixel.
        self.images = self.devices[0].staging((batch, 224, 224, 3)).transpose(0, 3, 1, 2)
        self.images[:] = random.standard_normal(self.images.shape, np.float32)
        self.features = random.standard_normal((batch, 9216), np.float32)
        self.labels = random.integers(1000, size=batch)
        self.optimizer = tc.optim.SGD(self.model.parameters(), lr=1e-5)

    def run(self, part: str) -> None:
        self.optimizer.zero_grad()
        {"step": self._step, "convolutions": self._convolutions, "fully connected": self._fully_connected}[part]()
        self.optimizer.step()
        for device in self.devices:
            device.synchronize()

    def _step(self) -> None:
        import tinyconv as tc
        import tinyconv.functional as F

        F.cross_entropy(self.model(tc.tensor(self.images, self.devices[0])), self.labels).backward()

    def _convolutions(self) -> None:
        """Stages 0 and 1 of the towers."""
        import tinyconv as tc
        from tinyconv.parallel import exchange

        x = tc.tensor(self.images, self.devices[0])
        columns = self.model.columns([x.to(device) for device in self.model.devices], end=2)
        exchange(columns, self.devices[:1])[0].mean().backward()

    def _fully_connected(self) -> None:
        """Stages 2 and 3, and the output layer; the gradient goes on to the features."""
        import tinyconv as tc
        import tinyconv.functional as F
        from tinyconv.parallel import exchange

        heard = [tc.tensor(self.features, device, requires_grad=True) for device in self.model.devices]
        columns = self.model.columns(heard, begin=2)
        F.cross_entropy(self.model.output(exchange(columns, self.devices[:1])[0]), self.labels).backward()


def serve(side: str, batch: int) -> None:
    """In a process of its own: for each line "part, steps" on stdin, the seconds of a step; for "timeline PATH", the
    table of a timeline, whose picture and trace it saves."""
    step = Step(["cpu:0", "cpu:1"] if side == "two devices" else ["cpu"], batch)
    for line in sys.stdin:
        request = json.loads(line)
        if "timeline" in request:
            answer: Any = _timeline(step, Path(request["timeline"]))
        else:
            begin = time.perf_counter()
            for _ in range(request["steps"]):
                step.run(request["part"])
            answer = (time.perf_counter() - begin) / request["steps"]
        print(json.dumps(answer), flush=True)


def _timeline(step: Step, path: Path) -> str:
    import tinyconv as tc

    with tc.timeline() as timeline:
        step.run("step")
    timeline.save(path.with_suffix(".png"))
    timeline.save(path.with_suffix(".json"))
    return str(timeline)


class Process:
    def __init__(self, side: str, batch: int) -> None:
        command = [sys.executable, "-m", "benchmarks.two_devices", "--serve", side, "--batch", str(batch)]
        self.child = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      env={**os.environ, "NUMBA_NUM_THREADS": str(SIDES[side])})

    def ask(self, **request: Any) -> None:
        assert self.child.stdin
        with suppress(BrokenPipeError):  # then there is no answer, and that is told
            self.child.stdin.write(json.dumps(request) + "\n")
            self.child.stdin.flush()

    def answer(self) -> Any:
        assert self.child.stdout
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"error: a process of the benchmark has ended with code {self.child.wait()}")
        return json.loads(line)

    def time(self, part: str, steps: int) -> float:
        self.ask(part=part, steps=steps)
        return float(self.answer())

    def close(self) -> None:
        assert self.child.stdin and self.child.stdout
        with suppress(BrokenPipeError):
            self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()


def measure(processes: dict[str, Process], part: str, batch: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Images per second of each side in each round."""
    for process in processes.values():
        process.time(part, 1)  # warm
    rates: dict[str, list[float]] = {"alone": [], "two apart": [], "two devices": [], "together": []}
    for _ in range(rounds):
        rates["alone"].append(batch / processes["alone"].time(part, steps))
        pair = [processes[name] for name in ("alone", "other")]
        for process in pair:
            process.ask(part=part, steps=steps)
        rates["two apart"].append(sum(batch / process.answer() for process in pair))
        for side in ("two devices", "together"):
            rates[side].append(batch / processes[side].time(part, steps))
    return rates


def table(results: dict[str, dict[str, list[float]]], batch: int) -> str:
    lines = [f"images/s, batch {batch:<6} {'alone':>9} {'two apart':>10} {'two devices':>12} {'together':>9}   "
             "devices / apart  / alone  / together"]
    for part, rates in results.items():
        alone, apart, devices, together = (statistics.median(rates[side]) for side in rates)
        lines.append(f"{part:<22} {alone:>9.1f} {apart:>10.1f} {devices:>12.1f} {together:>9.1f}   "
                     f"{devices / apart:>15.2f} {devices / alone:>8.2f} {devices / together:>11.2f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each side (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2, help="steps of a sample (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/two_devices"), help="(default: %(default)s)")
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.serve:
        serve(args.serve, args.batch)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    processes: dict[str, Process] = {}
    try:
        processes |= {side: Process(side, args.batch) for side in SIDES}
        results = {part: measure(processes, part, args.batch, args.rounds, args.steps) for part in args.parts}
        processes["two devices"].ask(timeline=str((args.out / "timeline").resolve()))
        text = f"{table(results, args.batch)}\n\n{processes['two devices'].answer()}"
    finally:
        for process in processes.values():
            process.close()
    print(text)
    from .machine import describe

    numbers = {"machine": describe(), "images per second": results}
    (args.out / "two_devices.json").write_text(json.dumps(numbers, indent=1))
    print(f"\nsee timeline.png, timeline.json and two_devices.json in {args.out}")


if __name__ == "__main__":
    main()
