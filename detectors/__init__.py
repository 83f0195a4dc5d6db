"""What is concluded from the indicators: score, signals, episodes, models."""

import config.kernel_cache  # noqa: F401  before any numba decorator: sets the folder of compiled code
