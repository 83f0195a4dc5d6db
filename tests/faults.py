"""Counts the faults that a test injects."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Fault:
    """The injections of a `test_fault_NN_*`, and their observed results.

    `fault.inject(broker.kill)` injects and counts; `fault(observed="…")` reports. A component that counts by itself is
    reported with `injected=proxy.cuts`. Several reports of one test (a property's examples) add up.
    """

    def __init__(self, tell: Callable[[tuple[int, str]], None]) -> None:
        self._tell = tell
        self.count = 0

    def inject(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Count one injection, and return the result of `do`."""
        self.count += 1
        return do(*args, **kwargs)

    def __call__(self, *, observed: object, injected: int = 0) -> None:
        """Report the injections since the last report. Raise AssertionError where there was none."""
        injected, self.count = injected + self.count, 0
        assert injected >= 1, "the fault was never injected"
        self._tell((injected, str(observed)))
