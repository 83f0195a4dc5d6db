"""Settings of the process after all imports: Python's collector runs seldom, and malloc keeps its memory."""

import ctypes
import gc

from numpy._core import multiarray

GC_ALLOCATIONS = 10_000  # containers more than there were
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_MMAP_BYTES_MAX = 32 << 20  # glibc takes no more
_KEPT_BYTES_MAX = 2**31 - 1


def settle() -> None:
    """Apply the settings, once, before the worker runs."""
    gc.freeze()
    # At the usual 700 the collector runs every few records, through thousands that a batch keeps until it is sent.
    gc.set_threshold(GC_ALLOCATIONS)
    gc.enable()
    # Arrays of some megabytes come and go with each chunk. Given back to the kernel, their pages would be asked for
    # again, and cleared, one by one: a fifth of what a drain costs.
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES_MAX)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES_MAX)
    # For arrays from 4 MB on numpy asks for huge pages, and the kernel clears 2 MB at a time wherever one is begun: a
    # tenth of what a drain costs. numpy has a public name for it in the environment alone, for before it is imported.
    multiarray._set_madvise_hugepage(False)  # type: ignore[attr-defined]
