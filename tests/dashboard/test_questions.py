"""The pages' queries of ClickHouse, on the engine itself: counts, falls, names, courses, hostile text."""

import time
from typing import Any

import msgspec
import pytest

from config.settings import KafkaSettings
from dashboard import enterprise, newest_alerts, overview, score_moves
from dashboard.sentences import alert_shown
from detectors.prior import prior_snapshot
from detectors.rules.artefact import packaged
from detectors.snapshot import content_id
from domain.calendar import DAY_MS, day_of, day_start_ms
from domain.events import LogRecord, Profile
from domain.outputs import GROUPS, Alert, CaseLine, Evidence, FeedHealth, Indicators, ReasonCode, Score
from features.indicators import CORE
from sinks.clickhouse import Connection
from sinks.clickhouse.rows import Table
from sinks.clickhouse.tables import (
    ALERT,
    ALERT_BACKFILL,
    DEAD_LETTER,
    ENTERPRISE,
    FEED,
    INDICATOR,
    SCORE,
    SCORE_NOW,
    TXN,
)
from streams.sentences import Sentences
from tests.detectors.snapshots import made
from tests.sinks.kit import read
from tests.sinks.test_tables import LETTER
from tests.transactions import logged, txn

NOW_MS = int(time.time() * 1000)
T = day_start_ms(20_600) + 15 * 3_600_000
ONE, TWO = "91450100TEST00001X", "91450100TEST00002X"
RULES = content_id(packaged().encode())
SENTENCES = Sentences(KafkaSettings())


def store(archive: Connection, table: Table, *records: Any) -> None:
    placed = ((getattr(record, "offset", i), record) for i, record in enumerate(records))
    archive.insert(table.insert(table.rows(read("t", placed, time_ms=NOW_MS)), f"t:{table.name}:{time.monotonic_ns()}"))


def score(points: int, *, at_ms: int = T, offset: int = 1, enterprise_id: str = ONE, **changes: Any) -> Score:
    parts = dict.fromkeys(GROUPS, (points - 400) * 1000 // 6)
    parts["repayment_capacity"] += (points - 400) * 1000 - sum(parts.values())
    whole = Score(
        enterprise_id=enterprise_id, score=points, score_milli=points * 1000, p_overdue30_90d_ppm=50_000,
        pd_12m_ppm=None, status="published", status_reason="", grade="D", published_grade="D", groups_milli=parts,
        cap_milli=0, coverage_ppm=10**6, prior=True,
        reason_codes=[
            ReasonCode(
                indicator="op_inflow_30d_cny", points_milli=-7_500, value_micro=None, baseline_micro=500_000 * 10**6
            ),
            ReasonCode(indicator="of_another_catalogue", points_milli=-1_000, value_micro=7, baseline_micro=0),
        ],
        model_id="m", rules_id="r", engine_version="v", as_of=at_ms, offset=offset, seq=0,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


RECOVERED = [
    Evidence(name="op_inflow_30d_vs_prior90d_ratio", value_micro=572_000),
    Evidence(name="op_inflow_13w_vs_prior13w_ratio", value_micro=100_000),
    Evidence(name="ctx.inflow_vs_low_month_ratio", value_micro=300_000),
]


def alert(alert_id: str, revision: int, severity: str, state: str, **changes: Any) -> Alert:
    whole = Alert(
        alert_id=alert_id, episode_id="p", case_id="", case_severity="red", revision=revision, enterprise_id=ONE,
        signal="EWS01_inflow_collapse",
        severity="red", state="raised", stock=False, opened_at=T, as_of=T + revision, score=450, score_before=470,
        evidence=RECOVERED, event_ids=[], loans=[], banks=["b1", "b2"],
        title_zh="…", text_zh="…", suggested_action_zh="…", model_id="m", rules_id=RULES,
        offset=revision, seq=1,
    )  # fmt: skip
    return msgspec.structs.replace(whole, severity=severity, state=state, **changes)


def balance(number: int, day: int, minor: int | None, *, account: str = "x", hour: int = 9) -> LogRecord:
    time_ms = day_start_ms(day) + hour * 3_600_000
    return logged(
        txn(event_id=f"e{number}", enterprise_id=ONE, account=account, event_time=time_ms, balance_minor=minor)
    )


def profile(enterprise_id: str, name: str | None) -> LogRecord:
    event = Profile(
        event_id=enterprise_id, bank_id="Z9000000000000", enterprise_id=enterprise_id, event_time=T, industry="C",
        region="450100", size_class="micro", name_masked=name,
    )  # fmt: skip
    return LogRecord(event=event, fingerprint="0" * 16)


def test_grades_are_counted_by_the_newest_score_that_is_shown(archive: Connection) -> None:
    store(archive, SCORE_NOW, score(512), score(560, offset=2, published_grade="C"))
    store(
        archive,
        SCORE_NOW,
        score(450, enterprise_id=TWO, status="withheld"),
        score(640, enterprise_id="3", published_grade="B"),
    )
    assert overview.grades(archive) == {"C": 1, "withheld": 1, "B": 1}


def test_open_alerts_are_counted_by_their_last_revision(archive: Connection) -> None:
    store(
        archive,
        ALERT,
        alert("a", 1, "yellow", "raised"),
        alert("a", 2, "red", "upgraded"),
        alert("b", 1, "orange", "raised"),
        alert("b", 2, "orange", "cleared"),
        alert("c", 1, "orange", "stale"),
    )
    assert overview.open_alerts(archive) == {"red": 1, "orange": 1}


def test_falls_compare_the_first_and_last_score_of_a_week_of_event_time(archive: Connection) -> None:
    rows = [
        score(600, at_ms=T - 9 * DAY_MS, offset=1), score(560, at_ms=T - 5 * DAY_MS, offset=2),
        score(512, offset=3), score(500, at_ms=T - DAY_MS, offset=1, enterprise_id=TWO),
        score(530, offset=9, enterprise_id=TWO),
    ]  # fmt: skip
    store(archive, SCORE, *rows)
    store(archive, SCORE_NOW, *rows)
    store(archive, ENTERPRISE, profile(ONE, "甲***"))
    assert overview.falls(archive) == [
        {"enterprise_id": ONE, "name": "甲***", "score_before": 560, "score": 512, "grade": "D"}
    ]


def close(day: int, values: dict[str, int], *, offset: int) -> Indicators:
    nulls = {name: "history" for name in CORE if name not in values}
    return Indicators(
        enterprise_id=ONE, day=day, as_of=day_start_ms(day + 1), values_micro=values, null_reasons=nulls,
        catalogue_id="c", engine_version="v", offset=offset, seq=2,
    )  # fmt: skip


@pytest.mark.parametrize("is_switched", [False, True], ids=["one model", "a switch between"])
def test_what_moved_a_score_adds_up_between_two_closes(archive: Connection, is_switched: bool) -> None:
    day, name = day_of(T), "op_inflow_30d_cny"
    models = {"m": made(7) if is_switched else prior_snapshot(), "n": prior_snapshot()}
    store(archive, INDICATOR, close(day - 40, {name: 10**12}, offset=5), close(day - 10, {name: 10**10}, offset=15))
    store(
        archive,
        SCORE,
        score(560, at_ms=T - 39 * DAY_MS, offset=5),
        score(540, at_ms=T - 20 * DAY_MS, offset=8),
        score(512, at_ms=T - 9 * DAY_MS, offset=15, model_id="n"),
        score(400, offset=20),  # after the newest close
    )
    found = score_moves.closes(archive, ONE, 30)
    assert found is not None
    told = score_moves.moves(found, models.__getitem__)
    assert (told["days"], told["scores_milli"], told["model_ids"]) == (
        [day - 40, day - 10], [560_000, 512_000], ["m", "n"],
    )  # fmt: skip
    lines = {line["what"]: line for line in told["lines"]}
    assert 560_000 + sum(line["points_milli"] for line in lines.values()) == 512_000
    assert lines[name]["points_milli"] < 0
    assert all(lines[name]["said"].values())
    assert ("model" in lines) == is_switched
    assert score_moves.closes(archive, ONE, 31) is None
    assert score_moves.closes(archive, TWO, 7) is None


def test_names_and_search_take_hostile_text_as_text(archive: Connection) -> None:
    hostile = "x'); DROP TABLE enterprise; --\\"
    store(archive, ENTERPRISE, profile(ONE, "甲\u202e***乙"), profile(TWO, None), profile("a'b\\", hostile))
    store(archive, SCORE_NOW, score(512), score(512, enterprise_id=TWO), score(512, enterprise_id="a'b\\"))
    assert overview.names(archive, [ONE, TWO, "a'b\\", "none"]) == {ONE: "甲\\u202e***乙", "a'b\\": hostile}
    assert [each["enterprise_id"] for each in overview.search(archive, "91450100TEST")] == [ONE, TWO]
    assert [each["enterprise_id"] for each in overview.search(archive, "***乙")] == [ONE]
    assert [each["name"] for each in overview.search(archive, hostile)] == [hostile]
    assert overview.search(archive, "%") == []


def test_dead_letters_are_counted_by_topic_and_reason(archive: Connection) -> None:
    store(
        archive,
        DEAD_LETTER,
        LETTER,
        msgspec.structs.replace(LETTER, offset=9),
        msgspec.structs.replace(LETTER, reason="late"),
    )
    assert [(each["reason"], each["count"]) for each in overview.dead_letters(archive)] == [
        ("not_json", 2),
        ("late", 1),
    ]


@pytest.mark.parametrize(
    ("covered", "stalled", "hour", "state", "behind"),
    [
        (20_599, False, 15, "complete", 0),
        (20_600, False, 15, "complete", 0),  # today's receipt is here already
        (20_598, False, 3, "waiting", 1),
        (20_598, False, 13, "late", 1),
        (20_590, False, 3, "late", 9),
        (20_590, True, 3, "stalled", 9),
        (None, False, 13, "late", None),
    ],
)
def test_the_completeness_of_a_bank(
    archive: Connection, covered: int | None, stalled: bool, hour: int, state: str, behind: int | None
) -> None:
    reached_ms = day_start_ms(20_600) + hour * 3_600_000
    health = FeedHealth(
        bank_id="b", last_event_time=None, covered_up_to=covered, closed_up_to=None, stalled=stalled,
        oldest_unread_event_time=None, as_of=reached_ms,
    )  # fmt: skip
    store(archive, FEED, health)
    banks = [{"bank_id": "b", "deadline_hours": 12}, {"bank_id": "discard_event", "deadline_hours": 12}]
    found_ms, (one, other) = overview.banks_now(banks, overview.feeds(archive))
    assert (found_ms, one["state"], one["behind_days"]) == (reached_ms, state, behind)
    assert other["state"] == "silent"


def test_an_enterprise_is_returned_with_all_parts_and_an_unknown_one_is_none(archive: Connection) -> None:
    assert enterprise.enterprise(archive, ONE, SENTENCES) is None
    store(
        archive,
        SCORE,
        score(560, at_ms=T - 100 * DAY_MS, offset=1),
        score(530, at_ms=T - 50 * DAY_MS, offset=2),
        score(512, offset=3),
    )
    store(archive, SCORE_NOW, score(512, offset=3))
    listed = alert("a", 2, "red", "raised", stock=True)
    store(archive, ALERT, alert("a", 1, "yellow", "raised"), listed)
    store(archive, ALERT_BACKFILL, alert("old", 1, "yellow", "raised", as_of=T - DAY_MS))
    day = day_of(T)
    store(
        archive,
        TXN,
        balance(1, day - 200, 500),
        balance(2, day - 3, 100, hour=9),
        balance(3, day - 3, 300, hour=18),
        balance(4, day - 2, 50, account="y"),
        balance(5, day - 1, None),
        balance(6, day + 2, 999),
    )
    found = enterprise.enterprise(archive, ONE, SENTENCES)
    assert found is not None
    assert found["days"] == [day - 89, day]
    assert [balance for _, balance in found["balances"][-5:]] == [500, 300, 350, 350, 350]
    assert [points for _, points in found["scores"]] == [560, 530, 512]
    assert found["scores"][0][0] == day_start_ms(day - 89), "the score before the days shown stands at their beginning"
    assert 400 + sum(found["score"]["parts"].values()) == 512
    first, other = found["score"]["reasons"]
    assert first["said"] == {
        "zh": "近30日经营流入额不可计算，同业中位50万元",
        "en": "Operating inflow, 30 days: not computable, peer median CNY 500,000",
    }
    assert other["said"] == {
        "zh": "of_another_catalogue7e-06，同业中位0", "en": "of_another_catalogue: 7e-06, peer median 0",
    }  # fmt: skip
    assert [(each["id"], each["revision"], each["backfill"]) for each in found["alerts"]] == [
        ("a", 2, 0), ("a", 1, 0), ("old", 1, 1),
    ]  # fmt: skip
    said = found["alerts"][0]["said"]
    assert said["zh"]["title"] == "【观察·存量】经营流入骤降"
    assert "触发条件已消失" in said["zh"]["text"]
    assert "近30日经营流入较前90日增57.2%" in said["zh"]["text"]
    assert said["en"]["title"] == "[Watch, opening list] Operating inflow collapse"
    assert "the condition that raised it is gone" in said["en"]["text"]
    assert "up 57.2%" in said["en"]["text"]
    assert len(found["txns"]) == 6


def test_an_alert_shows_what_its_case_claims_line_by_line(archive: Connection) -> None:
    store(archive, SCORE_NOW, score(512))
    parts = (("EWS01_inflow_collapse", 674), ("EWS20_payer_concentration", 0), ("score.points", -300))
    lines = [
        CaseLine(name=name, finding="", severity=None, opened_at=None, stale=False, points_milli=points)
        for name, points in parts
    ]
    claimed = alert("a", 1, "orange", "raised", case_severity="orange", case_pd_12m_ppm=310_000, case_lines=lines)
    store(archive, ALERT, claimed, alert("b", 1, "red", "raised"))
    found = enterprise.enterprise(archive, ONE, SENTENCES)
    assert found is not None
    one, other = (next(each for each in found["alerts"] if each["id"] == name)["claim"] for name in "ab")
    assert other is None, "its rules claimed nothing"
    assert (one["severity"], one["pd_12m_ppm"]) == ("orange", 310_000)
    assert [(line["said"]["zh"], line["points_milli"]) for line in one["lines"]] == [
        ("经营流入骤降", 674), ("评分", -300),
    ]  # fmt: skip
    live = alert_shown(SENTENCES, claimed)
    assert live["claim"] == one


def test_foreign_text_of_an_alert_has_its_invisible_characters_escaped(archive: Connection) -> None:
    store(archive, SCORE_NOW, score(512))
    hostile = [Evidence(name="A\u202eb", value_micro=1)]
    store(archive, ALERT, alert("a", 1, "red", "raised", signal="s\u0000t", evidence=hostile, rules_id=RULES))
    found = enterprise.enterprise(archive, ONE, SENTENCES)
    assert found is not None
    for said in found["alerts"][0]["said"].values():
        assert "s\\u0000t" in said["title"]
        assert "A\\u202eb" in said["text"]


def test_an_alert_is_shown_alike_as_it_comes_and_from_the_archive(archive: Connection) -> None:
    raised = alert("a", 1, "red", "raised", rules_id=RULES)
    store(archive, SCORE_NOW, score(512))
    store(archive, ALERT, raised)
    found = enterprise.enterprise(archive, ONE, SENTENCES)
    assert found is not None
    (archived,), live = found["alerts"], newest_alerts.shown(raised, SENTENCES)
    assert live.keys() - archived.keys() == {"enterprise_id", "banks"}
    assert archived.keys() - live.keys() == {"backfill"}
    assert {name: live[name] for name in live.keys() & archived.keys()} == {
        "id": "a", "revision": 1, "signal": "EWS01_inflow_collapse", "severity": "red", "state": "raised",
        "stock": False, "opened_ms": T, "as_of_ms": T + 1, "score": 450, "score_before": 470, "bank_count": 2,
        "said": archived["said"], "claim": None,
    }  # fmt: skip


def test_the_newest_event_of_a_loan_may_leave_a_field_empty(archive: Connection) -> None:
    from sinks.clickhouse.tables import LOAN
    from tests.sinks.test_tables import LOAN_EVENT

    store(archive, SCORE_NOW, score(512))
    later = msgspec.structs.replace(
        LOAN_EVENT, enterprise_id=ONE, event_id="e2", event="overdue", event_time=LOAN_EVENT.event_time + 1, dpd=31,
        five_class=None, due_on=None, outstanding_minor=5,
    )  # fmt: skip
    first = msgspec.structs.replace(LOAN_EVENT, enterprise_id=ONE)
    store(archive, LOAN, *(LogRecord(event=each, fingerprint="0" * 16) for each in (later, first)))
    found = enterprise.enterprise(archive, ONE, SENTENCES)
    assert found is not None
    assert not found["score"]["extrapolated"]
    (loan,) = found["loans"]
    assert (loan["event"], loan["dpd"], loan["five_class"], loan["due_on"]) == ("overdue", 31, "正常", None)
    assert loan["outstanding_minor"] == 5


@pytest.mark.parametrize(
    ("fields", "extrapolated"),
    [
        ({"event": "granted"}, False),
        ({"event": "closed"}, True),
        ({"event": "repaid", "outstanding_minor": 0}, True),
        ({"event": "repaid", "outstanding_minor": 1}, False),
        ({"event": "repaid", "outstanding_minor": 0, "revolving": True, "limit_minor": 9}, False),
        (None, True),
    ],
)
def test_a_score_without_an_open_loan_is_marked_as_an_extrapolation(
    archive: Connection, fields: dict[str, Any] | None, extrapolated: bool
) -> None:
    from sinks.clickhouse.tables import LOAN
    from tests.sinks.test_tables import LOAN_EVENT

    store(archive, SCORE_NOW, score(512))
    if fields is not None:
        of_one = msgspec.structs.replace(LOAN_EVENT, enterprise_id=ONE, **fields)
        store(archive, LOAN, LogRecord(event=of_one, fingerprint="0" * 16))
    found = enterprise.enterprise(archive, ONE, SENTENCES)
    assert found is not None
    assert found["score"]["extrapolated"] is extrapolated
