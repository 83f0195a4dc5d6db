"""A dead feed, from the topics of banks to those of alerts: real Kafka and Redis, ingest and score as processes."""

import collections
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cli.main import main
from config.settings import RedisSettings, Settings
from detectors.rules.artefact import RulesArtefact
from domain import topics
from domain.events import Authorization, Control, Loan
from domain.outputs import Alert, FeedHealth, FeedMessage
from embedded import Child
from sinks.artefacts import publish
from sinks.kafka import Outbox
from streams.topics import create_topics
from tests.cli.kit import settings_file, xinliu
from tests.faults import Fault
from tests.reading import committed, ends, read
from tests.streams.ingest.kit import BANKS, as_bytes, at, log_records, receipt, send, settings_for, txn
from tests.streams.score.kit import GATEWAY, immediate_artefact

DEAD, LENDER = BANKS[:2]
STEADY, SILENT, FADING = "E1", "E3", "E4"  # enterprises of the dead bank; ELSEWHERE's keeps time going
ELSEWHERE = "E2"
DIES, RESUMES, LAST = 45, 50, 51  # days: the first without records, the one on which they come, the last one
_FELL_SILENT = RulesArtefact(
    signals=(
        msgspec.structs.replace(
            immediate_artefact().signals[0], id="T1_silent", levels=("days_since_op_credit_days >= 4", "", ""),
            hysteresis="held(days_since_op_credit_days < 2, d=2)", min_history="ctx.history_days >= 30",
            not_computable_when="isnull(days_since_op_credit_days) or isnull(op_credit_30d_count)",
            suppress_when="feed.stalled", evidence=("days_since_op_credit_days",),
        ),
    )
)  # fmt: skip
_LAST_CREDIT = {STEADY: LAST, SILENT: 38, FADING: DIES - 1}


def day_of_bank(bank_id: str, day: int) -> Iterator[bytes]:
    """Yield the records of one bank's day: every enterprise pays daily, and is paid until its last credit."""
    for enterprise in (ELSEWHERE,) if bank_id == LENDER else (STEADY, SILENT, FADING):
        for direction, purpose in (("C", "sales"), ("D", "purchase")):
            if direction == "D" or day <= _LAST_CREDIT.get(enterprise, LAST):
                yield as_bytes(
                    txn(
                        f"{enterprise}-{day}-{direction}", at(day, 600), bank_id=bank_id, enterprise_id=enterprise,
                        direction=direction, purpose=purpose,
                    )
                )  # fmt: skip
    yield as_bytes(receipt(day, bank_id))


def deliver(broker: str, bank_id: str, *days: int) -> None:
    send(broker, topics.bank_events(bank_id), (value for day in days for value in day_of_bank(bank_id, day)))


def lend(broker: str, *enterprises: str) -> None:
    for enterprise in enterprises:
        lent = Loan(
            event_id=f"l-{enterprise}", bank_id=LENDER, enterprise_id=enterprise, event_time=at(0), loan_id="L1",
            event="granted", principal_minor=10**7, outstanding_minor=10**7, granted_on="2024-03-04",
        )  # fmt: skip
        allowed = Authorization(
            event_id=f"a-{enterprise}", bank_id=GATEWAY, enterprise_id=enterprise, event_time=at(0),
            to_bank_id=LENDER, purpose="贷后管理", valid_from=at(0), valid_to=at(999), authorization_id="x",
            consent_hash="0" * 64, confirmed_by_enterprise_at=at(0),
        )  # fmt: skip
        send(broker, topics.bank_events(LENDER), [msgspec.json.encode(lent)])
        send(broker, topics.GATEWAY, [msgspec.json.encode(allowed)])


def told(broker: str, topic: str) -> dict[str, list[tuple[str, int]]]:
    """Return (state, revision) of the alerts in a topic by enterprise, without repeats."""
    found: dict[str, dict[tuple[str, int], None]] = collections.defaultdict(dict)
    for record in read(broker, topic):
        alert = msgspec.json.decode(record.value or b"", type=Alert)
        found[alert.enterprise_id][alert.state, alert.revision] = None
    return {enterprise: list(states) for enterprise, states in found.items()}


def stalled(broker: str) -> list[bool]:
    """Return what `feed.v1` has said of the dead bank, one entry for each change."""
    words = [msgspec.json.decode(record.value or b"", type=FeedMessage) for record in read(broker, topics.FEED)]
    said = [word.stalled for word in words if isinstance(word, FeedHealth) and word.bank_id == DEAD]
    return [now for before, now in zip([None, *said], said, strict=False) if now != before]


@contextlib.contextmanager
def engine(settings: Settings, folder: Path) -> Iterator[Path]:
    """Run ingest and score as `xinliu worker` does; yield the settings file."""
    file = settings_file(folder, settings)
    with contextlib.ExitStack() as stack:
        for role in ("ingest", "score"):
            argv, environment = xinliu("--config", file, "worker", role)
            child = Child(role, argv, log=folder / f"{role}.log", env=environment)
            stack.callback(child.stop)
            child.launch()
        yield file


def test_fault_07_a_dead_feed_is_one_feed_alert_and_no_enterprise_s(
    empty_kafka: str, redis_url: str, tmp_path: Path, eventually: Callable[..., None], fault: Fault,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A bank falls silent for five days while another one goes on. Its feed is called stalled once; of its enterprises
    nothing is raised, and an open episode waits. When it sends what is missing, the open episode is judged again, and
    what rose meanwhile is raised once: nothing is lost to the days that had closed without it."""
    broker = empty_kafka
    settings = msgspec.structs.replace(
        settings_for(broker, tmp_path, (DEAD, LENDER)), redis=RedisSettings(url=redis_url, timeout_s=2.0)
    )
    create_topics(settings)
    rules_id = publish(Outbox(broker), topics.ARTEFACT, _FELL_SILENT.encode())
    switch = Control(
        control_id="c1", action="activate", artefact="rules", artefact_id=rules_id, by="t", reason="the test's rules"
    )
    send(broker, topics.CONTROL, [msgspec.json.encode(switch)])

    def scored_to_the_end() -> bool:
        log = ends(broker, topics.EVENTS)
        done = committed(broker, "test-score", topics.EVENTS, len(log))
        return bool(log) and all(done.get(p, -1) == end for p, end in log.items())

    with engine(settings, tmp_path) as file:
        eventually(lambda: any(log_records(broker).values()), 60, "the rules in the log")
        for day in range(DIES):
            deliver(broker, DEAD, day)
            if day == 0:
                lend(broker, STEADY, SILENT, FADING)
            deliver(broker, LENDER, day)
        fault.inject(deliver, broker, LENDER, *range(DIES, RESUMES))
        eventually(lambda: stalled(broker)[-1:] == [True], 60, "the feed is stalled")
        eventually(lambda: ("stale", 2) in told(broker, topics.ALERT_SUPERVISOR).get(SILENT, []), 60, "it waits")
        eventually(scored_to_the_end, 60, "everything is scored")
        meanwhile = told(broker, topics.ALERT_SUPERVISOR)
        deliver(broker, DEAD, *range(DIES, RESUMES))
        for day in range(RESUMES, LAST + 1):
            deliver(broker, LENDER, day)
            deliver(broker, DEAD, day)
        eventually(lambda: FADING in told(broker, topics.ALERT_SUPERVISOR), 60, "what rose meanwhile is raised")
        eventually(lambda: ("raised", 3) in told(broker, topics.ALERT_SUPERVISOR)[SILENT], 30, "judged again")
        eventually(lambda: stalled(broker)[-1:] == [False] and scored_to_the_end(), 30, "the feed is back")
        after, to_lender = told(broker, topics.ALERT_SUPERVISOR), told(broker, topics.bank_alerts(LENDER))
        assert main(["--config", str(file), "tail", "--from-start", "--json", "--count", "6"]) == 0
    assert meanwhile == {SILENT: [("raised", 1), ("stale", 2)]}
    assert after == {SILENT: [("raised", 1), ("stale", 2), ("raised", 3)], FADING: [("raised", 1)]}
    assert to_lender[FADING] == [("raised", 1)]
    assert to_lender.keys() == {SILENT, FADING}
    changes = stalled(broker)
    assert changes.count(True) == 1, "one feed alert"
    shown = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    feeds = [(one["bank_id"], one["stalled"]) for one in shown if one["kind"] == "feed"]
    assert feeds == [(DEAD, True), (DEAD, False)], "the supervisor sees it beside the alerts"
    fault(observed=f"feed.v1 said stalled once; meanwhile {meanwhile}; after it {after}")
