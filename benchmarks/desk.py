"""The desks of a live run, in a process of their own: they act on cases at a steady rate, and measure the answers.

`python -m benchmarks.desk FOLDER` reads the workload (`Plan`) from FOLDER/desk-plan.json, writes FOLDER/desk.ready,
waits for FOLDER/go, and writes the result (`DeskResult`) to FOLDER/desk.json. A case is signed, begun and submitted by
one person; another one returns it, so that it can be submitted again: every action is applied.
"""

import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer

from benchmarks import parts
from benchmarks.sender import ANSWER_S_MAX, at_end
from domain import topics
from domain.events import SCHEMA, CaseAction, CaseActionKind
from domain.outputs import CaseRecord, CaseStage

LINGER_MS = 5
HEADERS = [("schema", SCHEMA.encode())]
_NEXT: dict[CaseStage, tuple[CaseActionKind, str]] = {
    "awaiting": ("sign", "maker"), "signed": ("begin", "maker"), "checking": ("submit", "maker"),
    "in_review": ("return", "checker"),
}  # fmt: skip


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The workload: `per_s` actions a second for some `seconds`, from when `open_cases` cases are open."""

    bootstrap: str
    per_s: int
    seconds: float
    open_cases: int


class DeskResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `latency_ms`: from the sending of an action to the reading of the record that follows from it."""

    sent: int
    seconds: float
    latency_ms: list[float]


class Desk:
    """Acts on cases of all banks as the records of them come."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._consumer = at_end(plan.bootstrap, [(topics.CASE_SUPERVISOR, 0)])
        self._producer = Producer({"bootstrap.servers": plan.bootstrap, "acks": "all", "linger.ms": LINGER_MS})
        self._decode = msgspec.json.Decoder(CaseRecord).decode
        self._free: deque[CaseRecord] = deque()  # open cases that wait for an action
        self._sent_s: dict[str, float] = {}  # by event id, of actions without an answer
        self._latency_ms: list[float] = []
        self._sent = 0

    def run(self) -> DeskResult:
        """Act for the time of the plan, then wait for the answers; return the result."""
        plan = self._plan
        while len(self._free) < plan.open_cases:
            self._read()
        began_s = time.perf_counter()
        while (passed_s := time.perf_counter() - began_s) < plan.seconds:
            while self._sent < passed_s * plan.per_s and self._free:
                self._act(self._free.popleft())
            self._producer.poll(0)
            self._read()
        until_s = time.perf_counter() + ANSWER_S_MAX
        self._producer.flush(ANSWER_S_MAX)
        while self._sent_s and time.perf_counter() < until_s:
            self._read()
        self._consumer.close()
        return DeskResult(sent=self._sent, seconds=passed_s, latency_ms=self._latency_ms)

    def _act(self, case: CaseRecord) -> None:
        kind, actor = _NEXT[case.state]
        action = CaseAction(
            event_id=f"act-{self._sent}", bank_id=case.bank_id, enterprise_id=case.enterprise_id,
            event_time=case.as_of, case_id=case.case_id, action=kind, actor=actor,
            disposition="known" if kind == "submit" else None,
        )  # fmt: skip
        self._sent += 1
        self._sent_s[action.event_id] = time.perf_counter()
        key, value = case.enterprise_id.encode(), msgspec.json.encode(action)
        self._producer.produce(topics.DESK, value, key, headers=HEADERS, on_delivery=_delivered)

    def _read(self) -> None:
        for message in self._consumer.consume(1_000, 0.002):
            if message.error():
                raise RuntimeError(f"{topics.CASE_SUPERVISOR}: {message.error()}")
            case, now_s = self._decode(message.value() or b""), time.perf_counter()
            if case.change == "opened":
                self._free.append(case)
            elif case.event_id is not None and (sent_s := self._sent_s.pop(case.event_id, None)) is not None:
                self._latency_ms.append((now_s - sent_s) * 1_000)
                self._free.append(case)


def _delivered(error: Any, message: Any) -> None:
    if error is not None:
        raise RuntimeError(f"{message.topic()}: {error}")


def main(folder: Path) -> None:
    """Wait at the gate, and act."""
    parts.pin()
    desk = Desk(msgspec.json.decode((folder / "desk-plan.json").read_bytes(), type=Plan))
    (folder / "desk.ready").write_text("0")
    while not (folder / "go").exists():
        time.sleep(0.01)
    (folder / "desk.json").write_bytes(msgspec.json.encode(desk.run()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
