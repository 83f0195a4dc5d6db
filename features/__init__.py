"""One enterprise's state, and what can be read from it."""

import config.kernel_cache  # noqa: F401  before any numba decorator: sets the folder of compiled code
