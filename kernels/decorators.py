"""How the engine's code is compiled: cached, each function by one process alone, and without counting references.

Kernels allocate nothing: they work on arrays and records that their callers hold, so that there is nothing to count.
numba would count at every call that passes an array, alone or in a tuple, in atomic operations that took four tenths of
an evaluation. Code that allocates does not compile under it: numba says "NRT required but not enabled".

The decorators here are the only ones (tests/kernels/test_sources.py): numba's own cache would keep machine code that
has gone stale (kernels/cache.py).
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.np import linalg

from kernels.cache import folder_of
from kernels.compile_lock import compiled_once


def _no_blas() -> None:
    raise ImportError("kernels have no BLAS")


# Before the first kernel numba would import SciPy, a tenth of a worker's start, only to see whether there is a BLAS; no
# kernel multiplies matrices.
linalg.ensure_blas = _no_blas

_lines: dict[tuple[str, str], int] = {}  # (file, qualified name) → line: of all kernels of this process


@functools.cache
def _folder(file: str) -> Path:
    return folder_of(Path(file).resolve())


class _Locator(_CacheLocator):
    """Tells numba where a function's machine code is. The folder's name says that it is fresh."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def from_function(cls, _function: Any, file: str) -> Self:
        return cls(_folder(file))

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return ""


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):
    _impl_class = _CacheImpl


def _decorator(**always: Any) -> Callable[..., Any]:
    def decorator(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return functools.partial(decorator, **options)
        code = function.__code__
        if _lines.setdefault((code.co_filename, function.__qualname__), code.co_firstlineno) != code.co_firstlineno:
            raise TypeError(
                f"{code.co_filename}: two kernels are named {function.__qualname__}; one file would hold both"
            )
        dispatcher = njit(no_cfunc_wrapper=True, **always, **options)(function)
        dispatcher._cache = _Cache(function)  # as dispatcher.enable_caching does, with our locator
        return compiled_once(dispatcher)

    return decorator


kernel = _decorator(_nrt=False)
allocating_kernel = _decorator()  # for the few that do, and for those that call them


@kernel
def copy(source: Any, target: Any) -> None:
    """Copy source (n,) to target (n,). An assignment of slices would allocate, in case they overlap."""
    for i in range(target.shape[0]):
        target[i] = source[i]
