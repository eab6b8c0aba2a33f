"""The race detector against the definition: random programs, and for each a plain vector clock per thread.

A program is a table.  In each round a thread may read or write one of a few cells; between rounds some warps
synchronise, or the whole block does.  One kernel, compiled once, acts out any such program.
"""

from __future__ import annotations

import numpy as np
import pytest

from tinyconv.emulator.module import EmulatorError

from .runner import ORDERS, kernel, launch

pytestmark = pytest.mark.usefixtures("tools")

BLOCKS, THREADS, ROUNDS, CELLS = 2, 64, 5, 3
READ, WRITE, ATOMIC, ATOMIC_READ, ATOMIC_OF_BLOCK = 1, 2, 3, 4, 5
READS, ATOMICS = {READ, ATOMIC_READ}, {ATOMIC, ATOMIC_READ, ATOMIC_OF_BLOCK}

CODE = """
extern "C" __global__ void kernel(const int* what, const int* cell, const unsigned* sync, const int* in_shared,
                                  int* cells, int* out)
{
    __shared__ int own[3];
    if (threadIdx.x == 0) for (int i = 0; i < 3; ++i) own[i] = 0;
    __syncthreads();
    int sum = 0, global = blockIdx.x * blockDim.x + threadIdx.x;
    for (int round = 0; round < 5; ++round) {
        int at = round * gridDim.x * blockDim.x + global, *place = *in_shared ? own : cells;
        switch (what[at]) {
        case 1: sum += place[cell[at]]; break;
        case 2: place[cell[at]] = 1; break;
        case 3: atomicAdd(place + cell[at], 1); break;
        case 4: sum += *(volatile int*)(place + cell[at]); break;
        case 5: atomicAdd_block(place + cell[at], 1); break;
        }
        if (sync[round * 3 + 2]) __syncthreads();
        else if (sync[round * 3 + threadIdx.x / 32]) __syncwarp();
    }
    out[global] = sum;
}"""


def _program(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each thread does in each round, to which cell, and which warps (0, 1) or all (2) synchronise after it."""
    threads = BLOCKS * THREADS
    what, cell = np.zeros((ROUNDS, threads), np.int32), random.integers(0, CELLS, (ROUNDS, threads)).astype(np.int32)
    for _ in range(random.integers(2, 9)):  # few accesses, so that about half of the programs have no race
        thread = random.choice([0, 1, 31, 32, 40]) + THREADS * int(random.random() < 0.15)
        choices = [READ, READ, WRITE, ATOMIC, ATOMIC_READ, ATOMIC_OF_BLOCK]
        what[random.integers(ROUNDS), thread] = random.choice(choices)
    sync = (random.random((ROUNDS, 3)) < [0.5, 0.5, 0.4]).astype(np.uint32)
    return what, cell, sync


def _has_race(what: np.ndarray, cell: np.ndarray, sync: np.ndarray, in_shared: bool) -> bool:
    """By definition: two accesses to a cell, neither known to the other's thread, not both reads, and not both atomic
    for one another."""
    threads = what.shape[1]
    known = np.zeros((threads, threads), int)  # known[t, u]: thread t has seen all that u did in rounds below this
    accesses: list[tuple[int, int, int, int]] = []  # thread, round, what, cell
    for i in range(ROUNDS):
        for thread in np.flatnonzero(what[i]):
            for other, when, did, where in accesses:
                ordered = other == thread or known[thread, other] > when
                same_place = where == cell[i, thread] and (not in_shared or other // THREADS == thread // THREADS)
                pair, apart = {int(did), int(what[i, thread])}, other // THREADS != thread // THREADS
                harmless = pair <= READS or (pair <= ATOMICS and not (apart and ATOMIC_OF_BLOCK in pair))
                if same_place and not ordered and not harmless:
                    return True
            accesses.append((int(thread), i, int(what[i, thread]), int(cell[i, thread])))
        for first in range(0, threads, 32):
            block = first // THREADS * THREADS
            group = range(block, block + THREADS) if sync[i, 2] else range(first, first + 32)
            if sync[i, 2] or sync[i, first // 32 % 2]:
                seen = known[group].max(axis=0)
                seen[group] = i + 1
                known[group] = seen
    return False


@pytest.mark.parametrize("in_shared", [False, True], ids=["global", "shared"])
def test_a_race_is_reported_if_and_only_if_there_is_one(in_shared: bool) -> None:
    act, random, races = kernel(CODE), np.random.default_rng(11), 0
    for number in range(600):
        what, cell, sync = _program(random)
        expected = _has_race(what, cell, sync, in_shared)
        races += expected
        for order in ORDERS:
            out, cells = np.zeros(BLOCKS * THREADS, np.int32), np.zeros(CELLS, np.int32)
            try:
                launch(act, BLOCKS, THREADS, what, cell, sync, np.array([in_shared], np.int32), cells, out, order=order,
                       seed=number)
                found = ""
            except EmulatorError as error:
                found = str(error)
            assert bool(found) == expected and (not found or "data race" in found), (number, order, found)
    assert 150 < races < 450  # both outcomes were tried
