"""The staff of the banks: they act on the cases of a log that is being made, as its run so far tells of them.

The id of a case follows from the offset of the record that opened it, so a log has to run to be acted on.
"""

import random
from collections.abc import Callable, Iterator
from unittest import mock

import msgspec

from detectors.snapshot import Snapshot
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.cases import OPEN, ORDER
from domain.events import CaseAction, CaseActionKind, Disposition
from domain.outputs import CaseRecord, CaseStage
from streams.score import partition as partitions
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import claiming_rules

RULES = claiming_rules
STAFF = ("ann", "ben", "cat")
DISPOSITIONS: tuple[Disposition, ...] = ("confirmed", "known", "seasonal", "data_fault", "false_alarm", "to_verify")
_NEXT: dict[CaseStage, CaseActionKind] = {"awaiting": "sign", "signed": "begin", "checking": "submit"}
_STEP = 0.4  # how probable one more step of a case is on a turn
_OFTEN, _RARELY = 0.3, 0.05  # how probable what is refused is, or a repeat


class Desk:
    """The desks of one partition of the log, under RULES."""

    def __init__(self, rnd: random.Random, number: int, snapshot_of: Callable[[str], Snapshot]) -> None:
        self._rnd, self._number = rnd, number
        with mock.patch.object(partitions, "packaged_rules", RULES):
            self._partition = Partition(number, snapshot_of)
        self._read = self._acted = 0
        self._cases: dict[str, CaseRecord] = {}
        self._makers: dict[str, str] = {}

    def act(self, rows: list, day: int, others: tuple[str, ...], *, rests: bool) -> Iterator[CaseAction]:
        """Read the log up to now, then yield the actions of a turn on a day number; `others`: more banks.

        rests: the next turn is far away, so every case is disposed of, for long.
        """
        chunk = chunk_of(topics.EVENTS, self._number, self._read, rows[self._read :])
        for outgoing in self._partition.apply(chunk):
            for topic, records in outgoing:
                for _, value in records if topic == topics.CASE_SUPERVISOR else ():
                    case = msgspec.json.decode(value, type=CaseRecord)
                    self._cases[case.case_id] = case
        self._read = len(rows)
        for case in self._cases.values():
            if case.state in OPEN:
                yield from self._work_on(case, day, others, rests=rests)
            elif self._rnd.random() < _RARELY:
                yield self._action(case, "sign", day)

    def _work_on(self, case: CaseRecord, day: int, others: tuple[str, ...], *, rests: bool) -> Iterator[CaseAction]:
        """Go on with a case by some steps; between them stand actions that are refused, and repeats."""
        rnd, state = self._rnd, case.state
        if rnd.random() < _RARELY:
            other = rnd.choice([bank for bank in others if bank != case.bank_id])
            yield self._action(case, "sign", day, bank_id=other)
            yield self._action(case, "sign", day, case_id="0" * 16)
        while state in OPEN and (rests or rnd.random() < _STEP):
            kind = _NEXT.get(state) or rnd.choice(("approve", "approve", "return"))
            if rnd.random() < _RARELY:
                yield self._action(case, "sign" if state != "awaiting" else "begin", day)  # out of order
            if kind == "submit":
                held_days = 50 if rests else rnd.randrange(3, 14)
                until = date_of(day + held_days).isoformat() if rests or rnd.random() < 0.7 else None
                action = self._action(case, kind, day, disposition=rnd.choice(DISPOSITIONS), until=until)
            else:
                action = self._action(case, kind, day)
            if kind in _NEXT.values():
                self._makers[case.case_id] = action.actor
            else:
                maker = self._makers[case.case_id]
                if rnd.random() < _OFTEN:
                    yield self._action(case, kind, day, actor=maker)
                others_than = [one for one in STAFF if one != maker]
                action = msgspec.structs.replace(action, actor=rnd.choice(others_than))
            yield action
            if rnd.random() < _RARELY:
                yield action
                yield msgspec.structs.replace(action, remark="x")  # the same id, another body
            state = ORDER[state, kind]

    def _action(self, case: CaseRecord, kind: CaseActionKind, day: int, **fields: str | None) -> CaseAction:
        self._acted += 1
        usual = {"bank_id": case.bank_id, "case_id": case.case_id, "actor": self._rnd.choice(STAFF)}
        return CaseAction(
            event_id=f"c{self._number}-{self._acted}", enterprise_id=case.enterprise_id,
            event_time=day_start_ms(day) + self._acted, action=kind, **(usual | fields),
        )  # fmt: skip
