"""Settings of the C library's allocator, so that processes with many threads return memory."""

from __future__ import annotations

import ctypes

_ARENAS = 2  # Python's lock lets one thread at a time allocate, so more arenas only fragment memory
_LARGE_BYTES = 65_536  # memory blocks of this size and more are returned to the system when they are freed
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # see mallopt(3)


def return_freed_memory() -> None:
    """Limit the arenas of malloc, and fix the size from which blocks are returned at once.

    By default glibc has eight arenas for each processor, and raises that size to that of the largest freed
    block. A worker then keeps the memory of its largest answers and uploads, once for each arena. Call it
    before the process starts threads. Does nothing with another C library than glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
