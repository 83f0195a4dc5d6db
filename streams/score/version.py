"""The version of the engine: a hash of everything that decides an output of score."""

from functools import cache
from pathlib import Path

from kernels import sources


@cache
def engine_version() -> str:
    """Return the 16 hex digits that outputs carry: a hash of the step that makes them and of everything it rests on.

    That is code and tables (kernels/sources.py). Settings, models, rules and comments are not in it.
    """
    return sources.digest(Path(__file__).with_name("partition.py"))[:16]
