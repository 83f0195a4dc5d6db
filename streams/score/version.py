"""The engine's version: what decides an output of `score`, as one number."""

from functools import cache
from pathlib import Path

from kernels import sources


@cache
def engine_version() -> str:
    """Return 16 hex digits that outputs carry: the hash of the step that makes them and of all that it rests on.

    That is code and tables (kernels/sources.py); settings, models and rules are not in it, nor are comments.
    """
    return sources.digest(Path(__file__).with_name("partition.py"))[:16]
