"""Memory that several processes see, and that nothing has to clean up."""

from __future__ import annotations

import math
import mmap
import os
import weakref

import numpy as np


class SharedImages:
    """(n, side, side, 3) uint8 in anonymous memory; other processes map it by the file descriptor `fd`.

    Unlike `multiprocessing.shared_memory` this has no name in /dev/shm: the kernel takes it back when the last process
    that maps it ends, however that ends, and the size of /dev/shm (64 MB in a container) is no limit. Memory is taken
    page by page, when it is written.
    """

    def __init__(self, shape: tuple[int, int, int, int], fd: int | None = None):
        size = math.prod(shape)
        if fd is None:
            fd = os.memfd_create("tinyconv-loader")  # close-on-exec: only those it is passed to get it
            os.ftruncate(fd, size)
        self.fd = fd
        self.array: np.ndarray = np.frombuffer(mmap.mmap(fd, size), np.uint8).reshape(shape)
        weakref.finalize(self, os.close, fd)
