"""The life of an enterprise's loan at its bank: granted, due, repaid or overdue, classified, in default, closed."""

from collections.abc import Iterator

from domain.calendar import DAY_MS, date_of, day_start_ms
from domain.events import FiveClass, Instalment, Loan, LoanEvent, Txn
from replay.account import Account, Counterparty
from replay.draw import Draw
from replay.population import Enterprise, Population
from replay.workdays import months_later, next_business_day

MORNING_MS = 7 * 3_600_000  # what the bank's night run found
GRANT_MS = 9 * 3_600_000
EVENING_MS = 18 * 3_600_000  # when the day's other bookings are done
RATE_MONTH_PPM = 3_600  # interest a month on what is outstanding
REPORTED_DPD = frozenset({1, 4, 8, 15, 22, 31, 38, 46, 61, 76, 91})
SPECIAL_MENTION_DPD = 31
DEFAULT_DPD = 91
LENDER: Counterparty = ("loan-centre", "financial")
DONE = 1 << 40  # a day that never comes


class Borrowing:
    """One loan with equal monthly instalments, or interest first and the principal at the end.

    `next_day` is the next day on which anything may happen: until then there is no need to call.
    """

    __slots__ = (
        "_account", "_granted", "_loan_id", "_one", "_outstanding", "_paid", "_principal", "_schedule", "_term",
        "in_default", "next_day",
    )  # fmt: skip

    def __init__(self, population: Population, one: Enterprise, account: Account) -> None:
        draw = Draw(population.seed, "loan", one.number)
        span = population.end_day - population.start_day
        self._one = one
        self._account = account
        self._loan_id = f"LN{one.number:07d}01"
        self._principal = max(one.sales_month_minor * draw.between(80, 220) // 100, 1_000_000)
        self._outstanding = self._principal
        self._granted = next_business_day(population.start_day + 12 + draw.below(max(span * 40 // 100, 1)))
        bullet = draw.chance(250_000)
        self._term = draw.pick((6, 12)) if bullet else draw.pick((12, 18, 24))
        self._schedule = self._instalments(bullet)
        self._paid = 0  # instalments
        self.in_default = False
        self.next_day = self._granted

    def morning(self, day: int) -> Iterator[Loan | Txn]:
        """Yield the bank's reports and bookings before the day's payments."""
        at_ms = day_start_ms(day) + MORNING_MS
        if day == self._granted:
            yield self._report("granted", at_ms + GRANT_MS - MORNING_MS, first=True)
            yield self._account.post(
                at_ms + GRANT_MS - MORNING_MS + 1_000, "C", self._principal, "loan_disbursement", LENDER, "counter"
            )
            self.next_day = self._due_day(0)
            return
        dpd = day - self._due_day(self._paid)
        if any(self._due_day(number) == day for number in range(self._paid, len(self._schedule))):
            yield self._report("instalment_due", at_ms)
        if dpd in REPORTED_DPD:
            yield self._report("overdue", at_ms, dpd=dpd)
        if dpd == SPECIAL_MENTION_DPD:
            yield self._report("classified", at_ms + 1_000, dpd=dpd, five_class="关注")
        if dpd == DEFAULT_DPD:
            yield self._report("classified", at_ms + 1_000, dpd=dpd, five_class="次级")
            yield self._report("default", at_ms + 2_000, dpd=dpd, five_class="次级", reason="本金逾期超过90天")
            self.in_default = True
            self.next_day = DONE

    def evening(self, day: int, business: bool) -> Iterator[Loan | Txn]:
        """Collect what is due, as far as the balance reaches for whole instalments."""
        if self.in_default or day <= self._granted:
            return
        at_ms = day_start_ms(day) + EVENING_MS
        while business and self._paid < len(self._schedule) and self._due_day(self._paid) <= day:
            principal = self._schedule[self._paid][1]
            interest = self._outstanding * RATE_MONTH_PPM // 1_000_000
            if self._account.balance_minor < principal + interest:
                break
            yield self._account.post(at_ms, "D", interest, "interest", LENDER, "auto")
            if principal:
                yield self._account.post(at_ms + 1_000, "D", principal, "loan_repayment", LENDER, "auto")
            self._outstanding -= principal
            self._paid += 1
            yield self._report("repaid", at_ms + 2_000, dpd=self._dpd(day))
            at_ms += 10_000
        if self._paid == len(self._schedule):
            yield self._report("closed", at_ms, dpd=0)
            self.next_day = DONE
        else:
            due = self._due_day(self._paid)
            self.next_day = due if due > day else day + 1

    def _dpd(self, day: int) -> int:
        return max(0, day - self._due_day(self._paid)) if self._paid < len(self._schedule) else 0

    def _due_day(self, number: int) -> int:
        return self._schedule[number][0]

    def _instalments(self, bullet: bool) -> list[tuple[int, int]]:
        """Return (due day, principal) of each month of the term; the last line takes the rest of the division."""
        part = 0 if bullet else self._principal // self._term
        days = [next_business_day(months_later(self._granted, month)) for month in range(1, self._term + 1)]
        return [*((day, part) for day in days[:-1]), (days[-1], self._principal - part * (self._term - 1))]

    def _report(
        self,
        event: LoanEvent,
        at_ms: int,
        *,
        dpd: int | None = None,
        five_class: FiveClass | None = None,
        reason: str | None = None,
        first: bool = False,
    ) -> Loan:
        one, number = self._one, self._one.number
        day = (at_ms - day_start_ms(0)) // DAY_MS
        due = self._schedule[min(self._paid, len(self._schedule) - 1)] if event not in ("granted", "closed") else None
        return Loan(
            event_id=f"{self._loan_id}-{event}-{day}-{self._paid}",
            bank_id=one.bank_id,
            enterprise_id=one.enterprise_id,
            event_time=at_ms,
            loan_id=self._loan_id,
            event=event,
            principal_minor=self._principal,
            outstanding_minor=self._outstanding,
            repayment_method="instalment" if self._schedule[0][1] else "interest_first",
            granted_on=_text(self._granted),
            due_on=_text(due[0]) if due else _text(self._schedule[-1][0]),
            due_minor=due[1] + self._outstanding * RATE_MONTH_PPM // 1_000_000 if due else None,
            dpd=dpd,
            five_class=five_class,
            classified_on=_text(day) if event == "classified" else None,
            schedule=tuple(Instalment(due_on=_text(on), due_minor=part) for on, part in self._schedule)
            if first
            else (),
            declared_use="采购原材料" if first else None,
            guarantee_type="信用" if number % 3 else "保证",
            customer_no=f"C{number:07d}",
            contract_no=f"HT{number:07d}",
            product_code="LDZJ",
            branch_code=f"BR{number % 7:02d}",
            manager_no=f"M{number % 23:03d}",
            customer_name=one.name if first else None,
            first_loan=first,
            reason=reason,
        )


def _text(day: int) -> str:
    return date_of(day).isoformat()
