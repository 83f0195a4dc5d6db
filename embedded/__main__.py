"""`python -m embedded lock` writes kafka.lock anew; `python -m embedded fetch` fills the cache."""

import sys

from embedded.jars import LOCK, class_path, write_lock

match sys.argv[1:]:
    case ["lock"]:
        print(f"{LOCK.name}: {write_lock(on_progress=print)} jars")
    case ["fetch"]:
        print(f"{len(class_path(on_progress=print))} jars checked")
    case _:
        sys.exit(__doc__)
