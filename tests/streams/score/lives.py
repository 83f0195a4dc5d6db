"""Lives of enterprises, one for each evaluated signal: what they do day by day, so that the signal lives a whole life.

Each trades soundly, then its own trouble comes and passes. The numbers are far from every threshold of the packaged
rules, so that these may be tuned. A life is lived three times: as it is; with what suppresses its signal, for most that
their bank's feed stands still from SILENT on; and without what the signal is computed from, for most their bank's
receipts from UNCOVERED on.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from domain.calendar import date_of, day_start_ms
from domain.events import Feed, Gov, Instalment, Profile, Tick
from tests.streams.score.kit import FIRST_DAY, GATEWAY, authorization, loan, txn

SOUND, SILENCED, UNSURE, PAUSING, MUTE = (f"C10{n}0211000012" for n in range(1, 6))
BANKS = (SOUND, SILENCED, UNSURE, PAUSING, MUTE)
SILENT, UNCOVERED = 485, 440  # 30 April and 16 March 2025: the Spring Festival is past
TROUBLE = 493  # 8 May: May is bad in part, so that two bad months are complete only at the end of July
PAUSE = range(TROUBLE + 70, TROUBLE + 156)  # in which the feed of PAUSING stands still; MUTE never sends a receipt
DAYS = 745
UNIT = 10**7  # fen: what comes in on a sound day
PAYERS = 12
Revision = tuple[str, str]  # state, severity


WHOLE, SUPPRESSED, BLIND = "whole", "suppressed", "blind"
WAYS = (WHOLE, SUPPRESSED, BLIND)


class Firm(NamedTuple):
    """One life, lived in one of the three ways."""

    name: str
    bank: str
    way: str

    @property
    def blind(self) -> bool:
        """True where it leaves out what its signal is computed from."""
        return self.way == BLIND

    def trade(
        self,
        day: int,
        inflow: float = 1.0,
        outflow: float = 0.8,
        *,
        payer: str = "",
        balance: float | None = 30.0,
        **debit: Any,
    ) -> Iterator[Any]:
        """Yield a sale and a purchase, in units; `debit`: fields of the purchase."""
        fen = None if balance is None else round(balance * UNIT)
        if inflow:
            yield self.moved(day, 1, inflow, counterparty_id=payer or f"p{day % PAYERS}", balance_minor=fen)
        if outflow:
            fields = {"direction": "D", "purpose": "purchase", "counterparty_id": f"s{day % 5}"} | debit
            yield self.moved(day, 2, outflow, balance_minor=fen, **fields)

    def moved(self, day: int, n: int, units: float, **fields: Any) -> Any:
        """Return the n-th transaction of a day."""
        return txn(f"{self.name}-{day}-{n}", self.name, day, n * 3_600_000, round(units * UNIT),
                   **{"bank_id": self.bank} | fields)  # fmt: skip

    def lent(self, day: int, event: str = "granted", **fields: Any) -> Any:
        """Return a report on its loan. Without a report of days past due where it is blind."""
        fields = {"dpd": None if self.blind else 0} | fields
        return loan(f"{self.name}-{event}{day}", self.name, day, event, bank_id=self.bank, **fields)

    def public(self, day: int, event: str, **fields: Any) -> Any:
        """Return a record of the authorities."""
        return Gov(
            event_id=f"{self.name}-{event}{day}", bank_id=GATEWAY, enterprise_id=self.name, source="court", event=event,
            event_time=day_start_ms(FIRST_DAY + day) + 7, **fields,
        )  # fmt: skip

    def declares(self, day: int, units: float) -> Any:
        """Return a master record with annual sales."""
        return Profile(
            event_id=f"{self.name}-profile{day}", bank_id=GATEWAY, enterprise_id=self.name, industry="C",
            event_time=day_start_ms(FIRST_DAY + day) + 7, region="310000", size_class="small",
            declared_annual_sales_minor=round(units * UNIT),
        )  # fmt: skip


def stands(firm: Firm, day: int) -> Iterator[Any]:
    """Yield what each life begins with: a loan, and consent to see."""
    if day == 0:
        yield firm.lent(0, "drawn" if firm.blind else "granted")  # a loan that is granted is not past due
        yield authorization(f"a-{firm.name}", firm.name, to=firm.bank)


def month_of(day: int) -> tuple[int, int]:
    """Return (year, month)."""
    date = date_of(FIRST_DAY + day)
    return date.year, date.month


def days_since(day: int) -> int:
    """Return the days since the trouble began; negative before."""
    return day - TROUBLE


def inflow_collapse(firm: Firm, day: int) -> Iterator[Any]:
    """A tenth comes in; the bank falls silent while much does, and is back when little does."""
    at = days_since(day)
    level = 1.0 if at < 0 or at >= 165 else 0.1 if at < 70 else 2.0 if at < 125 else 0.03
    yield from firm.trade(day, level, level * 0.8)


def year_on_year(firm: Firm, day: int) -> Iterator[Any]:
    """A fifth comes in from May to the middle of July."""
    level = 0.2 if 486 <= day < 562 else 1.0
    yield from firm.trade(day, level, level * 0.8)


FALLING = dict(
    zip(((2025, month) for month in range(3, 12)), (0.5, 0.25, 0.2, 0.18, 0.165, 0.15, 0.135, 0.122, 3.0), strict=True)
)


def falling_months(firm: Firm, day: int) -> Iterator[Any]:
    """Each month brings less than the one before: first much less, then a tenth."""
    level = FALLING.get(month_of(day), 1.0)
    yield from firm.trade(day, level, level * 0.8)


def no_credit(firm: Firm, day: int) -> Iterator[Any]:
    """Nothing comes in but one small payment after 56 days, until 75 days have passed."""
    at = days_since(day)
    level = 1.0 if at < 0 or at >= 75 else 0.01 if at == 56 else 0.0
    yield from firm.trade(day, level, 0.1)


def unrouted(firm: Firm, day: int) -> Iterator[Any]:
    """It declares five times what comes in; before and after, as much as that."""
    if day in (0, TROUBLE, TROUBLE + 60):
        yield firm.declares(day, 1_800 if day == TROUBLE else 360)
    yield from firm.trade(day)


def few_credits(firm: Firm, day: int) -> Iterator[Any]:
    """A small payment every tenth day, in place of one a day."""
    level = 1.0 if not 0 <= days_since(day) < 60 else 0.5 if day % 10 == 0 else 0.0
    yield from firm.trade(day, level, 0.1)


def short_of_cash(firm: Firm, day: int) -> Iterator[Any]:
    """It spends and sells nothing; it is past due, so that its score is capped, while next to no cash is left."""
    at = days_since(day)
    if at == 50:
        yield firm.lent(day, "overdue", dpd=40)
    if at == 75:
        yield firm.lent(day, "repaid", dpd=0)
    if 0 <= at < 75:
        yield from firm.trade(day, 0.0, 1.0, balance=1.0 if 50 <= at < 60 else 5.0)
    else:
        yield from firm.trade(day)


def uncovered_instalment(firm: Firm, day: int) -> Iterator[Any]:
    """It spends and sells nothing, and has 2 units left before an instalment of 50; two days before it is due, 300."""
    at = days_since(day)
    due = [Instalment(due_on=f"{date_of(FIRST_DAY + TROUBLE + n)}", due_minor=50 * UNIT) for n in (10, 60)]
    if at == -5:
        yield firm.lent(day, "drawn", schedule=tuple(due), dpd=0)
    if -20 <= at < 8:
        yield from firm.trade(day, 0.0, 1.0, balance=None if firm.blind else 100.0 if at < 0 else 2.0)
    else:
        yield from firm.trade(day, balance=300.0)


def lumpy(firm: Firm, day: int) -> Iterator[Any]:
    """All of a month comes in on one day; before, weeks differ by a fifth."""
    weekly = 1.1 if day // 7 % 2 else 0.9
    monthly = 30.0 if days_since(day) % 28 == 0 else 0.0
    yield from firm.trade(day, monthly if 0 <= days_since(day) < 91 else weekly)


def one_payer(firm: Firm, day: int) -> Iterator[Any]:
    """One customer pays ten times what all others do; then thirty pay a hundred times. Blind: nobody is named."""
    at = days_since(day)
    if firm.blind:
        yield firm.moved(day, 1, 1.0, counterparty_id=None)
        return
    if at < 0:
        yield from firm.trade(day)
    elif at < 70:
        yield from firm.trade(day, 10.0, payer="big")
    else:
        yield from firm.trade(day, 100.0, payer=f"q{day % 30}")


def silent_payer(firm: Firm, day: int) -> Iterator[Any]:
    """Five of six customers stop paying, and the sixth pays little."""
    payer = f"p{day % 6}"
    if 0 <= days_since(day) < 80:
        yield from firm.trade(day, 0.2 if payer == "p1" else 0.0, payer=payer)
    else:
        yield from firm.trade(day, payer=payer)


def borrowed_inflow(firm: Firm, day: int) -> Iterator[Any]:
    """For 40 days ten times the sales come from financing."""
    if 0 <= days_since(day) < 40:
        yield firm.moved(day, 3, 10.0, purpose="financing", counterparty_id="f")
    yield from firm.trade(day)


def paid_to_persons(firm: Firm, day: int) -> Iterator[Any]:
    """A third comes in, and all goes to persons."""
    if 0 <= days_since(day) < 90:
        yield from firm.trade(day, 0.3, 0.3, counterparty_kind="personal", purpose="other")
    else:
        yield from firm.trade(day)


def returned(firm: Firm, day: int) -> Iterator[Any]:
    """Three purchases in a row come back."""
    yield from firm.trade(day)
    if 0 <= days_since(day) < 3:
        paid = firm.moved(day, 2, 0.8, direction="D", purpose="purchase", counterparty_id=f"s{day % 5}")
        yield msgspec.structs.replace(
            paid, event_id=f"{paid.event_id}r", event_time=paid.event_time + 1_000, status="returned",
            ref_event_id=paid.event_id, ref_event_time=paid.event_time,
        )  # fmt: skip


def burdened(firm: Firm, day: int) -> Iterator[Any]:
    """For 40 days twice what comes in goes into debt service; purchases take all of it."""
    if 0 <= days_since(day) < 40:
        yield firm.moved(day, 3, 2.0, direction="D", purpose="loan_repayment", counterparty_id="b")
    yield from firm.trade(day, outflow=1.0)


def past_due(firm: Firm, day: int) -> Iterator[Any]:
    """Past due by 3, 12 and 45 days as its bank reports, then by 12 and, for a while, 1, then not at all."""
    reports = {0: 3, 8: 12, 16: 45, 24: 12, 36: 1, 39: 1, 42: 1, 45: 1, 48: 0}
    if (dpd := reports.get(days_since(day))) is not None:
        yield firm.lent(day, "overdue" if dpd else "repaid", dpd=None if firm.blind else dpd)
    yield from firm.trade(day)


def cash_out(firm: Firm, day: int) -> Iterator[Any]:
    """Half of what is spent is drawn in cash."""
    if 0 <= days_since(day) < 60:
        yield firm.moved(day, 3, 1.0, direction="D", purpose="cash")
    yield from firm.trade(day)


def frozen(firm: Firm, day: int) -> Iterator[Any]:
    """A freeze, and its release after 20 days. Where it is blind nothing is heard of the authorities."""
    if not firm.blind and day in (10, TROUBLE, TROUBLE + 20):
        event = {10: "fact", TROUBLE: "judicial_freeze"}.get(day, "judicial_release")
        yield firm.public(day, event)
    yield from firm.trade(day)


def score_drop(firm: Firm, day: int) -> Iterator[Any]:
    """Past due by more than 30 days, which caps the score, and by less than 90. Blind: next to nothing is known."""
    if firm.blind:
        yield firm.moved(day, 1, 1.0, counterparty_id=None)
        return
    if days_since(day) in (0, 55):
        yield firm.lent(day, "repaid" if days_since(day) else "overdue", dpd=0 if days_since(day) else 31)
    yield from firm.trade(day)


def penalised(firm: Firm, day: int) -> Iterator[Any]:
    """A penalty, an enforcement and a lost licence; while those are forgotten one after the other, another penalty."""
    events = {300: "penalty", 310: "enforcement", 320: "licence_change", 440: "penalty"}
    if not firm.blind and (day == 10 or day in events):
        event = events.get(day, "fact")
        yield firm.public(day, event, adverse=event == "licence_change")
    yield from firm.trade(day)


def guarantee_called(firm: Firm, day: int) -> Iterator[Any]:
    """The guarantor has paid. Blind: nothing is known of arrears."""
    if day == 300 and not firm.blind:
        yield firm.lent(day, "compensated", dpd=0)
    yield from firm.trade(day)


class Life(NamedTuple):
    """One signal's life, what the supervisor hears of it, and the banks at which it is lived in each way."""

    live: Callable[[Firm, int], Iterator[Any]]
    said: tuple[Revision, ...]
    banks: tuple[str, str, str] = (SOUND, SILENCED, UNSURE)


YELLOW, ORANGE, RED = "yellow", "orange", "red"
UP, DOWN, OVER = "upgraded", "downgraded", "cleared"
ONE_YELLOW, ONE_RED = (("raised", YELLOW), (OVER, YELLOW)), (("raised", RED), (OVER, RED))
RISES_AND_FALLS = (("raised", YELLOW), (UP, ORANGE), (DOWN, YELLOW), (OVER, YELLOW))
OF_ITS_OWN = (SOUND, SILENCED, SOUND)  # the life itself leaves out what is needed
LIVES: Mapping[str, Life] = {
    "EWS01_inflow_collapse": Life(
        inflow_collapse,
        (("raised", YELLOW), (UP, ORANGE), ("stale", ORANGE), ("raised", ORANGE), (DOWN, YELLOW), (OVER, YELLOW)),
        (PAUSING, SILENCED, UNSURE),
    ),
    "EWS02_yoy_same_season_drop": Life(year_on_year, ONE_YELLOW),
    "EWS03_three_falling_months": Life(falling_months, RISES_AND_FALLS),
    "EWS04_no_operating_credit": Life(no_credit, RISES_AND_FALLS),
    "EWS05_sales_not_routed": Life(unrouted, ONE_YELLOW),
    "EWS06_credit_count_fall": Life(few_credits, ONE_YELLOW),
    "EWS10_short_runway": Life(short_of_cash, RISES_AND_FALLS),
    "EWS11_instalment_not_covered": Life(uncovered_instalment, ONE_YELLOW, OF_ITS_OWN),
    "EWS15_inflow_cv_jump": Life(lumpy, ONE_YELLOW),
    "EWS20_payer_concentration": Life(one_payer, ONE_YELLOW, OF_ITS_OWN),
    "EWS21_top_payer_lost": Life(silent_payer, ONE_YELLOW),
    "EWS24_non_operating_inflow": Life(borrowed_inflow, ONE_YELLOW),
    "EWS26_corp_to_personal": Life(paid_to_persons, ONE_YELLOW),
    "EWS28_returned_debits": Life(returned, (("raised", ORANGE), (OVER, ORANGE))),
    "EWS34_debt_service_burden": Life(burdened, RISES_AND_FALLS),
    "EWS35_arrears": Life(
        past_due,
        (("raised", YELLOW), (UP, ORANGE), (UP, RED), (DOWN, ORANGE), (DOWN, YELLOW), (OVER, YELLOW)),
        OF_ITS_OWN,
    ),
    "EWS40_cash_withdrawal": Life(cash_out, ONE_YELLOW),
    "EWS45_judicial_freeze": Life(frozen, ONE_RED, OF_ITS_OWN),
    "EWS47_score_drop": Life(score_drop, ONE_YELLOW, (SOUND, SILENCED, MUTE)),
    "EWS48_adverse_gov_event": Life(
        penalised,
        (("raised", YELLOW), (UP, ORANGE), (UP, RED), (DOWN, ORANGE), (DOWN, YELLOW), (OVER, YELLOW)),
        OF_ITS_OWN,
    ),
    "EWS50_guarantee_called": Life(guarantee_called, ONE_RED, OF_ITS_OWN),
}
FIRMS = {
    (signal, way): Firm(f"{signal[:5]}-{way}", bank, way)
    for signal, life in LIVES.items()
    for way, bank in zip(WAYS, life.banks, strict=True)
}


def events_of(day: int) -> Iterator[Any]:
    """Yield what happens on a day."""
    for (signal, _), firm in FIRMS.items():
        yield from stands(firm, day)
        yield from LIVES[signal].live(firm, day)


def tick(day: int) -> Tick:
    """Return the tick at the end of a day, with what each bank's feed is like."""
    today = FIRST_DAY + day
    feeds = {bank: Feed(covered_up_to=today, closed_up_to=today, stalled=False) for bank in BANKS}
    if day >= SILENT:
        feeds[SILENCED] = msgspec.structs.replace(feeds[SILENCED], stalled=True)
    if day >= UNCOVERED:
        feeds[UNSURE] = msgspec.structs.replace(feeds[UNSURE], covered_up_to=FIRST_DAY + UNCOVERED)
    feeds[MUTE] = msgspec.structs.replace(feeds[MUTE], covered_up_to=FIRST_DAY)
    if day in PAUSE:
        feeds[PAUSING] = msgspec.structs.replace(feeds[PAUSING], stalled=True)
    return Tick(up_to=day_start_ms(today + 1) + 1, feeds=feeds)
