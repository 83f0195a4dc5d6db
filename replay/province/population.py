"""The parameters of a simulation. Equal populations give equal bytes."""

import dataclasses
import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from config.settings import Bank
from domain.calendar import date_of, day_of_date
from replay.province.parameters import Of, ParameterError, check
from replay.province.sources import ATRADIUS_2024, CBIRC_2022, JPMC_2016, MYBANK, PBOC_2024
from replay.province.tables import (
    INDUSTRIES,
    LOAN_KINDS,
    MONTHS,
    SCENARIOS,
    SIZES,
    Industry,
    LoanKind,
    Scenario,
    Size,
)
from replay.workdays import months_later

BANK_CODES = 9_999
DRIFT_AFTER_MONTHS = 12
UNTIL_MIN, UNTIL_MAX = date(2019, 1, 1), date(2030, 1, 1)  # the known calendar of holidays (replay.workdays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The province and its time. `after_months` past the log's end let the truth know the outcome of all loans."""

    seed: Annotated[int, Of(0, 2**53, "everything follows from it and the other parameters")] = 1
    enterprises: Annotated[int, Of(1, 9_999_999, "enterprises")] = 2_000
    months: Annotated[int, Of(1, 84, "months in the log", "months")] = 24
    until: date = date(2026, 1, 1)
    before_months: Annotated[
        int, Of(0, 36, "simulated before the log begins, so that it begins in mid-life", "months")
    ] = 18
    after_months: Annotated[int, Of(0, 36, "simulated past the log's end, for the truth alone", "months")] = 12
    backfill_months: Annotated[
        int, Of(0, 84, "the first months come as a backfill: nobody is alerted of them", "months")
    ] = 0
    banks: Annotated[int, Of(1, BANK_CODES, "banks that deliver")] = 24
    file_banks: Annotated[float, Of(0, 1, "share of the banks that deliver a file the next morning")] = 0.5

    # Business
    inside_trade: Annotated[float, Of(0, 1, "share of suppliers that are enterprises of the province")] = 0.45
    shared_outsiders: Annotated[float, Of(0, 1, "share of partners outside it that others know too")] = 0.3
    top_customer: Annotated[tuple[float, float], Of(0, 0.95, "share of sales of the largest customer, range")] = (
        0.12,
        0.45,
    )
    weekly_partner: Annotated[float, Of(0, 1, "chance that a partner is dealt with each week; rises with size")] = 0.12
    fortnightly_partner: Annotated[float, Of(0, 1, "chance of each fortnight")] = 0.28
    payment_noise: Annotated[float, Of(0, 2, "standard deviation of the logarithm of one payment")] = 0.38
    skipped_payment: Annotated[float, Of(0, 1, "chance that a customer skips a payment", "", ATRADIUS_2024)] = 0.10
    caught_up: Annotated[
        float, Of(0, 1, "chance that a skipped payment comes with the next one; 3% are never paid", "", ATRADIUS_2024)
    ] = 0.7
    delay_days: Annotated[float, Of(0, 60, "mean delay of a payment against its rhythm", "days")] = 4.0
    bad_month: Annotated[float, Of(0, 1, "chance that a sound enterprise's month is bad")] = 0.025
    bad_month_level: Annotated[tuple[float, float], Of(0, 1, "sales of a bad month against a usual one, range")] = (
        0.25,
        0.7,
    )
    shock_memory: Annotated[float, Of(0, 0.99, "autocorrelation of monthly shocks")] = 0.55
    growth: Annotated[tuple[float, float], Of(-0.9, 2, "growth of a year: mean and standard deviation")] = (0.03, 0.13)
    buffer_days: Annotated[
        float,
        Of(1, 365, "outflow days that the median enterprise wants its cash to cover; it holds less", "days", JPMC_2016),
    ] = 38.0
    buffer_spread: Annotated[float, Of(0, 2, "standard deviation of its logarithm", "", JPMC_2016)] = 1.0
    margin: Annotated[
        tuple[float, float], Of(-0.5, 0.8, "margin before debt service, of sales: mean and standard deviation")
    ] = (0.10, 0.08)
    quarterly_tax: Annotated[float, Of(0, 1, "share of micro enterprises that file each quarter")] = 0.7
    owner_helps: Annotated[
        float, Of(0, 1, "chance that a sound owner puts money in within the days in which it runs short")
    ] = 0.9
    daily_takings: Annotated[tuple[int, int], Of(0, 60, "settlements a day of one that sells to the public, range")] = (
        1,
        2,
    )

    # Sound enterprises that look ill
    lost_customer: Annotated[float, Of(0, 1, "chance a year of losing a customer and surviving it")] = 0.10
    bank_change: Annotated[float, Of(0, 1, "chance a year of moving to another bank")] = 0.04
    project_gap: Annotated[float, Of(0, 1, "chance a year of a gap between projects, of those that live on them")] = (
        0.25
    )
    dead_feed: Annotated[float, Of(0, 1, "chance a year that a bank stops reporting an account")] = 0.012

    # Lending and failure
    default_rate: Annotated[float, Of(0, 0.5, "borrowers that default, a year", "", f"{CBIRC_2022}; {MYBANK}")] = 0.035
    recoveries: Annotated[float, Of(0, 20, "enterprises that get into trouble and out again, for one that fails")] = 1.0
    risk_spread: Annotated[
        float, Of(0, 3, "how far the risk of failure differs: standard deviation of its logarithm")
    ] = 1.6
    risk_shown: Annotated[float, Of(0, 1, "how much of that margin, buffer, leverage and steadiness show")] = 0.9
    late_cure: Annotated[float, Of(0, 1, "share of recoveries that fall into arrears before")] = 0.22
    contagion: Annotated[
        float, Of(0, 1, "chance that a supplier falls with a customer, times its share of sales over 30%")
    ] = 0.35
    forgotten: Annotated[float, Of(0, 1, "chance that a due date is missed by a few days for no reason")] = 0.004
    late_in_trouble: Annotated[
        tuple[float, float],
        Of(0, 1, "chance that one in trouble pays a due date days late: at its onset and at its end"),
    ] = (0.04, 0.35)
    second_loan: Annotated[
        float, Of(0, 1, "chance that a borrower has a second loan, at another bank where it has one")
    ] = 0.3
    loan_spread: Annotated[float, Of(0, 2, "standard deviation of the logarithm of a loan's size", "", PBOC_2024)] = (
        0.55
    )
    interest: Annotated[tuple[float, float], Of(0, 0.36, "interest of a year, range", "", PBOC_2024)] = (0.032, 0.06)
    renewed: Annotated[float, Of(0, 1, "chance that a bullet loan is renewed without repayment")] = 0.35
    lent_again: Annotated[float, Of(0, 1, "chance that a loan is followed by another")] = 0.85
    guaranteed: Annotated[float, Of(0, 1, "share of loans that other enterprises guarantee")] = 0.3
    called: Annotated[float, Of(0, 1, "chance that a guarantor pays for a defaulted loan")] = 0.3
    no_consent: Annotated[float, Of(0, 1, "share of borrowers without consent to their lender")] = 0.06
    expired_consent: Annotated[float, Of(0, 1, "share whose consent runs out")] = 0.04
    revoked_consent: Annotated[float, Of(0, 1, "share who take it back")] = 0.02

    drift: Annotated[
        float,
        Of(
            0,
            1,
            "how far the world after the log's first 12 months differs: 1 doubles the rate of failures, swaps frequent "
            "scenarios for rare ones, lets failures show 30% less, and takes a fifth off all sales over half a year",
        ),
    ] = 0.0

    # What banks deliver
    outage: Annotated[float, Of(0, 50, "times a year that a bank's feed stands still")] = 0.2
    outage_days: Annotated[tuple[int, int], Of(1, 60, "for how long, range", "days")] = (1, 9)
    duplicate: Annotated[float, Of(0, 0.5, "transactions that are delivered twice")] = 0.002
    conflict: Annotated[float, Of(0, 0.5, "delivered again with another amount")] = 0.00004
    late: Annotated[float, Of(0, 0.5, "delivered one to five days late")] = 0.003
    stale: Annotated[float, Of(0, 0.5, "delivered twelve days late, past what is applied")] = 0.00004
    foreign: Annotated[float, Of(0, 0.5, "sent in a currency that does not exist")] = 0.00004
    returned: Annotated[float, Of(0, 0.5, "payments that come back for a wrong name or account")] = 0.0015
    reversed_: Annotated[float, Of(0, 0.5, "bookings that their bank takes back")] = 0.0007

    industries: tuple[Industry, ...] = INDUSTRIES
    sizes: tuple[Size, ...] = SIZES
    loan_kinds: tuple[LoanKind, ...] = LOAN_KINDS
    scenarios: tuple[Scenario, ...] = SCENARIOS

    def __post_init__(self) -> None:
        check(self)
        if not UNTIL_MIN <= self.until <= UNTIL_MAX or self.until.day != 1:
            raise ParameterError(f"until = {self.until}: not the first of a month from {UNTIL_MIN} to {UNTIL_MAX}")
        first, last = date_of(self.first_day), date_of(self.last_day)
        if first < UNTIL_MIN.replace(year=UNTIL_MIN.year - 1) or last > UNTIL_MAX:
            raise ParameterError(f"before_months, months, after_months: {first} to {last} leaves the known calendar")
        if self.drift and self.months <= DRIFT_AFTER_MONTHS:
            raise ParameterError(f"drift = {self.drift}: months = {self.months} have no second year")
        if self.backfill_months > self.months:
            raise ParameterError(f"backfill_months = {self.backfill_months}: more than months = {self.months}")
        for name in ("top_customer", "bad_month_level", "interest", "daily_takings", "outage_days"):
            low, high = getattr(self, name)
            if low > high:
                raise ParameterError(f"{name} = {[low, high]}: the first is above the second")
        for name in ("margin", "growth"):
            if getattr(self, name)[1] < 0:
                raise ParameterError(f"{name} = {list(getattr(self, name))}: the standard deviation is negative")
        for names in (
            ("duplicate", "conflict", "late", "stale", "foreign"),
            ("no_consent", "expired_consent", "revoked_consent"),
            ("weekly_partner", "fortnightly_partner"),
        ):
            if sum(getattr(self, name) for name in names) > 1:
                raise ParameterError(f"{' + '.join(names)}: more than 1")
        for name, weight in (("industries", "weight"), ("sizes", "weight"), ("loan_kinds", "weight"),
                             ("scenarios", "fails"), ("scenarios", "recovers")):  # fmt: skip
            if not sum(getattr(row, weight) for row in getattr(self, name)) > 0:
                raise ParameterError(f"{name}: no {weight} is above 0")
        for row in self.industries:
            if len(row.season) != MONTHS or not sum(row.season) > 0:
                raise ParameterError(f"industries.{row.name}.season: not {MONTHS} months with sales in one of them")
            if row.purchases + row.payroll > 1:
                raise ParameterError(f"industries.{row.name}: purchases + payroll is more than 1")

    @property
    def end_day(self) -> int:
        """Return the day number after the log's last day."""
        return day_of_date(self.until)

    @property
    def start_day(self) -> int:
        """Return the day number of the log's first day."""
        return self._month_day(-self.months)

    @property
    def first_day(self) -> int:
        """Return the first simulated day number."""
        return self._month_day(-self.months - self.before_months)

    @property
    def last_day(self) -> int:
        """Return the day number after the last simulated one."""
        return self._month_day(self.after_months)

    @property
    def live_day(self) -> int:
        """Return the first day number after the backfill."""
        return self._month_day(self.backfill_months - self.months)

    @property
    def drift_day(self) -> int:
        """Return the first day number of the world that has drifted."""
        return self._month_day(DRIFT_AFTER_MONTHS - self.months)

    @property
    def parameters(self) -> str:
        """Return a hash of all parameters but the seed: of equal hashes, only the random numbers differ."""
        text = repr(dataclasses.replace(self, seed=0)).replace(", drift=0.0", "")  # a world without it is one of before
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _month_day(self, months: int) -> int:
        return months_later(day_of_date(self.until), months)

    def bank(self, number: int) -> Bank:
        """Return the bank `number`, of 0 … banks - 1."""
        by_file = int((number + 1) * self.file_banks) > int(number * self.file_banks)
        return Bank(
            bank_id=f"Z{9_000_000_000_001 + number}",
            name_zh=f"示例银行{number + 1}",
            name_en=f"Sample Bank {number + 1}",
            mode="daily_file" if by_file else "live",
        )
