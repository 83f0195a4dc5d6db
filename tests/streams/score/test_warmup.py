"""After the warm-up no kernel is compiled any more: that would hold a worker up for seconds, in mid-stream."""

import subprocess
import sys
from pathlib import Path

from streams.score.warmup import compile_from_the_end
from tests.patience import patience_s

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import gc

from numba.core.dispatcher import Dispatcher

from streams.score.warmup import compile_kernels

compile_kernels()
# A signature that is new to a kernel is compiled, or comes from the cache where somebody has compiled it before.
known = {kernel: set(kernel.overloads) for kernel in gc.get_objects() if isinstance(kernel, Dispatcher)}

from detectors.rules.artefact import RulesArtefact, decode
from detectors.snapshot import content_id
from domain.events import Control
from streams.score.partition import Partition
from tests.patience import patience_s
from tests.determinism import log
from tests.determinism.runs import Shape, run
from tests.streams.score import kit

run(log.make(1, enterprises=60, partitions=2, old_every=1), Shape(resident_max=3), kill_seed=1)
no_signals = RulesArtefact(signals=()).encode()
rules = Partition(0, kit.no_model, rules_of=lambda rules_id: decode(no_signals, rules_id))
switch = Control(
    control_id="c", action="activate", artefact="rules", artefact_id=content_id(no_signals), by="op", reason="test"
)
for _ in kit.applied(rules, [*kit.log_of(1), (None, kit.record(switch)[1], kit.HEADERS, 0)], 1_000):
    pass
print([f"{kernel.py_func.__module__}.{kernel.py_func.__name__}{new}"
       for kernel, before in known.items()
       # The test's own log places keys.
       if kernel.py_func.__module__ != "sinks.partitioner" and (new := set(kernel.overloads) - before)])
"""


def test_nothing_is_compiled_after_it():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True, timeout=patience_s(280)
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_the_second_process_ends_well():
    """In its own process an error of it would show on stderr alone."""
    compile_from_the_end()
