"""A simulated province that a warning can be judged in: its log, and the truth about each enterprise beside it."""

import config.kernel_cache  # noqa: F401  before any numba decorator: sets the folder of compiled code
