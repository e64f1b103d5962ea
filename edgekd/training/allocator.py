"""Memory that a training step gives back stays with the process, for the next step to use.

glibc hands large blocks back to the system as soon as they are free. A step frees and asks again for hundreds of
megabytes, each page of which the kernel would fill with zeros anew (`benchmarks/training_allocator.py` says what that
costs). Other C libraries have no such switches; nothing that is computed depends on them.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
LARGEST = (1 << 31) - 1  # bytes
HEAP = 64 << 20  # bytes of each of a thread's heaps; with less at its end in reserve an empty one is given back at once


def keep_freed_memory() -> None:
    """From now on, in this process."""
    if (glibc := _glibc()) is not None:
        for parameter, value in ((TRIM_THRESHOLD, LARGEST), (MMAP_THRESHOLD, LARGEST), (TOP_PAD, HEAP)):
            glibc.mallopt(parameter, value)


def give_back_freed_memory() -> None:
    """What has been kept so far."""
    if (glibc := _glibc()) is not None:
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    here = ctypes.CDLL(None)
    return here if hasattr(here, "mallopt") and hasattr(here, "malloc_trim") else None
