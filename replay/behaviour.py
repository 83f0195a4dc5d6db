"""How an enterprise lives: what it receives and pays on each day, and what it cannot pay when its means run out."""

from dataclasses import dataclass

from domain.calendar import day_start_ms
from domain.events import Direction, Loan, Purpose, Txn
from replay.account import Account, Counterparty
from replay.draw import MILLION, Draw
from replay.lending import Borrowing
from replay.population import Enterprise, Party, Population, inflow_permille
from replay.workdays import Workday

PACE_DAYS = 50  # purchases follow the sales of about this long
OPENING_S, CLOSING_S = 9 * 3_600 + 1_800, 17 * 3_600  # when enterprises pay each other
UNDO_S = 9 * 3_600 + 600  # returns and reversals of earlier days
UNDO_DAYS_MAX = 20
RETRY_DAYS_MAX = 25
INTEREST_DAY, DIVIDEND_DAY = 21, 28
FEE_MINOR = 5_000
STICKY_PPM = 450_000  # staff and rent shrink slowly, and not below this
COVER_ORDER_PPM = 60_000  # of a month's sales: what is kept back for wages, tax and loans before purchases
RICH_PERMILLE = 1_500  # of a month's sales: above it the owners take half of the rest
OWNER: Counterparty = ("owner", "personal")
PLATFORM: Counterparty = ("pay-platform", "corporate")
BANK: Counterparty = ("own-bank", "financial")

# second of the day, tie-break, direction, amount, purpose, counterparty, channel, day since which it is owed (0: not)
Move = tuple[int, int, Direction, int, Purpose, Counterparty, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dues:
    """Monthly dues: day and hour, the share of a month's sales, and the payee."""

    month_day: int
    hour: int
    purpose: Purpose
    of_sales_ppm: int
    to: Counterparty
    sticky: bool = True


def monthly_dues(one: Enterprise) -> tuple[Dues, ...]:
    """Return the monthly dues of an enterprise; the bank's fee is the least amount there is."""
    treasury: Counterparty = ("treasury", "government")
    return (
        Dues(
            month_day=one.payroll_day,
            hour=15,
            purpose="payroll",
            of_sales_ppm=one.payroll_ppm,
            to=("staff", "personal"),
        ),
        Dues(month_day=15, hour=16, purpose="tax", of_sales_ppm=35_000, to=treasury, sticky=False),
        Dues(month_day=20, hour=16, purpose="social_security", of_sales_ppm=18_000, to=treasury),
        Dues(month_day=18, hour=14, purpose="utility", of_sales_ppm=14_000, to=("grid", "corporate")),
        Dues(
            month_day=one.rent_day,
            hour=14,
            purpose="rent",
            of_sales_ppm=28_000,
            to=(f"landlord-{one.number}", "corporate"),
        ),
        Dues(month_day=26, hour=13, purpose="fee", of_sales_ppm=0, to=BANK),
    )


class Life:
    """One enterprise, day by day; `day` is called once for every day, in order."""

    __slots__ = (
        "_by_month_day", "_by_weekday", "_draw", "_dues", "_moves", "_one", "_pace_ppm", "_population", "_undos",
        "_unpaid", "account", "borrowing",
    )  # fmt: skip

    def __init__(self, population: Population, one: Enterprise) -> None:
        self._population = population
        self._one = one
        self._draw = Draw(population.seed, "life", one.number)
        self.account = Account(one.bank_id, one.enterprise_id, one.account, one.opening_balance_minor)
        self.borrowing = Borrowing(population, one, self.account) if one.borrows else None
        self._pace_ppm = MILLION
        self._moves: list[Move] = []
        self._unpaid: list[Move] = []
        self._undos: list[tuple[int, Txn]] = []  # from which day on
        parties = [("C", party) for party in one.payers] + [("D", party) for party in one.payees]
        self._by_weekday = [
            [each for each in parties if each[1].rhythm != "monthly" and each[1].turn == weekday]
            for weekday in range(5)
        ]
        self._by_month_day: dict[int, list[tuple[str, Party]]] = {}
        self._dues: dict[int, list[Dues]] = {}
        for dues in monthly_dues(one):
            self._dues.setdefault(dues.month_day, []).append(dues)
        for each in parties:
            if each[1].rhythm == "monthly":
                self._by_month_day.setdefault(each[1].turn, []).append(each)

    def day(self, today: Workday) -> list[Txn | Loan]:
        """Return the events of one day, in event-time order."""
        inflow = inflow_permille(self._one, today.day, today.when.month)
        self._pace_ppm += (inflow * 1000 - self._pace_ppm) // PACE_DAYS
        events: list[Txn | Loan] = []
        midnight_ms = day_start_ms(today.day)
        borrowing = self.borrowing if self.borrowing is not None and self.borrowing.next_day <= today.day else None
        if borrowing is not None:
            events.extend(borrowing.morning(today.day))
        if today.business and self._undos:
            self._undo(today.day, midnight_ms, events)
        self._moves = []
        self._retail(today, inflow)
        if today.business:
            self._trade(today, inflow)
            self._standing(today)
            self._retry(today.day)
        self._moves.sort()
        for move in self._moves:
            self._settle(today.day, midnight_ms, move, events)
        if borrowing is not None:
            events.extend(borrowing.evening(today.day, today.business))
        return events

    def _retail(self, today: Workday, inflow: int) -> None:
        """Small takings of the day, settled by a payment platform."""
        one, draw = self._one, self._draw
        if not one.retail_ppm:
            return
        usual = one.sales_month_minor // 1000 * one.retail_ppm // 27_000 * min(inflow, 1000) // 1000
        for _ in range(one.takings_a_day):
            if draw.chance(inflow * 900):
                second = draw.between(OPENING_S, CLOSING_S)
                self._add(second, "C", draw.spread(usual // one.takings_a_day), "sales", PLATFORM, "platform")

    def _trade(self, today: Workday, inflow: int) -> None:
        """Payers whose turn it is pay, and suppliers are paid."""
        even = today.day // 7 % 2 == 0
        for weekday in today.due_weekdays:
            for side, party in self._by_weekday[weekday]:
                if party.rhythm == "weekly" or party.odd_weeks != even:
                    self._visit(today.day, side, party, inflow)
        if self._by_month_day:
            for month_day in today.due_month_days:
                for side, party in self._by_month_day.get(month_day, ()):
                    self._visit(today.day, side, party, inflow)

    def _visit(self, day: int, side: str, party: Party, inflow: int) -> None:
        one, draw = self._one, self._draw
        if draw.chance(25_000):
            return  # once in a while somebody skips a turn
        counterparty = (party.token, party.kind)
        second = draw.between(OPENING_S, CLOSING_S)
        if side == "C":
            if one.scenario == "payer_lost" and day >= one.onset_day and party is one.payers[0]:
                return
            of_month = one.sales_month_minor // 1000 * (MILLION - one.retail_ppm) // 1000 * inflow // 1000
            amount = self._about(of_month // 1000 * party.visit_ppm // 1000)
            if inflow < 400 and draw.chance(300_000):
                return  # a customer that buys less also comes less often
            self._add(second, "C", amount, "sales", counterparty, "ebank")
        else:
            of_month = one.sales_month_minor // 1000 * one.cost_ppm // 1000 * (self._pace_ppm // 1000) // 1000
            amount = self._about(of_month // 1000 * party.visit_ppm // 1000)
            self._add(second, "D", amount, "purchase", counterparty, "ebank")

    def _about(self, usual: int) -> int:
        """Return an amount round its usual size."""
        return max(1, usual + (self._draw.spread(usual) - usual) * self._one.spread_permille // 1000)

    def _standing(self, today: Workday) -> None:
        """Yield the dues of a day of the month: wages, tax, rent and the like; and cash now and then."""
        draw, sales = self._draw, self._one.sales_month_minor
        for month_day in today.due_month_days:
            for dues in self._dues.get(month_day, ()):
                pace_ppm = max(self._pace_ppm, STICKY_PPM) if dues.sticky else self._pace_ppm
                amount = max(sales // 1000 * dues.of_sales_ppm // 1000 * (pace_ppm // 1000) // 1000, FEE_MINOR)
                second = dues.hour * 3_600 + len(self._moves)
                self._add(second, "D", amount, dues.purpose, dues.to, "auto", must_since=today.day)
            if month_day == DIVIDEND_DAY and self.account.balance_minor > sales * RICH_PERMILLE // 1000:
                spare = (self.account.balance_minor - sales * RICH_PERMILLE // 1000) // 2
                self._add(CLOSING_S, "D", spare + 1, "other", OWNER, "ebank")
            if month_day == INTEREST_DAY and today.when.month % 3 == 0:
                self._add(OPENING_S, "C", max(self.account.balance_minor // 2000, 1), "interest", BANK, "auto")
        if draw.chance(70_000):
            self._add(draw.between(OPENING_S, CLOSING_S), "D", draw.spread(sales // 150), "cash", None, "counter")

    def _add(
        self,
        second: int,
        direction: Direction,
        amount: int,
        purpose: Purpose,
        counterparty: Counterparty,
        channel: str,
        must_since: int = 0,
    ) -> None:
        self._moves.append((second, len(self._moves), direction, amount, purpose, counterparty, channel, must_since))

    def _retry(self, day: int) -> None:
        """Try again on each business day, for a while, what could not be paid."""
        waiting, self._unpaid = self._unpaid, []
        for move in waiting:
            if day - move[7] <= RETRY_DAYS_MAX:
                self._moves.append((move[0], len(self._moves), *move[2:]))

    def _settle(self, day: int, midnight_ms: int, move: Move, events: list[Txn | Loan]) -> None:
        second, _, direction, amount, purpose, counterparty, channel, must_since = move
        if direction == "D":
            reserve = 0 if must_since else self._one.sales_month_minor // 1000 * COVER_ORDER_PPM // 1000
            if self.account.balance_minor - reserve < amount:
                if must_since:
                    self._unpaid.append(move)
                    return
                # Suppliers get what there is above the reserve, or wait for their next turn.
                amount = self.account.balance_minor - reserve
                if amount < self._one.sales_month_minor // 500:
                    return
        txn = self.account.post(midnight_ms + second * 1000, direction, amount, purpose, counterparty, channel)
        events.append(txn)
        if purpose in ("sales", "purchase") and self._draw.chance(
            self._population.returned_ppm + self._population.reversed_ppm
        ):
            self._undos.append((day + self._draw.between(1, 4), txn))

    def _undo(self, day: int, midnight_ms: int, events: list[Txn | Loan]) -> None:
        waiting, self._undos = self._undos, []
        total_ppm = self._population.returned_ppm + self._population.reversed_ppm
        for from_day, txn in waiting:
            short = txn.direction == "C" and self.account.balance_minor < txn.amount_minor
            if short and day - from_day > UNDO_DAYS_MAX:
                continue  # settled between the two, outside the account
            if from_day > day or short:
                self._undos.append((from_day, txn))
                continue
            returned = self._draw.below(total_ppm) < self._population.returned_ppm
            at_ms = midnight_ms + (UNDO_S + len(events)) * 1000
            events.append(
                self.account.undo(at_ms, txn, "returned", "账号户名不符")
                if returned
                else self.account.undo(at_ms, txn, "reversed", None)
            )
