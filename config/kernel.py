"""How the engine's code is compiled: cached, each function by one process alone, and without counting references.

Kernels allocate nothing: they work on arrays and records that their callers hold, so that there is nothing to count.
numba would count at every call that passes an array, alone or in a tuple, in atomic operations that were four tenths
of an evaluation. Code that does allocate does not compile under it: numba says "NRT required but not enabled".
"""

import functools
from collections.abc import Callable
from typing import Any

from numba import njit

import config.kernel_cache  # noqa: F401  numba reads its folder when it is imported
from config.kernel_lock import compiled_once


def _decorator(**always: Any) -> Callable[..., Any]:
    def decorator(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return functools.partial(decorator, **options)
        return compiled_once(njit(cache=True, no_cfunc_wrapper=True, **always, **options)(function))

    return decorator


kernel = _decorator(_nrt=False)
allocating_kernel = _decorator()  # for the few that do, and for those that call them


@kernel
def copy(source: Any, target: Any) -> None:
    """Copy source to target (n): an assignment of slices would allocate, in case they overlap."""
    for i in range(target.shape[0]):
        target[i] = source[i]
