"""The law of what a bank may compute: nothing that it is told differs where only other banks' data does.

Two worlds that differ in what the reader may not know give it the same bytes: then nothing that it can compute from
them, of one moment or of several, tells one from the other. First over rows, for every evaluated signal, transition,
reader and field of a row; then through the real path, over all that banks hear in half a year.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.disclosure import bands, disclosures
from config.wordings import wordings
from detectors import cases, episodes
from detectors.episodes import EVERY_BANK
from detectors.rules.vocabulary import FLAGS, INPUTS, SLOT_OF
from detectors.wording import phrases
from detectors.wording.numbers import KINDS, band_zh
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.events import Feed, Instalment, Tick
from domain.outputs import Alert, CaseRecord, DataDate
from features.indicators.nulls import VALUE
from features.layout import id_words
from features.state.buckets import NO_UNIT
from streams.score import alerts, disclosure, outbook, partition
from streams.score.records import bank_number
from tests.detectors.rules.every import every_rule
from tests.detectors.wording import examples
from tests.streams.score.kit import BANK, FIRST_DAY, OTHER_BANK, authorization, claiming_rules, loan, txn
from tests.streams.score.test_alerts import run

TODAY = 20_200
BANKS = (BANK, OTHER_BANK, "C1010311000014")
READERS = range(len(BANKS))
ABOUT = 0  # the bank slot that an episode of a lender is about
TRANSITIONS = range(episodes.RAISED, episodes.RETRACTED + 1)
# Fields of a row whose change may change what a bank is told, and why. What of them is of other banks is mutated.
MAY_SHOW = {
    "kind", "slot", "record", "signal", "transition", "to_bank", "stock",  # which message it is
    "level", "revision", "episode_bank", "why", "null",  # signals of the platform are one for all banks (ADR 8)
    "true_closes", "clear_closes",  # and so is since when their conditions are true (ADR 42)
    "score_milli", "score_before_milli", "provisional_calendar",  # the score is told to lenders with consent
    "as_of_ms", "offset", "opened_ms", "opened_offset",  # when it changed: told at once (ADR 35)
    "closed_day",  # where windows end
    "case_score", "case_move",  # made of the score alone (ADR 38)
    "case_lines", "case_episodes",  # where the lines lie: what of them is of other banks is mutated
}  # fmt: skip
OF_A_NOTICE = {"kind", "slot", "record", "signal", "transition", "to_bank", "stock", "score_before_milli",
               "provisional_calendar"}  # fmt: skip
NOT_READ = {
    "history_days", "cap_milli", "coverage_ppm", "status", "status_reason", "published_grade", "balance_now_cny",
    "balance_known", "u", "points_milli", "reasons", "granted", "disposed", "waits",
    "life_case", "life_bank", "life_change", "life_nth", "life_stage", "life_disposition", "life_level",
    "life_escalation", "life_maker", "life_checker", "life_opened_ms", "life_contact_day", "life_visit_day",
    "life_due_day", "life_until_day", "life_exposure_fen",  # of records of cases, each of one bank's own
}  # fmt: skip
BY_SLOT = {
    "entitled", "elsewhere", "bank", "authorized", "traded_day", "balance_day", "more_count", "more_outstanding",
    "more_dpd", "held",
}  # fmt: skip
BY_VIEW = {"case_key", "case_level", "case_moved", "case_before"}
OF_A_LOAN: dict[str, Any] = {  # another lender's: it may be anything
    "loan": id_words("SECRET"), "loan_outstanding": 7, "loan_dpd": 91, "loan_open": 0, "loan_undrawn": 8,
    "loan_next_day": TODAY + 9, "loan_next_fen": 9, "loan_due_day": TODAY + 99, "loan_class": 4, "loan_guarantee": 3,
}  # fmt: skip
BY_LOAN = set(OF_A_LOAN)
ELSEWHERE = {"seq", "value", "loan_bank", "unplaced_day", "overflowed", "banks_stalled"}  # mutated by themselves
Mutation = tuple[str, Callable[[Any], None]]


def test_every_field_of_a_row_is_told_or_mutated() -> None:
    assert set(outbook.ROW.names or ()) == MAY_SHOW | NOT_READ | BY_SLOT | BY_VIEW | BY_LOAN | ELSEWHERE


def test_signals_with_notices_are_those_that_the_engine_numbers() -> None:
    assert set(phrases.ELSEWHERE) == set(cases.NOTICED)


def test_every_number_may_go_out_as_a_band_or_is_public() -> None:
    for number, row in disclosures().items():
        assert number in wordings()
        assert row.days <= 520
    public = {number for number, row in disclosures().items() if row.rests_on == "public"}
    for number, says in wordings().items():
        assert says.kind in bands() or says.kind == "event" or number in public | FLAGS, number
    for kind, some in bands().items():
        limits = [band.below for band in some]
        assert kind in KINDS
        assert limits[-1] is None
        assert limits[:-1] == sorted(set(limits[:-1]))
        for texts in ([band.text.zh for band in some], [band.text.en for band in some]):
            assert len(set(texts)) == len(texts)


def number_row(signal: Any, numbers: dict[str, float | None]) -> Any:
    """A row of three lenders with consent and data of their own, at noon."""
    row = np.zeros(1, outbook.ROW)[0]
    row["kind"], row["to_bank"], row["record"] = outbook.ALERT, outbook.TO_ALL, 0
    row["level"] = next(i + 1 for i, text in enumerate(signal.row.levels) if text)
    row["revision"], row["episode_bank"] = 3, ABOUT if signal.is_lender else EVERY_BANK
    row["as_of_ms"], row["offset"], row["seq"] = day_start_ms(TODAY) + 43_210_987, 123_456, 2
    row["opened_ms"], row["opened_offset"] = day_start_ms(TODAY - 9) + 12_345_678, 120_000
    row["true_closes"], row["clear_closes"] = 14, 3
    row["score_milli"], row["score_before_milli"] = 499_000, 561_000
    for number in INPUTS:
        x = numbers.get(number, 0.37)
        row["value"][SLOT_OF[number]], row["null"][SLOT_OF[number]] = (0.0, 3) if x is None else (x, VALUE)
    row["traded_day"] = row["balance_day"] = NO_UNIT
    row["unplaced_day"], row["closed_day"] = NO_UNIT, TODAY - 1
    row["case_key"], row["case_level"] = 77 + np.arange(cases.VIEWS), 2
    row["case_moved"], row["case_before"], row["case_score"] = cases.GRAVER, 1, 1_310
    row["loan_bank"] = -1
    for slot, bank_id in enumerate(BANKS):
        row["bank"][slot], row["authorized"][slot] = bank_number(bank_id), 1
        row["traded_day"][slot] = row["balance_day"][slot] = TODAY - slot
        row["loan"][slot], row["loan_bank"][slot], row["loan_open"][slot] = id_words(f"L{slot}"), slot, 1
        row["loan_outstanding"][slot], row["loan_dpd"][slot] = 10**8 + slot, 12
        row["loan_undrawn"][slot], row["loan_due_day"][slot] = 10**7 + slot, TODAY + 100 + slot
        row["loan_next_day"][slot], row["loan_next_fen"][slot] = TODAY + slot, 10**6 + slot
        row["loan_class"][slot], row["loan_guarantee"][slot] = 1 + slot, 1 + slot
    return row


def lines_of(reader: int, others: random.Random | None) -> list[dict[str, int]]:
    """Return the open episodes of a claim: of the platform, of the reader, and of other banks; these by chance."""
    usual = {"opened_ms": day_start_ms(TODAY - 9), "points": 500, "group": 64, "level": 1, "least": 0, "stale": 0,
             "waits": 0}  # fmt: skip
    own = [
        usual | {"signal": s, "bank": bank, "group": s} for s, bank in ((0, EVERY_BANK), (1, reader), (1, EVERY_BANK))
    ]
    if others is None:
        return [*own, *(usual | {"signal": 2, "bank": slot, "group": 1} for slot in READERS if slot != reader)]
    foreign = [
        usual
        | {"signal": others.randrange(9), "bank": slot, "group": others.randrange(3), "level": others.randrange(1, 4)}
        | {"points": others.randrange(9_000), "stale": others.randrange(2), "opened_ms": others.randrange(10**12)}
        for slot in READERS if slot != reader for _ in range(others.randrange(3))
    ]  # fmt: skip
    return [*foreign[:1], *own, *foreign[1:]]


def heard(
    row: Any, signal: Any, reader: int, sender: tuple[str, str], others: random.Random | None = None
) -> list[bytes]:
    """Return the messages that one bank gets of a row. A sentence in English is made of no more than that (ADR 17)."""
    rules = every_rule()
    sources = alerts.Sources(
        enterprise_id="E1", model_id="m", rules_id=rules.id, rules=rules, backfill=False, sender=sender
    )
    row = row.copy()
    row["signal"] = rules.evaluated.index(signal)
    b = dict(zip(outbook.ROW.names or (), row.item(), strict=True)) | {"lines": lines_of(reader, others)}
    topic = topics.bank_alerts(BANKS[reader])
    return [msgspec.json.encode(one.make()) for one in alerts.addressed(b, sources) if one.topic == topic]


def moved_in_its_band(number: str, x: float) -> float:
    """Another value with the same band; of a whole number another whole one where there is one."""
    for by in (1.0, -1.0, 0.043, -0.043, 0.0007, -0.0007):
        if band_zh(number, x + by) == band_zh(number, x):
            return x + by
    raise AssertionError(number)


def mutations(signal: Any, reader: int, base: Any) -> Iterator[Mutation]:
    """Changes of a row in what is of other banks: the name, and what makes it."""

    def put(name: str, at: int | None, value: Any) -> Mutation:
        def change(row: Any) -> None:
            if at is None:
                row[name] = value
            else:
                row[name][at] = value

        return f"{name}[{at}]", change

    others = [slot for slot in READERS if slot != reader]
    for number in INPUTS:
        slot = SLOT_OF[number]
        is_public = number in disclosures() and disclosures()[number].rests_on == "public"
        is_own = signal.is_lender and number in disclosure._OF_OWN_LOANS
        if is_public or is_own or wordings()[number].kind not in bands() or base["null"][slot] != VALUE:
            continue
        yield put("value", slot, moved_in_its_band(number, float(base["value"][slot])))
    for slot in others:
        yield put("bank", slot, bank_number("C1010911000099"))
        yield put("authorized", slot, 0)
        yield put("entitled", slot, 1)
        yield put("elsewhere", slot, 4)
        yield put("held", slot, 1)
        yield put("traded_day", slot, TODAY - 3)
        yield put("balance_day", slot, TODAY - 3)
        for name, value in (("more_count", 2), ("more_outstanding", 7), ("more_dpd", 91)):
            yield put(name, slot, value)
        for name, value in OF_A_LOAN.items():
            yield put(name, slot, value)
    for view in range(cases.VIEWS):
        if view != reader:
            yield put("case_key", view, 5)
            yield put("case_level", view, 3)
            yield put("case_moved", view, cases.RESOLVED)
            yield put("case_before", view, 0)
    yield put("seq", None, base["seq"] + 1)
    yield put("loan_bank", others[0], others[1])
    yield put("unplaced_day", None, TODAY - 40)
    yield put("banks_stalled", None, sum(1 << slot for slot in others))
    yield put("overflowed", None, 1)
    for name in NOT_READ:
        yield put(name, None, 1)


def notice_mutations(base: Any) -> Iterator[Mutation]:
    """Yield changes of what a notice hides beside: everything of the episode and of the record but the day."""

    def put(name: str, value: Any) -> Mutation:
        def change(row: Any) -> None:
            row[name] = value

        return name, change

    yield put("as_of_ms", base["as_of_ms"] + 3_600_001)
    for name in ("offset", "seq", "opened_ms", "opened_offset", "revision", "why"):
        yield put(name, base[name] + 1)
    yield put("score_milli", 449_000)
    yield put("level", 3)
    yield put("value", base["value"] + 1.0)
    yield put("null", 2)


def after_consent(reader: int, name: str) -> Mutation:
    """Return a change of what the record that ends delivery did to the score, or to the reader's own case."""

    def change(row: Any) -> None:
        if name == "score_milli":
            row[name] = 449_000
        else:
            row[name][reader] = 3

    return name, change


def mutated(row: Any, changes: list[Mutation]) -> Any:
    changed = row.copy()
    for _, change in changes:
        change(changed)
    return changed


SIGNALS = every_rule().evaluated


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.row.id)
def test_a_bank_is_told_nothing_that_only_others_data_decides(signal: Any) -> None:
    numbers = dict(next(iter(examples.TRUE[signal.row.id].values())))
    base = number_row(signal, numbers)
    messages = 0
    for transition in TRANSITIONS:
        for reader in READERS:
            row = base.copy()
            row["transition"] = transition
            row["to_bank"] = reader if transition in (episodes.LISTED, episodes.CLOSED) else outbook.TO_ALL
            row["stock"] = transition == episodes.LISTED
            row["authorized"][reader] = transition != episodes.CLOSED
            is_elsewhere = signal.is_lender and reader != ABOUT
            if is_elsewhere and signal.row.id in phrases.ELSEWHERE:
                row["elsewhere"][reader] = 1
            other = BANKS[(reader + 1) % len(BANKS)]
            told = heard(row, signal, reader, (other, "secret"))
            assert bool(told) == (not is_elsewhere or signal.row.id in phrases.ELSEWHERE)
            hidden = [*mutations(signal, reader, row), *(notice_mutations(row) if is_elsewhere else ())]
            another = (BANKS[(reader + 2) % len(BANKS)], "another")
            for chance in range(3):
                assert heard(row, signal, reader, (other, "secret"), random.Random(chance)) == told, "of their episodes"
            if heard(mutated(row, hidden), signal, reader, another) != told:
                told_of = [
                    name
                    for name, change in hidden
                    if heard(mutated(row, [(name, change)]), signal, reader, (other, "secret")) != told
                ]
                raise AssertionError(f"bank {reader} is told by transition {transition} of {told_of}")
            messages += len(told)
            for raw in told:
                alert = msgspec.json.decode(raw, type=Alert)
                assert other not in raw.decode()
                assert all(loan.loan_id == f"L{reader}" for loan in alert.loans)
                if transition == episodes.CLOSED:
                    assert alert.case_state is alert.case_lines is alert.data_dates is msgspec.UNSET
                    after = [after_consent(reader, name) for name in ("score_milli", "case_level", "case_moved")]
                    assert heard(mutated(row, after), signal, reader, (other, "secret")) == told
                elif not is_elsewhere:
                    own = DataDate(bank_id=BANKS[reader], newest_on=f"{date_of(TODAY - reader)}", stalled=False)
                    stands = (msgspec.UNSET,) * 3 if transition == episodes.NOT_IN_RULES else ([own], 14, 3)
                    assert (alert.data_dates, alert.true_closes, alert.clear_closes) == stands
                    assert all(each.usual_micro is msgspec.UNSET for each in alert.evidence if each.band is not None)
                    assert alert.case_state == "graver"
                    assert [line.points_milli for line in alert.case_lines] == [1_310, 500, 500, 0, 0]
    assert messages


# The same through the real path.
MORE = ("C1010311000014", "C1010411000013", "C1010611000019", "C1030111000013")
OTHERS = (OTHER_BANK, *MORE)
DAYS, COLLAPSE_DAY, OVERDUE_DAY = 215, 150, 160
ENTERPRISES = 5  # with so many other banks as its number
OF_FOUR_BANKS = ("E3", "E4")
TO_BALANCE = "bal_to_next_instalment_ratio"


def close(day: int) -> Tick:
    up_to = FIRST_DAY + day
    feed = Feed(covered_up_to=up_to, closed_up_to=up_to, stalled=False)
    return Tick(up_to=day_start_ms(up_to + 1) + 1, feeds=dict.fromkeys((BANK, *OTHERS), feed))


def world(secret: random.Random | None, seed: int = 5) -> Iterator[Any]:
    """Half a year of enterprises at one to five banks that all lend; `secret` draws anew what only other banks know.

    That is amounts and balances (by up to a ten-thousandth), accounts, counterparties, ids of records and loans, and
    the time of day at which an instalment is reported as overdue.
    """
    rnd = random.Random(seed)

    def anew(text: str) -> str:
        return text if secret is None else f"{text}-{secret.randrange(10**6)}"

    def nearly(fen: int, is_own: bool) -> int:
        return fen if secret is None or is_own else fen + secret.randrange(1, max(2, fen // 10_000))

    places = [(f"E{i}", bank_id) for i in range(ENTERPRISES) for bank_id in (BANK, *OTHERS[:i])]
    names = {place: place[1] if place[1] == BANK else anew(place[1]) for place in places}
    schedule = tuple(
        Instalment(due_on=f"{date_of(FIRST_DAY + day)}", due_minor=3 * 10**8) for day in (COLLAPSE_DAY + 5, DAYS)
    )

    def loan_of(event_id: str, day: int, place: tuple[str, str], event: str, **fields: Any) -> Any:
        enterprise_id, bank_id = place
        return loan(
            f"{event_id}{names[place]}", enterprise_id, day, event, loan_id=f"L{names[place]}"[:20], bank_id=bank_id,
            outstanding_minor=nearly(10**8, bank_id == BANK), **fields,
        )  # fmt: skip

    for place in places:
        yield loan_of("l", 0, place, "granted", schedule=schedule)
        yield authorization(f"a{place[1]}", place[0], to=place[1])
    for day in range(DAYS):
        falls = day >= COLLAPSE_DAY
        for place in places:
            enterprise_id, bank_id = place
            is_own = bank_id == BANK
            for j in range(1 if falls else 3):
                fen = rnd.randrange(10**7, 2 * 10**7) // (9 if falls else 1)
                held = 10**8 // (40 if falls else 1) + rnd.randrange(10**6)
                is_credit, is_trade, payer = j != 1, rnd.random() < 0.8, rnd.randrange(4)
                yield txn(
                    f"t{day}-{j}-{names[place]}", enterprise_id, day, 1_000 + j, nearly(fen, is_own), bank_id=bank_id,
                    direction="C" if is_credit else "D", balance_minor=nearly(held, is_own), account=names[place],
                    purpose=("sales" if is_credit else "purchase") if is_trade else "cash",
                    counterparty_id=f"p{payer}{'' if is_own else names[place]}",
                )  # fmt: skip
            if day == OVERDUE_DAY and not is_own:
                at = 40_000_000 if secret is None else secret.randrange(30_000_000, 50_000_000)
                event = loan_of("overdue", day, place, "overdue", dpd=12)
                yield msgspec.structs.replace(event, event_time=day_start_ms(FIRST_DAY + day) + at)
        yield close(day)


def told_to(bank_id: str, events: Iterator[Any]) -> tuple[list[Alert], list[CaseRecord]]:
    _, messages = run(events)
    of_alerts, of_cases = topics.bank_alerts(bank_id), topics.bank_cases(bank_id)
    return (
        [msgspec.json.decode(message.value, type=Alert) for message in messages if message.topic == of_alerts],
        [msgspec.json.decode(message.value, type=CaseRecord) for message in messages if message.topic == of_cases],
    )


def without_what_is_told(alert: Alert) -> Alert:
    """An alert without the score and the times of the platform's signals, which lenders may know (ADR 35).

    And without the balance at four banks or more.
    """
    if not alert.evidence and alert.signal in phrases.ELSEWHERE:
        return msgspec.structs.replace(alert, score=0)
    text = re.sub(r"评分\d+(→\d+)?(（.线\d+分）)?", "", alert.text_zh)
    evidence = [each for each in alert.evidence if not each.name.startswith("score.")]
    if alert.enterprise_id in OF_FOUR_BANKS:
        evidence = [each for each in evidence if each.name != TO_BALANCE]
        text = re.sub(f"{wordings()[TO_BALANCE].name.zh}[^；。]*", "", text)
    if alert.case_lines:  # of the claim, what the score adds, and the times
        lines = [
            msgspec.structs.replace(line, points_milli=line.points_milli if line.severity else 0, opened_at=None)
            for line in sorted(alert.case_lines, key=lambda line: line.name)
        ]
        alert = msgspec.structs.replace(alert, case_lines=lines, case_pd_12m_ppm=0)
    return msgspec.structs.replace(
        alert, score=0, score_before=None, text_zh=text, evidence=evidence, alert_id="", episode_id="", case_id="",
        as_of=0, opened_at=0,
    )  # fmt: skip


def without_times(record: CaseRecord) -> CaseRecord:
    """A record of a case without the times of the platform's signals and the id made of them."""
    return msgspec.structs.replace(record, case_id="", opened_at=0, as_of=0)


def test_half_a_year_of_claims_tells_nothing_of_amounts_times_and_names_at_other_banks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition, "packaged_rules", claiming_rules)
    first, first_cases = told_to(BANK, world(None))
    again, again_cases = told_to(BANK, world(random.Random(1)))
    for one, other in zip(first, again, strict=True):
        assert msgspec.to_builtins(without_what_is_told(one)) == msgspec.to_builtins(without_what_is_told(other))
    assert [without_times(one) for one in first_cases] == [without_times(one) for one in again_cases]
    assert len(first_cases) >= ENTERPRISES
    assert {record.bank_id for record in first_cases} == {BANK}
    states = Counter(alert.case_state for alert in first if alert.case_state)
    print(dict(states))
    assert states["opened"] >= ENTERPRISES
    assert states["graver"] or states["eased"]
    assert all(alert.case_lines for alert in first if alert.case_state)


@pytest.mark.usefixtures("immediate")
def test_half_a_year_of_messages_tells_nothing_of_amounts_times_and_names_at_other_banks() -> None:
    first, _ = told_to(BANK, world(None))
    known = [without_what_is_told(alert) for alert in first]
    for seed in (1, 2):
        again = [without_what_is_told(alert) for alert in told_to(BANK, world(random.Random(seed)))[0]]
        for one, other in zip(known, again, strict=True):
            assert msgspec.to_builtins(one) == msgspec.to_builtins(other)
    to_balance = {alert.enterprise_id: each for alert in first for each in alert.evidence if each.name == TO_BALANCE}
    shown = {name for name, each in to_balance.items() if each.value_micro is not None}
    assert shown == {"E0", *OF_FOUR_BANKS} < set(to_balance)
    by_signal = Counter(alert.signal for alert in known)
    notices = [alert for alert in known if not alert.evidence and alert.signal in phrases.ELSEWHERE]
    exact = [each for alert in known for each in alert.evidence if each.value_micro is not None]
    banded = [each for alert in known for each in alert.evidence if each.band is not None]
    print(dict(by_signal), len(notices), len(exact), len(banded))
    assert len(by_signal) >= 6
    assert min(len(notices), len(exact), len(banded)) >= 4


@pytest.mark.usefixtures("immediate")
def test_the_law_sees_a_number_that_is_shown_as_it_is() -> None:
    with mock.patch.object(disclosure.Contributors, "shows", return_value=True):
        known, again = (
            [without_what_is_told(alert) for alert in told_to(BANK, world(secret))[0]]
            for secret in (None, random.Random(1))
        )
    assert known != again
