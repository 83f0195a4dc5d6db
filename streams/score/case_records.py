"""From a row of the output book to the record of a bank's case: for that bank, and for the supervisor."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from detectors.case_life import ACTED, CHANGES, DISPOSITIONS, ESCALATIONS, stage_name
from domain import topics
from domain.calendar import day_of
from domain.outputs import SEVERITIES, CaseRecord
from features.state.lives import CLOSED
from streams.score.records import action_of, bank_text
from streams.transport import Chunk

CHANGES_MAX = 16  # of one case in an evaluation: more than there are


def addressed(
    b: Any, enterprise_id: str, chunk: Chunk, row: int | None
) -> Iterator[tuple[str, Callable[[], CaseRecord]]]:
    """Yield (topic, function that makes the record) of row `b` (outbook.ROW); `row`: of its record in the chunk."""
    bank_id = bank_text(int(b["life_bank"]))
    make = partial(_record, b, enterprise_id, bank_id, chunk, row)
    # The row's own number counts what other banks were told before: to the bank, one made of its case alone.
    of_bank = day_of(int(b["as_of_ms"]) - 1) * CHANGES_MAX + int(b["life_nth"])
    yield topics.bank_cases(bank_id), partial(make, of_bank)
    yield topics.CASE_SUPERVISOR, partial(make, int(b["seq"]))


def _record(b: Any, enterprise_id: str, bank_id: str, chunk: Chunk, row: int | None, seq: int) -> CaseRecord:
    level, disposition, stage = int(b["life_level"]), int(b["life_disposition"]), int(b["life_stage"])
    change = int(b["life_change"])
    record = CaseRecord(
        case_id=f"{int(b['life_case']):016x}",
        bank_id=bank_id,
        enterprise_id=enterprise_id,
        state=stage_name(stage, disposition, change),
        change=CHANGES[change - 1],
        severity=SEVERITIES[level - 1] if level else None,
        opened_at=int(b["life_opened_ms"]),
        as_of=int(b["as_of_ms"]),
        contact_due=int(b["life_contact_day"]) or None,
        visit_due=int(b["life_visit_day"]) or None,
        due=None if stage == CLOSED else int(b["life_due_day"]) or None,
        escalation=ESCALATIONS[int(b["life_escalation"])],
        exposure_minor=int(b["life_exposure_fen"]),
        maker=_hash_text(b["life_maker"]),
        checker=_hash_text(b["life_checker"]),
        disposition=DISPOSITIONS[disposition - 1] if disposition else None,
        until=int(b["life_until_day"]) or None,
        offset=int(b["offset"]),
        seq=seq,
    )
    if change < ACTED:
        return record
    assert row is not None
    action = action_of(chunk, row)
    return msgspec.structs.replace(
        record, measure=action.measure, remark=action.remark, event_id=action.event_id, acted_at=action.event_time
    )


def _hash_text(hashed: Any) -> str | None:
    return f"{int(hashed):016x}" if hashed else None
