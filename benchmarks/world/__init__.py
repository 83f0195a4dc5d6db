"""Enterprises and their transactions, made from a seed fast enough to fill a log: what the benchmarks run on."""

import config.kernel_cache  # noqa: F401  before any numba decorator: sets the folder of compiled code
