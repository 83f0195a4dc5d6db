"""The population of the simulated economy: banks, and enterprises with their payers, payees, means and fate."""

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

from config.settings import Bank
from domain.calendar import day_of_date
from domain.events import CounterpartyKind
from replay.draw import MILLION, Draw

GATEWAY_ID = "Z9000000000000"  # the gateway's own code: no bank's
YUAN = 100  # minor units

Scenario = Literal["healthy", "growth", "seasonal", "gradual", "sudden", "payer_lost", "recovery"]
Rhythm = Literal["weekly", "fortnightly", "monthly"]
Consent = Literal["valid", "missing", "expired", "revoked"]
Activity = Literal["quiet", "steady", "busy"]

# Weights of the fates that an enterprise may draw.
SCENARIOS: tuple[tuple[Scenario, int], ...] = (
    ("healthy", 48), ("growth", 8), ("seasonal", 10), ("gradual", 10), ("sudden", 9), ("payer_lost", 7),
    ("recovery", 8),
)  # fmt: skip
# Inflow in thousandths of the usual, by days since the onset; straight lines between.
COURSES: dict[Scenario, tuple[tuple[int, int], ...]] = {
    "growth": ((0, 1000), (360, 1700)),
    "gradual": ((0, 1000), (75, 150)),
    "sudden": ((0, 1000), (3, 120)),
    "recovery": ((0, 1000), (12, 180), (75, 180), (110, 950)),
}
SEASONAL_PERMILLE = 550  # of the usual inflow, in an industry's two slack months
CONSENTS: tuple[tuple[Consent, int], ...] = (("valid", 78), ("missing", 12), ("expired", 6), ("revoked", 4))
# Size class, its weight, and the range of a usual month's sales in yuan.
SIZES: tuple[tuple[tuple[Literal["micro", "small", "medium"], int, int], int], ...] = (
    (("micro", 80_000, 300_000), 45),
    (("small", 300_000, 2_000_000), 42),
    (("medium", 2_000_000, 9_000_000), 13),
)
INDUSTRIES = "CCCCFFFFEGHIL"  # GB/T 4754 sections, as often as they occur
REGIONS = ("450100", "450200", "450300", "450500", "450900")
VISITS_A_MONTH_MILLI: dict[Rhythm, int] = {"weekly": 4_345, "fortnightly": 2_173, "monthly": 1_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Trading habits of enterprises of one activity: ranges, both ends included, and the rhythm of its parties."""

    payers: tuple[int, int]
    payees: tuple[int, int]
    first_rhythm: Rhythm  # of the largest payer, and of the largest payee
    weekly_ppm: int  # of the others
    else_rhythms: tuple[Rhythm, ...] = ("fortnightly", "monthly")
    spread_permille: int = 1_000  # of the usual spread of amounts: few payments even each other out less
    takings_a_day: tuple[int, int] = (1, 1)  # by a payment platform, where it sells to the public
    retail_ppm: tuple[int, int] | None = None  # of sales; None: as its industry has it


# Some 0.7, 2.5 and 38 transactions a day. Few payers would be a warning by themselves, and so would be one who pays
# most: the quiet have enough of them, and most of these come once a month.
HABITS: dict[Activity, Habits] = {
    "quiet": Habits(
        payers=(7, 8), payees=(2, 3), first_rhythm="fortnightly", weekly_ppm=0,
        else_rhythms=("fortnightly", "monthly", "monthly", "monthly"), spread_permille=350, retail_ppm=(0, 0),
    ),
    "steady": Habits(payers=(5, 11), payees=(4, 8), first_rhythm="weekly", weekly_ppm=550_000),
    "busy": Habits(
        payers=(8, 14), payees=(8, 14), first_rhythm="weekly", weekly_ppm=800_000,
        takings_a_day=(15, 40), retail_ppm=(350_000, 650_000),
    ),
}  # fmt: skip
ALL_STEADY: tuple[tuple[Activity, int], ...] = (("steady", 1),)
# Weights, in thousandths: most of a province's enterprises have less than a transaction a day.
OF_A_PROVINCE: tuple[tuple[Activity, int], ...] = (("quiet", 968), ("steady", 30), ("busy", 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The parameters of a simulation; equal values give equal bytes. Days are day numbers, `end_day` exclusive.

    Rates are parts per million of transactions: `duplicate` and `late` (under 7 days) are sent so; `returned` and
    `reversed` are undone later; `conflict` sends the id again with another amount, `stale` comes 12 days late,
    `foreign` is in a currency that does not exist. `file_bank_ppm` of the banks deliver each day as a file the next
    morning. A distress begins within `onset_permille` of the days. `activities` are weights.
    """

    seed: int = 20_250_701
    bank_count: int = 3
    enterprise_count: int = 200
    month_count: int = 15
    end_day: int = day_of_date(date(2025, 7, 1))
    borrower_ppm: int = 700_000
    duplicate_ppm: int = 2_000
    late_ppm: int = 3_000
    returned_ppm: int = 1_500
    reversed_ppm: int = 700
    conflict_ppm: int = 40
    stale_ppm: int = 40
    foreign_ppm: int = 40
    file_bank_ppm: int = 0
    onset_permille: tuple[int, int] = (350, 700)
    activities: tuple[tuple[Activity, int], ...] = ALL_STEADY

    def __post_init__(self) -> None:
        bounds = {"bank_count": 9_999, "enterprise_count": 9_999_999, "month_count": 120}
        for name, most in bounds.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} = {getattr(self, name)}: not 1 to {most}")
        for name in self.__slots__:
            if name.endswith("_ppm") and not 0 <= getattr(self, name) <= MILLION:
                raise ValueError(f"{name} = {getattr(self, name)}: not 0 to {MILLION}")

    @property
    def start_day(self) -> int:
        """The first day: of the month that lies `month_count` months before the end."""
        end = date(1970, 1, 1).toordinal() + self.end_day
        last = date.fromordinal(end)
        months = last.year * 12 + last.month - 1 - self.month_count
        return day_of_date(date(months // 12, months % 12 + 1, 1))

    def bank(self, number: int) -> Bank:
        """Bank `number` of 0 … bank_count - 1."""
        by_file = (number + 1) * self.file_bank_ppm // MILLION > number * self.file_bank_ppm // MILLION
        return Bank(
            bank_id=f"Z{9_000_000_000_001 + number}",
            name_zh=f"示例银行{number + 1}",
            name_en=f"Sample Bank {number + 1}",
            mode="daily_file" if by_file else "live",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A counterparty: who, how often, and with what share of the enterprise's sales or purchases.

    `turn` is the weekday (weekly, fortnightly) or the day of the month on which it falls.
    """

    token: str
    kind: CounterpartyKind
    rhythm: Rhythm
    turn: int
    share_ppm: int
    odd_weeks: bool = False

    @property
    def visit_ppm(self) -> int:
        """Return the share of one visit in a month's total."""
        return self.share_ppm * 1000 // VISITS_A_MONTH_MILLI[self.rhythm]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enterprise:
    """An enterprise from the first day on; what happens to it follows from this and its draws."""

    number: int
    enterprise_id: str
    bank_id: str
    name: str
    industry: str
    region: str
    size_class: Literal["micro", "small", "medium"]
    sales_month_minor: int
    retail_ppm: int  # of sales that come as small daily takings
    takings_a_day: int
    spread_permille: int
    payers: tuple[Party, ...]
    payees: tuple[Party, ...]
    payroll_day: int
    rent_day: int
    cost_ppm: int  # purchases, of sales
    payroll_ppm: int
    opening_balance_minor: int
    scenario: Scenario
    onset_day: int
    slack_months: tuple[int, int]
    borrows: bool
    consent: Consent

    @property
    def account(self) -> str:
        return f"{self.bank_id[-4:]}-{self.number:07d}-01"


def enterprise(population: Population, number: int) -> Enterprise:
    """Enterprise `number` of 0 … enterprise_count - 1, with one bank of its own."""
    draw = Draw(population.seed, "enterprise", number)
    size_class, sales_low, sales_high = draw.weighted(SIZES)
    sales = draw.between(sales_low, sales_high) * YUAN
    industry, region = draw.pick(INDUSTRIES), draw.pick(REGIONS)
    scenario = draw.weighted(SCENARIOS)
    span = population.end_day - population.start_day
    retail_ppm = draw.between(200_000, 450_000) if industry in "FHL" and draw.chance(600_000) else 0
    # Drawn apart: a population in which all are steady is the same whether others can be or not.
    apart = Draw(population.seed, "activity", number)
    habits = HABITS[apart.weighted(population.activities)]
    if habits.retail_ppm is not None:
        retail_ppm = apart.between(*habits.retail_ppm)
    slack = 5 + INDUSTRIES.index(industry) % 4  # the industry's own season
    return Enterprise(
        number=number,
        # Shaped like a unified social credit code; the letter I, which that alphabet lacks, tells them apart.
        enterprise_id=f"91{region}SIM{number:07d}",
        bank_id=population.bank(number % population.bank_count).bank_id,
        name=f"示例企业{number:07d}",
        industry=industry,
        region=region,
        size_class=size_class,
        sales_month_minor=sales,
        retail_ppm=retail_ppm,
        takings_a_day=apart.between(*habits.takings_a_day),
        spread_permille=habits.spread_permille,
        payers=_parties(draw, "P", number, habits, draw.between(*habits.payers), draw.between(380_000, 520_000)
                        if scenario == "payer_lost" else draw.between(120_000, 300_000)),
        payees=_parties(draw, "S", number, habits, draw.between(*habits.payees), draw.between(150_000, 350_000)),
        payroll_day=draw.pick((5, 8, 10, 15)),
        rent_day=draw.between(1, 25),
        cost_ppm=draw.between(570_000, 650_000),
        payroll_ppm=draw.between(80_000, 130_000),
        opening_balance_minor=sales * draw.between(30, 80) // 100,
        scenario=scenario,
        onset_day=population.start_day + draw.between(*(span * each // 1000 for each in population.onset_permille)),
        slack_months=(slack, slack + 1),
        borrows=draw.chance(population.borrower_ppm),
        consent=draw.weighted(CONSENTS),
    )  # fmt: skip


def inflow_permille(one: Enterprise, day: int, month: int) -> int:
    """Return the inflow on `day` of calendar month `month`, in thousandths of the usual."""
    if one.scenario == "seasonal":
        return SEASONAL_PERMILLE if month in one.slack_months else 1000
    course = COURSES.get(one.scenario)
    if course is None or day < one.onset_day:
        return 1000
    since = day - one.onset_day
    before = course[0]
    for knot in course[1:]:
        if since < knot[0]:
            return before[1] + (knot[1] - before[1]) * (since - before[0]) // (knot[0] - before[0])
        before = knot
    return before[1]


def consent_hash(authorization_id: str) -> str:
    """Stands for the hash of a consent document: 64 hex digits."""
    return hashlib.sha256(authorization_id.encode()).hexdigest()


def _parties(draw: Draw, letter: str, number: int, habits: Habits, count: int, first_ppm: int) -> tuple[Party, ...]:
    """`count` counterparties: the first with `first_ppm` of the total, the others share the rest unevenly."""
    weights = [draw.between(50, 150) for _ in range(count - 1)]
    shares = [first_ppm, *((MILLION - first_ppm) * weight // sum(weights) for weight in weights)]
    parties = []
    for index, share in enumerate(shares):
        # Large ones pay often, so that a month of a healthy enterprise looks like the last.
        rhythm: Rhythm = habits.first_rhythm
        if index:
            rhythm = "weekly" if draw.chance(habits.weekly_ppm) else draw.pick(habits.else_rhythms)
        parties.append(
            Party(
                # One in three is known to others of the region too.
                token=f"{letter}{draw.below(300):04d}" if draw.chance(330_000) else f"{letter}{number:07d}-{index}",
                kind="corporate" if letter == "S" or not draw.chance(60_000) else "government",
                rhythm=rhythm,
                turn=draw.between(1, 28) if rhythm == "monthly" else draw.below(5),
                share_ppm=share,
                odd_weeks=draw.chance(500_000),
            )
        )
    return tuple(parties)
