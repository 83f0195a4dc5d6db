"""The alerts of a simulated province: what each is said to be, in both languages, against its own state and rule."""

import collections
from collections.abc import Iterator
from unittest import mock

import msgspec
import pytest

from config.settings import KafkaSettings
from detectors import episodes
from detectors.rules.artefact import packaged_rules
from detectors.rules.grammar import timers
from detectors.wording import phrases
from detectors.wording.alerts import sentence
from detectors.wording.revision import phase
from domain import topics
from domain.calendar import day_of
from domain.events import Control, Feed, LogRecord, Receipt, Tick
from domain.language import LANGS
from domain.outputs import SEVERITIES, Alert
from replay.province.population import Population
from replay.province.source import Province
from streams.score import alerts
from streams.score.partition import Partition
from streams.sentences import Sentences
from tests.detectors.wording import laws
from tests.streams.score.kit import HEADERS, applied, no_model, record
from tests.streams.score.kit import day_start_ms as start_of

POPULATION = Population(seed=9, enterprises=150, banks=3, file_banks=0.0, months=15, default_rate=0.3, outage=0.0)
LIVE_DAYS = 150
STALL = range(36, 40)  # days before the end on which one bank delivers nothing
PHASE_OF = {
    episodes.RAISED: "new", episodes.RECURRED: "again", episodes.RETRACTED: "retracted",
    episodes.UPGRADED: "graver", episodes.DOWNGRADED: "eased", episodes.STALE: "stale",
    episodes.RESUMED: "resumed", episodes.LISTED: "listed", episodes.CLOSED: "closed", episodes.CLEARED: "cleared",
    episodes.NO_LONGER_APPLIES: "not_applicable", episodes.NOT_IN_RULES: "not_in_rules",
}  # fmt: skip
Told = list[tuple[str, Alert]]


def log_of_the_province() -> Iterator[tuple]:
    """Its events in the order of delivery, a tick a day; all but the last months are a backfill."""
    province = Province(POPULATION)
    end = province.population.end_day

    def control(action: str) -> tuple:
        body = Control(control_id=action, action=action, by="op", reason="test")
        return None, msgspec.json.encode(LogRecord(event=body)), HEADERS, 0

    def tick(day: int) -> tuple:
        feeds = {}
        for i, bank in enumerate(province.banks):
            is_silent = i == 0 and end - day in STALL
            up_to = end - STALL.stop if is_silent else day
            feeds[bank.bank_id] = Feed(covered_up_to=up_to, closed_up_to=up_to, stalled=is_silent)
        return record(Tick(up_to=start_of(day + 1) + 1, feeds=feeds))

    yield control("backfill_open")
    day = province.population.start_day
    for delivery in province.deliveries():
        while day < day_of(delivery.at_ms):
            yield tick(day)
            day += 1
            if day == end - LIVE_DAYS:
                yield control("backfill_close")
        if not isinstance(delivery.event, Receipt) and getattr(delivery.event, "currency", "CNY") == "CNY":
            yield record(delivery.event)


@pytest.fixture(scope="module")
def told() -> Told:
    """(topic, alert) of the whole log. On the way, what an alert is said to be is held to what the episode did."""
    transitions: collections.Counter[str] = collections.Counter()

    def checked(b, sources, signal):
        for topic, make in revisions(b, sources, signal):
            alert = make()
            if alert.evidence or alert.reason or alert.signal not in phrases.ELSEWHERE:  # no notice
                wanted = PHASE_OF[int(b["transition"])]
                wanted = "listed_stale" if wanted == "stale" and b["stock"] else wanted
                wanted = "open" if wanted == "listed" and not b["stock"] else wanted  # it tells that a case has moved
                assert phase(alert) == wanted
                transitions[wanted] += 1
                if not b["stock"]:  # an opening list does not read the cap anew
                    dpd = next((e.value_micro or 0 for e in alert.evidence if e.name == "dpd_max_days"), 0) / 1e6
                    is_capped = dpd > 30 and b["cap_milli"] < 0  # of all lenders, as the score has them
                    assert ("逾期封顶" in sentence(alert, signal, "zh").text) == is_capped
                    transitions["capped"] += is_capped
            yield topic, make

    revisions = alerts._revisions
    partition = Partition(0, no_model)
    with mock.patch.object(alerts, "_revisions", checked):
        found = [
            (message.topic, msgspec.json.decode(message.value, type=Alert))
            for message in applied(partition, list(log_of_the_province()), 5_000)
            if "alert" in message.topic
        ]
    print(dict(transitions))
    # Few are retracted, and few cases are open where a delivery ends: others test both.
    assert set(+transitions) | {"retracted", "closed"} == {*PHASE_OF.values(), "listed_stale", "capped", "open"} - {
        "not_in_rules"
    }
    return found


def test_no_sentence_contradicts_its_state(told: Told) -> None:
    signals = {signal.row.id: signal for signal in packaged_rules().evaluated}
    sentences = Sentences(KafkaSettings())
    standings: collections.Counter[str] = collections.Counter()
    notices = 0
    for _, alert in told:
        for lang in LANGS:
            said = sentences.of(alert, lang)
            if said.name == phrases.ELSEWHERE.get(alert.signal, ("", ""))[lang == "en"]:
                notices += 1
                continue
            standings[laws.check(signals[alert.signal], alert, said, lang)] += 1
    print(len(told), dict(standings), notices)
    assert all(standings[name] > 0 for name in ("true", "held")), standings


def test_pages_and_banks_read_the_same_words(told: Told) -> None:
    sentences = Sentences(KafkaSettings())
    for _, alert in told:
        said = sentences.of(alert, "zh")
        assert (said.title, said.text, said.action) == (alert.title_zh, alert.text_zh, alert.suggested_action_zh)
    assert {topic for topic, _ in told} > {topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL}


def test_closes_are_counted_as_the_rules_count_them_and_each_reader_has_its_own_data_dates(told: Told) -> None:
    signals = {signal.row.id: signal for signal in packaged_rules().evaluated}
    counted: collections.Counter[str] = collections.Counter()
    for topic, alert in told:
        if not alert.evidence:
            continue
        signal, all_see = signals[alert.signal], topic in (topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL)
        dates = alert.data_dates or []
        assert [one.bank_id for one in dates] == (sorted(one.bank_id for one in dates) if all_see else alert.banks)
        counted["stalled"] += any(one.stalled for one in dates)
        level = signal.levels[SEVERITIES.index(alert.severity)]
        for held in timers(level) if level and phase(alert) == "new" else ():
            assert alert.true_closes == held.closes
            counted["raised"] += 1
        assert (alert.true_closes or 0) == 0 or timers(level)
        (clears,) = timers(signal.hysteresis)
        if alert.state == "cleared" and clears == signal.hysteresis:
            assert (alert.clear_closes or 0) >= clears.closes
        if "解除条件已达标" in alert.text_zh:
            said = min(alert.clear_closes or 0, clears.closes)
            assert f"解除条件已达标{said}/{clears.closes}日" in alert.text_zh
            counted["waits"] += 1
        counted["measured"] += any(one.usual_micro and one.line_micro for one in alert.evidence)
    print(dict(counted))
    assert min(counted[name] for name in ("stalled", "raised", "waits", "measured")) > 0
