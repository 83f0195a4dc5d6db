"""What a worker asks of its process; in one of its own, as it changes the process."""

import subprocess
import sys

SETTLED = """
import gc
from numpy._core import multiarray
from streams.worker.process import GC_ALLOCATIONS, settle
settle()
print(gc.get_threshold()[0] == GC_ALLOCATIONS, multiarray._set_madvise_hugepage(False))
"""


def test_a_settled_process_collects_seldom_and_asks_for_no_huge_pages():
    done = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False"], done.stderr
