"""A worker that dies is told of at once, and whatever ends the loader, no process and no memory stays."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tinyconv.data import team
from tinyconv.data.errors import SampleError
from tinyconv.data.loader import Loader
from tinyconv.data.team import WorkerError

from .loading import EVAL, Deadly, Files, Reporter, Slow, Unimportable

ROOT = Path(__file__).parents[2]


def loader(split, workers: int = 2, **options) -> Loader:
    return Loader(split, 5, EVAL, shuffle=False, seed=0, workers=workers, keep=0, **options)


def runs(pid: int) -> bool:
    """Whether there is such a process; one that has ended but whose parent has not asked yet counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while any(map(runs, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(runs, pids))


def names_in_shared_memory() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if "tinyconv" in name or name.startswith("psm_")}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    names = names_in_shared_memory()
    yield
    assert names_in_shared_memory() <= names


def test_a_killed_worker_is_an_error_at_once() -> None:
    slow = loader(Slow(200))
    batches = slow.epoch(0)
    next(batches)
    pids = slow.pids
    assert len(pids) == 2 and all(map(runs, pids))
    os.kill(pids[1], signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(WorkerError, match=rf"loader worker 2 of 2 \(process {pids[1]}\) was killed \(SIGKILL\)"):
        list(batches)
    assert time.monotonic() - begin < 5
    assert gone(pids, 1) and slow.pids == []
    assert len(next(slow.epoch(0))[1]) == 5  # others come in their place


@pytest.mark.parametrize("number, how", [(signal.SIGSEGV, "died of SIGSEGV"), (signal.SIGKILL, "was killed"),
                                         (signal.SIGTERM, "died of SIGTERM")])
def test_what_kills_a_worker_is_named(number: int, how: str) -> None:
    deadly = loader(Deadly(number, os.getpid()), workers=1)
    taken = 0
    with pytest.raises(SampleError, match=how):
        for _ in deadly.epoch(0):
            taken += 1
    assert taken <= 2


@pytest.mark.parametrize("split", [Slow(200), Files(5)], ids=["at work", "with nothing to do"])
def test_leaving_the_loop_is_no_error_even_if_a_worker_died(split: Files) -> None:
    left = loader(split)
    for _ in left.epoch(0):
        os.kill(left.pids[0], signal.SIGKILL)
        assert gone(left.pids[:1])
        break
    assert left.pids == []
    assert len(next(left.epoch(1))[1]) == 5


def test_workers_killed_between_two_epochs() -> None:
    idle = loader(Files())
    list(idle.epoch(0))
    for pid in idle.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="was killed"):
        list(idle.epoch(1))
    assert len(list(idle.epoch(1))) == 5


def test_workers_that_hang_are_told_of_and_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_SILENCE", 1.0)
    slow = loader(Slow(40))
    batches = slow.epoch(0)
    next(batches)
    for pid in slow.pids:
        os.kill(pid, signal.SIGSTOP)
    goes_on = threading.Timer(3.0, lambda pids: [os.kill(pid, signal.SIGCONT) for pid in pids], [slow.pids])
    goes_on.start()
    with pytest.warns(RuntimeWarning, match=rf"processes {slow.pids[0]}, {slow.pids[1]}\) are alive, but none") as told:
        assert len(list(batches)) == 7
    goes_on.join()
    assert len(told) == 1


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(WorkerError, match="could not start: FileNotFoundError: the pack has moved"):
        next(loader(Unimportable()).epoch(0))


def test_what_cannot_be_sent_is_named() -> None:
    split = Files()
    split.name = lambda index: "a function that lives here"  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="workers is 2, but the split or the transform cannot be sent.*workers=0"):
        next(loader(split).epoch(0))


def test_more_draws_than_a_message_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "LONGEST", 100)
    broken = loader(Files())
    with pytest.raises(ValueError, match="draws for 1 images need more than 100 bytes"):
        next(broken.epoch(0))
    monkeypatch.undo()
    assert len(list(broken.epoch(0))) == 5


SCRIPT = """
from tests.data.loading import EVAL, Files
from tinyconv.data.loader import Loader

class Own(Files):
    pass

def main():
    print(sum(len(labels) for _, labels in Loader(Own(), 5, EVAL, shuffle=False, seed=0, workers=1, keep=0).epoch(0)))
"""


@pytest.mark.parametrize("guard, code", [('if __name__ == "__main__":', 0), ("if True:", 1)])
def test_a_split_defined_in_a_script(tmp_path: Path, guard: str, code: int) -> None:
    """The worker imports the script, which must not start the whole again: that is told, and does not go on and on."""
    script = tmp_path / "script.py"
    script.write_text(f"{SCRIPT}\n{guard}\n    main()\n")
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    if code:
        assert 'begin its main part with if __name__ == "__main__"' in done.stderr
    else:
        assert done.stdout == "23\n"


def test_workers_only_decode() -> None:
    """Neither Numba nor OpenMP's threads; and Ctrl-C is not for them."""
    with pytest.raises(SampleError, match=r"heavy \[\], 1 threads, SIGINT ignored True"):
        next(loader(Reporter()).epoch(0))


def test_workers_stay_from_epoch_to_epoch_and_end_with_the_loader() -> None:
    with loader(Files()) as one:
        list(one.epoch(0))
        pids = one.pids
        next(one.epoch(1))  # left
        list(one.epoch(1))
        assert one.pids == pids and all(map(runs, pids))
    assert gone(pids, 1)
    forgotten = loader(Files())
    list(forgotten.epoch(0))
    pids = forgotten.pids
    del forgotten
    assert gone(pids, 1)


def test_nothing_piles_up() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    list(loader(Files()).epoch(0))
    gc.collect()  # loaders of other tests, in the cycles of their exceptions
    before = descriptors()
    for _ in range(3):
        next(loader(Files()).epoch(0))
    gc.collect()
    assert descriptors() == before


class Program:
    """`abandon.py`, in a session of its own."""

    def __init__(self, how: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "tests.data.abandon", how], cwd=ROOT, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout
        self.workers = [int(word) for word in self.process.stdout.readline().split()]
        assert len(self.workers) == 2, self.process.communicate()

    def wait_until(self, word: str) -> str:
        assert self.process.stdout
        while True:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()
            if word in line:
                return line

    def end(self) -> str:
        """What it wrote to stderr. That the pipe ends shows that nobody has it open any more."""
        return self.process.communicate(timeout=20)[1]


@pytest.mark.parametrize("how", ["wait", "idle"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_consumer_is_killed(how: str, number: int) -> None:
    program = Program(how)
    program.wait_until("ready")
    program.process.send_signal(number)
    program.end()
    assert gone(program.workers) and program.process.returncode == -number


def test_the_consumer_is_killed_and_a_child_of_its_lives() -> None:
    """The child has the queue's ends open, so no end of it is the sign."""
    program = Program("fork")
    child = int(program.wait_until("child").split()[1])
    program.process.kill()
    assert gone(program.workers) and runs(child)
    os.kill(child, signal.SIGKILL)
    program.end()


@pytest.mark.parametrize("how", ["wait", "idle"])
def test_ctrl_c(how: str) -> None:
    program = Program(how)
    program.wait_until("ready")
    time.sleep(0.2)  # it is in the middle of something
    os.killpg(program.process.pid, signal.SIGINT)
    errors = program.end()
    assert gone(program.workers) and program.process.returncode == -signal.SIGINT
    assert errors.count("KeyboardInterrupt") == 1, errors


@pytest.mark.parametrize("how, code", [("break", 0), ("exception", 1), ("exit", 3), ("abort", 4)])
def test_the_consumer_ends(how: str, code: int) -> None:
    program = Program(how)
    errors = program.end()
    assert gone(program.workers) and program.process.returncode == code
    assert errors.count("Traceback") == (how == "exception"), errors


def test_leaving_the_loop_with_more_asked_for_than_the_queue_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for room in the queue is forgotten, too: nobody will ever answer it."""
    monkeypatch.setattr(team, "_MOST", 1)  # an image in a piece
    many = Loader(Files(1500), 400, EVAL, shuffle=False, seed=0, workers=2, keep=0)
    batches = many.epoch(0)
    first = next(batches)
    (crew,) = many._teams
    assert crew._backlog
    leaving = threading.Thread(target=batches.close, daemon=True)
    leaving.start()
    leaving.join(60)
    assert not leaving.is_alive()
    again = next(many.epoch(0))
    assert len(many._teams) == 1  # the same workers
    np.testing.assert_array_equal(again[0], first[0])
