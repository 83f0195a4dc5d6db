"""Results by business days of a year with unpublished holidays are marked as provisional; others keep their bytes."""

import json
from datetime import date

import msgspec
import pytest

from config.catalogue import workdays_decided_until
from detectors.wording.phrases import PROVISIONAL_CALENDAR
from domain import topics
from domain.calendar import date_of, day_of_date, day_start_ms
from domain.events import Authorization, Control
from domain.outputs import Alert, Indicators, Observation, Score
from features.indicators.days import DECIDED_UNTIL, in_festival_window, is_business_day
from replay.lines import lines_of, offset_of
from sinks.batch import Records
from streams.score import reevaluation
from streams.score.partition import Partition
from tests.schemas import validator
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    applied,
    authorization,
    loan,
    no_model,
    prior_engine,
    record,
    tick,
    txn,
)

ACTIVE = "active_days_30d_ratio"
BY_BUSINESS_DAYS = {"score.points", "score.delta_30d", "score.grade_fall_30d"}  # not how much of it is computable
LAST = day_of_date(date(2026, 12, 31)) - FIRST_DAY  # the last day of the published years, as the kit counts
FIRST = LAST - 150
KINDS = {
    topics.SCORE: Score,
    topics.INDICATOR: Indicators,
    topics.OBSERVATION: Observation,
    topics.ALERT_SUPERVISOR: Alert,
    topics.bank_alerts(BANK): Alert,
}


def trade(enterprise: str, days: range) -> list:
    """A receipt and a payment on each day, and its end."""
    return [
        event
        for day in days
        for event in (
            txn(f"in{day}", enterprise, day, 36_000_000, 9_000_000 + day % 7),
            txn(f"out{day}", enterprise, day, 37_000_000, 8_000_000, direction="D", purpose="purchase"),
            tick(day),
        )
    ]


def consent(enterprise: str) -> Authorization:
    """The enterprise's consent, given when the trade begins: the kit's own would be late by then."""
    return msgspec.structs.replace(
        authorization(f"a-{enterprise}", enterprise), event_time=day_start_ms(FIRST_DAY + FIRST)
    )


def run(events: list) -> tuple[Partition, list]:
    """Return the partition, and (topic, bytes, decoded) of every message of an enterprise."""
    partition = Partition(0, no_model)
    messages = [m for m in applied(partition, [record(event) for event in events], 1_000) if m.topic in KINDS]
    return partition, [(m.topic, m.value, msgspec.json.decode(m.value, type=KINDS[m.topic])) for m in messages]


def is_provisional(value) -> bool:
    return value.provisional_calendar is not msgspec.UNSET


@pytest.fixture(scope="module")
def whole_year_end() -> list:
    """From August 2026 to the end of January 2027: a loan that is overdue on 2027-01-01 and still on 2027-01-07."""
    parts = range(FIRST, LAST + 1), range(LAST + 1, LAST + 7), range(LAST + 7, LAST + 32)
    before, between, after = (trade("E1", days) for days in parts)
    events = [
        loan("l", "E1", FIRST), consent("E1"), *before,
        loan("o1", "E1", LAST + 1, "overdue", dpd=2), *between,
        loan("o2", "E1", LAST + 7, "overdue", dpd=40), *after,
    ]  # fmt: skip
    return run(events)[1]


def test_the_last_published_day_is_certain_and_the_next_one_is_provisional() -> None:
    assert date_of(int(DECIDED_UNTIL)) == date(2026, 12, 31) == date_of(workdays_decided_until())
    assert is_business_day(day_of_date(date(2026, 12, 31)))
    assert not is_business_day(day_of_date(date(2027, 1, 1))), "New Year, a Friday"
    assert is_business_day(day_of_date(date(2027, 1, 4)))


@pytest.mark.parametrize(
    ("when", "business", "festive"),
    [
        (date(2027, 2, 4), True, True),
        (date(2027, 2, 5), False, True),  # the eve, a Friday
        (date(2027, 2, 8), False, True),  # the third day, a Monday
        (date(2027, 2, 9), True, True),
        (date(2027, 1, 21), True, False),
        (date(2027, 1, 22), True, True),  # 15 days before
        (date(2027, 2, 25), True, True),
        (date(2027, 2, 26), True, False),
        (date(2050, 1, 24), False, True),
        (date(2051, 1, 2), True, False),  # past all tables its weekday counts
        (date(2051, 1, 7), False, False),
        (date(2149, 12, 31), True, False),
    ],
)
def test_days_of_later_years(when: date, business: bool, festive: bool) -> None:
    day = day_of_date(when)
    assert (bool(is_business_day(day)), bool(in_festival_window(day))) == (business, festive)


def test_a_day_that_closes_in_2027_is_provisional_and_one_before_keeps_its_bytes(whole_year_end: list) -> None:
    days = {value.day - FIRST_DAY: (text, value) for topic, text, value in whole_year_end if topic == topics.INDICATOR}
    for day, (text, value) in days.items():
        assert (b"provisional_calendar" in text) == (day > LAST), date_of(FIRST_DAY + day)
        assert value.provisional_calendar == ([ACTIVE] if day > LAST else msgspec.UNSET)
    assert {LAST, LAST + 1} <= set(days)
    assert ACTIVE in days[LAST][1].values_micro


def test_a_score_says_so_from_the_first_close_on(whole_year_end: list) -> None:
    scores = [(text, value) for topic, text, value in whole_year_end if topic == topics.SCORE]
    first_close_ms = day_start_ms(FIRST_DAY + LAST + 2)  # of 2027-01-01; what happens on that day is before it
    for text, value in scores:
        assert (b'"provisional_calendar":true' in text) == is_provisional(value) == (value.as_of >= first_close_ms)
    assert any(value.as_of == first_close_ms for _, value in scores), "the flag alone is worth a record"
    assert any(day_start_ms(FIRST_DAY + LAST + 1) < value.as_of < first_close_ms for _, value in scores), "before it"


def test_an_observation_says_so(whole_year_end: list) -> None:
    months = {
        date_of(value.day): is_provisional(value)
        for topic, _, value in whole_year_end
        if topic == topics.OBSERVATION and value.kind == "month"
    }
    assert months[date(2026, 12, 31)] is False
    assert months[date(2027, 1, 31)] is True


@pytest.mark.parametrize("topic", [topics.ALERT_SUPERVISOR, topics.bank_alerts(BANK)])
def test_an_alert_says_so_in_its_text_and_beside_the_evidence_that_rests_on_it(
    whole_year_end: list, topic: str
) -> None:
    alerts = [value for of, _, value in whole_year_end if of == topic]
    late = [alert for alert in alerts if is_provisional(alert)]
    assert {alert.signal for alert in alerts if not is_provisional(alert)} >= {"EWS35_arrears"}
    assert all(alert.as_of >= day_start_ms(FIRST_DAY + LAST + 2) for alert in late)
    for alert in alerts:
        assert alert.text_zh.endswith(PROVISIONAL_CALENDAR.zh) == is_provisional(alert)
        said = {each.name: is_provisional(each) for each in alert.evidence}
        assert said == {name: is_provisional(alert) and name in BY_BUSINESS_DAYS for name in said}
    if topic == topics.ALERT_SUPERVISOR:  # the bank's case is red already
        assert any(each.name == "score.points" for alert in late for each in alert.evidence), "the fall of the score"


def test_a_replay_writes_down_what_says_so_in_the_order_of_the_log(whole_year_end: list) -> None:
    for topic in KINDS:
        told = [(text, value) for of, text, value in whole_year_end if of == topic]
        assert any(is_provisional(value) for _, value in told), topic
        assert [offset_of(topic, text) for text, _ in told] == [value.offset for _, value in told]
        records = Records.of([(value.enterprise_id.encode(), text) for text, value in told])
        written = [msgspec.json.decode(one)["value"] for one in lines_of(topic, records).splitlines()]
        assert written == [json.loads(text) for text, _ in told]


def test_all_that_goes_out_is_of_the_published_schemas(whole_year_end: list) -> None:
    checks = {topic: validator(f"{topic.replace(BANK, 'bank_id')}.json") for topic in KINDS}
    for topic, text, _ in whole_year_end:
        checks[topic].validate(json.loads(text))
    assert {topic for topic, _, _ in whole_year_end} == set(KINDS)


def test_without_business_days_nothing_is_provisional() -> None:
    _, messages = run(trade("E1", range(LAST - 10, LAST + 12)))
    assert any(value.as_of > day_start_ms(FIRST_DAY + LAST + 2) for _, _, value in messages)
    assert not any(is_provisional(value) for _, _, value in messages), "30 days are not there yet"


def test_alerts_at_the_end_of_a_backfill_are_judged_anew() -> None:
    """The draft of the enterprise before must not lend its flag."""

    def control(action: str) -> Control:
        return Control(control_id=action, action=action, by="op", reason="test")

    old = [loan("l", "E1", FIRST), consent("E1"), *trade("E1", range(FIRST, LAST + 3))]
    new = [
        loan("n", "E2", LAST),
        authorization("b", "E2"),
        txn("t", "E2", LAST),
        loan("m", "E2", LAST, "overdue", dpd=9),
    ]
    events = [
        control("backfill_open"), *old, loan("o", "E1", LAST + 3, "overdue", dpd=9), *new, tick(LAST + 3),
        control("backfill_close"), tick(LAST + 4),
    ]  # fmt: skip
    _, messages = run(events)
    listed = {alert.enterprise_id: alert for topic, _, alert in messages if topic == topics.ALERT_SUPERVISOR}
    assert is_provisional(listed["E1"])
    assert not is_provisional(listed["E2"])


def test_a_lookup_of_an_enterprise_shows_the_provisional_calendar() -> None:
    for last, provisional in ((LAST, False), (LAST + 1, True)):
        partition, _ = run(trade("E1", range(FIRST, last + 1)))
        rows = partition.residents.rows()
        (draft,) = reevaluation.reevaluate(partition.state[rows].copy(), prior_engine(partition))
        assert bool(draft["provisional_calendar"]) is provisional
