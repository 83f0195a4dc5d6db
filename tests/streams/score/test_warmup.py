"""After the warm-up no kernel is compiled any more: that would hold a worker up for seconds, in mid-stream."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
from numba.core import event
from streams.score.warmup import compile_from_the_end, compile_kernels

compile_kernels()
compile_from_the_end()
compiled = []


class Listener(event.Listener):
    def on_start(self, said):
        function = said.data["dispatcher"].py_func
        compiled.append(f"{function.__module__}.{function.__name__}{said.data['args']}")

    def on_end(self, said):
        pass


event.register("numba:compile", Listener())

from detectors.rules.artefact import RulesArtefact, decode
from detectors.snapshot import content_id
from domain.events import Control
from streams.score.partition import Partition
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
print(compiled)
"""


def test_nothing_is_compiled_after_it():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True, timeout=280
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
