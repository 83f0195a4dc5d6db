"""Sentences about an instalment once its date has come, by events through the packaged rules."""

import msgspec
import pytest

from domain import topics
from domain.calendar import date_of
from domain.events import Instalment
from domain.outputs import Alert
from streams.score.partition import Partition
from tests.streams.score.kit import FIRST_DAY, applied, authorization, loan, no_model, record, tick, txn

COVERED, ARREARS = "EWS11_instalment_not_covered", "EWS35_arrears"
POOR, DUE, END = 42, 45, 60  # days: the balance is spent, the instalment is due, the log ends


def told(*events, last=END):
    """The revisions of both signals by an enterprise that cannot pay on DUE, with `events` between the ticks."""
    lines = [Instalment(due_on=f"{date_of(FIRST_DAY + day)}", due_minor=4 * 10**7) for day in (DUE, DUE + 30)]
    log = [loan("l1", "E1", 0, loan_id="L1", dpd=0, schedule=tuple(lines)), authorization("a1", "E1")]
    for day in range(last):
        log += [event for event in events if event.event_time // 86_400_000 == (FIRST_DAY + day) - 1]
        fen = 5 * 10**7 if day < POOR else 10**6
        if day == POOR:
            log.append(txn("paid", "E1", day, 5, 49 * 10**6, direction="D", purpose="purchase", balance_minor=10**6))
        log += [txn(f"s{day}", "E1", day, 9, 10, balance_minor=fen), tick(day)]
    partition = Partition(0, no_model)
    messages = list(applied(partition, [record(event) for event in log], 1_000))
    found = [msgspec.json.decode(m.value, type=Alert) for m in messages if m.topic == topics.ALERT_SUPERVISOR]
    return [a for a in found if a.signal == COVERED], [a for a in found if a.signal == ARREARS]


def day_of_loan(day, event, **fields):
    return loan(f"{event}{day}", "E1", day, event, loan_id="L1", **fields)


def test_a_paid_instalment_clears_at_the_close_of_its_day():
    covered, _ = told(day_of_loan(DUE, "repaid", dpd=0, outstanding_minor=6 * 10**7))
    assert [a.state for a in covered] == ["raised", "cleared"]
    assert covered[0].opened_at < covered[1].as_of
    due = date_of(FIRST_DAY + DUE)
    assert f"{due.month}月{due.day}日到期" in covered[0].text_zh
    assert f"{due.month}月{due.day}日扣款前" in covered[0].suggested_action_zh
    assert covered[1].title_zh.startswith("【解除】")
    assert "应还款项已足额扣收" in covered[1].text_zh


def test_an_instalment_that_is_past_due_ends_and_says_nothing_more():
    late = [day_of_loan(DUE + 1, "overdue", dpd=1), day_of_loan(DUE + 8, "overdue", dpd=8)]
    covered, arrears = told(*late)
    assert [a.state for a in covered] == ["raised", "cleared"]
    assert "转逾期1天" in covered[1].text_zh
    assert "解除" not in covered[1].title_zh
    assert [a.severity for a in arrears] == ["yellow", "orange"]


@pytest.mark.parametrize(("last", "states"), [(DUE + 9, ["raised"]), (DUE + 15, ["raised", "cleared"])])
def test_a_date_that_has_passed_clears_nothing(last, states):
    covered, _ = told(last=last)
    assert [a.state for a in covered] == states
    if states[-1] == "cleared":
        assert "未报逾期，也未报扣收结果" in covered[1].text_zh
        assert "解除" not in covered[1].title_zh + covered[1].text_zh
