"""How events flow: transport, ingest, score, learn, archive."""

import config.kernel_cache  # noqa: F401  before any numba decorator: sets the folder of compiled code
