"""A correction that leaves no level true retracts an episode at once; one that rises again goes on in its episode."""

import msgspec
import pytest

from config.case_table import StandsAlone, packaged_case_table
from detectors.rules.artefact import RulesArtefact
from detectors.snapshot import content_id
from domain.calendar import day_start_ms
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    OTHER_BANK,
    by_topic,
    loan,
    tick,
    txn,
)
from tests.streams.score.test_alerts import by_bank, consent, control, row, run, supervised, two_lenders

HOUR = 3_600_000


def case_of(*alone):
    """The packaged table's cooldown and claim; signals that alone lift a case to the level that they have."""
    return msgspec.structs.replace(
        packaged_case_table().table.of_signals(frozenset()),
        alone=tuple(StandsAlone(signal=signal, at=level, level=level) for signal, level in alone),
    )


# T1 is red from the fourth credit of 30 days on, T2 yellow from a loan's first day past due on.
T1 = row("T1")
T2 = msgspec.structs.replace(
    row("T2", scope="lender"), levels=("dpd_max_days >= 1", "", ""), hysteresis="held(dpd_max_days == 0, d=2)",
    min_history="ctx.history_days >= 0",
)  # fmt: skip
RULES = RulesArtefact(signals=(T1, T2), case=case_of(("T1", "red"), ("T2", "yellow")))


def quiet(first, last):
    """Days without an operating credit."""
    for day in range(first, last):
        yield txn(f"q{day}", "E1", day, HOUR, direction="D", purpose="purchase")
        yield tick(day)


def credits_of(day, *, first=1, hour=9):
    """Four credits, of which the last one raises T1."""
    return [txn(f"c{day}-{n}", "E1", day, (hour + n) * HOUR, 10**6) for n in range(first, 5)]


def undone(original, day, status="reversed", hour=20):
    return msgspec.structs.replace(
        original, event_id=f"u-{original.event_id}", event_time=day_start_ms(FIRST_DAY + day) + hour * HOUR,
        status=status, ref_event_id=original.event_id, ref_event_time=original.event_time,
    )  # fmt: skip


def heard_of(*events, size=1_000):
    """The messages of a log under RULES, after 40 quiet days of an enterprise with two lenders."""
    log = [control("activate", content_id(RULES.encode())), *two_lenders(), *quiet(0, 40), *events]
    return run(log, (RULES,), size)[1]


def states(alerts):
    """States and reasons, but for revisions that tell of the case alone, whose episode stands as it did."""
    return [(a.state, a.reason) for a in alerts if (a.state, a.reason) != ("raised", "") or a.revision == 1]


@pytest.mark.parametrize("status", ["reversed", "returned"])
def test_what_undoes_the_payment_that_raised_it_retracts_it_at_once_for_all_who_were_told(status):
    paid = credits_of(40)
    messages = heard_of(*paid, undone(paid[0], 41, status), *quiet(41, 44))
    told, sender, other = supervised(messages, "T1"), by_bank(messages, BANK, "T1"), by_bank(messages, OTHER_BANK, "T1")
    assert states(told) == states(sender) == [("raised", ""), ("retracted", status)]
    assert states(other) == [("raised", ""), ("retracted", "corrected")]
    assert len({a.alert_id for a in (*told, *sender, *other)}) == 1
    assert [a.event_ids for a in (told[-1], sender[-1], other[-1])] == [["u-c40-1"], ["u-c40-1"], []]
    assert "撤回" in other[-1].title_zh
    assert "更正" in other[-1].text_zh
    assert ("冲正" if status == "reversed" else "退回") in sender[-1].text_zh


def test_a_retraction_eases_a_case_at_once_and_not_only_after_some_closes():
    late = loan("late", "E1", 40, "overdue", loan_id="L1", dpd=3)
    paid = credits_of(40)
    told = by_bank(heard_of(late, *paid, undone(paid[0], 40)), BANK)
    moves = [(a.state, a.case_state, a.case_severity) for a in told]
    assert moves == [("raised", "opened", "yellow"), ("raised", "graver", "red"), ("retracted", "eased", "yellow")]
    assert len({a.case_id for a in told}) == 1


def test_the_payment_that_raised_it_may_itself_be_undone():
    paid = credits_of(40)
    told = supervised(heard_of(*paid, undone(paid[-1], 40)), "T1")
    assert states(told) == [("raised", ""), ("retracted", "reversed")]


def test_a_late_record_of_before_it_retracts_an_alert_of_silence():
    silence = msgspec.structs.replace(
        T1, id="T3", levels=("days_since_op_credit_days >= 10", "", ""),
        hysteresis="held(days_since_op_credit_days < 2, d=5)", evidence=("days_since_op_credit_days",),
    )  # fmt: skip
    rules = RulesArtefact(signals=(silence,), case=case_of(("T3", "yellow")))
    late = txn("late", "E1", 48, HOUR, 10**6, bank_id=OTHER_BANK)
    start = [control("activate", content_id(rules.encode())), *two_lenders(), *quiet(0, 40), *credits_of(40)]
    for events, ending in (
        ([*quiet(41, 52), late, *quiet(52, 54)], [("retracted", "late")]),
        ([*quiet(41, 52), txn("new", "E1", 52, HOUR, 10**6), *quiet(52, 54)], []),  # that is no correction
    ):
        messages = run([*start, *events], (rules,))[1]
        assert states(supervised(messages, "T3")) == [("raised", ""), *ending]
        assert states(by_bank(messages, OTHER_BANK, "T3")) == [("raised", ""), *ending]
        assert states(by_bank(messages, BANK, "T3")) == [("raised", ""), *(("retracted", "corrected") for _ in ending)]


def test_what_came_after_the_opening_or_leaves_a_level_true_retracts_nothing():
    paid = credits_of(40)
    fifth = txn("fifth", "E1", 41, HOUR, 10**6)
    late = txn("late", "E1", 39, HOUR, direction="D", purpose="purchase")  # older, and changes no level
    for events in ([fifth, undone(fifth, 41)], [fifth, undone(paid[0], 41)], [late]):
        assert states(supervised(heard_of(*paid, *events, *quiet(41, 43)), "T1")) == [("raised", "")]


def test_a_payment_after_the_opening_that_alone_kept_it_true_is_no_ground_to_retract():
    """Nothing before the opening is in the window any more when one of those after it is reversed."""
    later = credits_of(68)
    events = [*credits_of(40), *quiet(41, 68), *later, *quiet(68, 72), undone(later[0], 72, hour=1), tick(72)]
    messages = heard_of(*events)
    assert states(supervised(messages, "T1")) == [("raised", "")]


def test_a_fact_that_was_true_when_it_came_late_is_not_retracted_by_its_own_cure():
    """Both come on day 42: overdue since day 40, paid on day 41. The enterprise's time was later than both."""
    overdue, paid = (
        loan(name, "E1", day, name, dpd=dpd, loan_id="L1") for name, day, dpd in (("overdue", 40, 3), ("repaid", 41, 0))
    )
    messages = heard_of(*quiet(40, 43), overdue, paid, *quiet(43, 46))
    assert states(supervised(messages, "T2")) == [("raised", ""), ("cleared", "")]


def test_who_may_no_longer_look_hears_that_delivery_ends_and_no_more():
    paid = credits_of(40)
    revoked = consent(40, to=OTHER_BANK, revoked=True)
    until = msgspec.structs.replace(
        revoked, event_id="until", event_time=revoked.event_time + 1, revoked=False,
        valid_to=day_start_ms(FIRST_DAY + 41),
    )  # fmt: skip
    messages = heard_of(revoked, until, *paid, undone(paid[0], 41, hour=1), tick(41))
    assert states(by_bank(messages, OTHER_BANK, "T1")) == [("raised", ""), ("closed", "authorization")]
    assert states(supervised(messages, "T1"))[-1] == ("retracted", "reversed")


def test_a_signal_that_rises_again_within_the_cooldown_goes_on_in_its_episode():
    pause = 30 + 3  # after 30 days without a credit it clears at the second close
    events = [*credits_of(40), *quiet(41, 40 + pause), *credits_of(40 + pause), tick(40 + pause)]
    messages = heard_of(*events)
    told = supervised(messages, "T1")
    assert states(told) == [("raised", ""), ("cleared", ""), ("raised", "recurred")]
    assert [a.revision for a in told] == list(range(1, len(told) + 1))
    assert len({a.alert_id for a in told}) == len({a.opened_at for a in told}) == 1
    assert "再次触发" in told[-1].text_zh
    assert states(by_bank(messages, OTHER_BANK, "T1")) == states(told)


def test_after_the_cooldown_or_a_retraction_an_episode_is_another_one():
    paid = credits_of(40)
    retracted = [*paid, undone(paid[0], 40), txn("fourth", "E1", 41, HOUR, 10**6)]
    later = [*paid, *quiet(41, 92), *credits_of(92)]
    for events, ending in ((retracted, ("retracted", "reversed")), (later, ("cleared", ""))):
        told = supervised(heard_of(*events), "T1")
        assert states(told) == [("raised", ""), ending, ("raised", "")]
        assert [a.revision for a in told].count(1) == 2
        assert len({a.alert_id for a in told}) == 2


def test_batches_change_neither_retractions_nor_cooldowns():
    paid = credits_of(40)
    events = [*paid, *quiet(41, 73), *credits_of(73), undone(paid[0], 73), *quiet(74, 76)]
    assert by_topic(heard_of(*events, size=1)) == by_topic(heard_of(*events))
