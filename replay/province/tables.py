"""The tables of a province: industries, sizes, kinds of loan, scenarios. Their fields are parameters too."""

from dataclasses import dataclass
from typing import Annotated

from replay.province.parameters import Of, ParameterError, check
from replay.province.sources import NBS_CENSUS, NBS_SIZES, NORDEN_WEBER, PBOC_2024

MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Industry:
    """A section of GB/T 4754 and the business of its enterprises."""

    name: str
    weight: Annotated[float, Of(0, 1000, "how many are in it, relative to the others", "", NBS_CENSUS)]
    season: Annotated[tuple[float, ...], Of(0, 5, "sales of each calendar month against the mean month")]
    festival: Annotated[float, Of(0, 3, "sales at the lunar New Year against a usual day")]
    purchases: Annotated[float, Of(0, 1, "purchases, of sales")]
    payroll: Annotated[float, Of(0, 1, "wages, of sales")]
    public: Annotated[float, Of(0, 1, "share of its enterprises that sell to the public through payment platforms")]
    projects: Annotated[float, Of(0, 1, "share of its enterprises that live on few, large milestones")]
    seasonal_stop: Annotated[float, Of(0, 1, "share of its enterprises that stop for months each year")]
    exports: Annotated[float, Of(0, 1, "share of its enterprises with customers abroad")]
    from_persons: Annotated[float, Of(0, 1, "share of its enterprises that buy from persons, such as farmers")]

    def __post_init__(self) -> None:
        check(self)


def _industry(name: str, weight: float, season: str, *shares: float) -> Industry:
    festival, purchases, payroll, public, projects, stop, exports, persons = shares
    months = tuple(float(each) for each in season.split())
    return Industry(
        name=name, weight=weight, season=months, festival=festival, purchases=purchases, payroll=payroll, public=public,
        projects=projects, seasonal_stop=stop, exports=exports, from_persons=persons,
    )  # fmt: skip


# Weights follow the sources of the fields; months January to December, without the festival.
INDUSTRIES = (
    _industry("A", 4, "0.70 0.65 0.85 0.95 1.00 1.05 1.05 1.05 1.20 1.25 1.15 1.10",
              0.40, 0.58, 0.12, 0.10, 0.00, 0.25, 0.03, 0.50),
    _industry("C", 24, "0.98 0.85 1.02 1.00 1.00 1.03 0.97 0.98 1.04 1.03 1.04 1.06",
              0.10, 0.62, 0.13, 0.02, 0.05, 0.06, 0.20, 0.06),
    _industry("E", 9, "1.25 0.70 0.75 0.90 1.00 1.05 0.95 0.95 1.00 1.00 1.05 1.40",
              0.05, 0.60, 0.16, 0.00, 0.60, 0.02, 0.00, 0.10),
    _industry("F", 31, "1.10 0.90 0.95 0.95 1.00 1.00 0.95 0.97 1.03 1.03 1.07 1.05",
              0.45, 0.76, 0.06, 0.35, 0.03, 0.04, 0.08, 0.10),
    _industry("G", 5, "1.00 0.80 1.00 1.00 1.00 1.00 1.00 1.00 1.05 1.05 1.05 1.05",
              0.20, 0.55, 0.16, 0.05, 0.00, 0.02, 0.03, 0.05),
    _industry("H", 5, "1.10 1.15 0.90 0.95 1.05 0.95 1.05 1.05 0.95 1.05 0.90 0.90",
              0.90, 0.45, 0.24, 0.85, 0.00, 0.12, 0.00, 0.20),
    _industry("I", 7, "0.85 0.75 0.95 0.95 0.95 1.05 0.95 0.95 1.05 1.00 1.10 1.45",
              0.10, 0.38, 0.32, 0.02, 0.35, 0.00, 0.05, 0.02),
    _industry("L", 9, "0.95 0.85 1.00 1.00 1.00 1.00 1.00 1.00 1.03 1.03 1.05 1.09",
              0.15, 0.48, 0.24, 0.05, 0.15, 0.02, 0.01, 0.06),
    _industry("M", 6, "0.85 0.75 0.95 0.95 0.95 1.05 0.95 0.95 1.05 1.00 1.10 1.45",
              0.10, 0.42, 0.28, 0.00, 0.40, 0.00, 0.02, 0.02),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A size class: sales, trade partners, banks and borrowing of its enterprises."""

    name: str
    weight: Annotated[
        float, Of(0, 1000, "how many are of it, relative to the others; borrowers are larger than others")
    ]
    sales_yuan: Annotated[tuple[float, float], Of(1_000, 1e9, "sales of a usual month, range", "yuan", NBS_SIZES)]
    customers: Annotated[tuple[int, int], Of(1, 60, "regular customers, range")]
    suppliers: Annotated[tuple[int, int], Of(1, 60, "regular suppliers, range")]
    more_banks: Annotated[float, Of(0, 1, "chance of a further bank, asked up to three times")]
    borrows: Annotated[float, Of(0, 1, "share that borrows")]
    loan_months: Annotated[float, Of(0.05, 24, "a loan, of a month's sales: median", "months", PBOC_2024)]
    monthly_noise: Annotated[float, Of(0, 1.5, "standard deviation of the logarithm of a month's sales")]

    def __post_init__(self) -> None:
        check(self)
        for name in ("sales_yuan", "customers", "suppliers"):
            low, high = getattr(self, name)
            if low > high:
                raise ParameterError(f"{name} = {[low, high]}: the first is above the second")


SIZES = (
    Size(name="micro", weight=62, sales_yuan=(40_000.0, 250_000.0), customers=(4, 10), suppliers=(2, 5),
         more_banks=0.22, borrows=0.52, loan_months=1.8, monthly_noise=0.22),
    Size(name="small", weight=31, sales_yuan=(250_000.0, 1_700_000.0), customers=(6, 15), suppliers=(4, 8),
         more_banks=0.42, borrows=0.72, loan_months=1.6, monthly_noise=0.17),
    Size(name="medium", weight=7, sales_yuan=(1_700_000.0, 12_000_000.0), customers=(10, 24), suppliers=(7, 16),
         more_banks=0.60, borrows=0.85, loan_months=1.4, monthly_noise=0.13),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanKind:
    """A kind of repayment."""

    name: str
    weight: Annotated[float, Of(0, 1000, "how many loans are of it, relative to the others")]
    terms: Annotated[tuple[int, int, int], Of(1, 36, "terms, equally likely", "months")]
    scale: Annotated[float, Of(0.05, 5, "its size, of a usual loan of the borrower")]

    def __post_init__(self) -> None:
        check(self)


LOAN_KINDS = (
    LoanKind(name="bullet", weight=50, terms=(6, 12, 12), scale=1.0),  # interest monthly, principal at the end
    LoanKind(name="instalment", weight=33, terms=(12, 24, 36), scale=0.9),  # equal parts of the principal
    LoanKind(name="revolving", weight=17, terms=(12, 24, 36), scale=0.8),  # drawn and repaid at will within a limit
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A course of trouble. Weights are relative; the rates of failures and recoveries stand in the Population."""

    name: str
    fails: Annotated[float, Of(0, 1000, "weight among enterprises that fail")]
    recovers: Annotated[float, Of(0, 1000, "weight among enterprises that get over it")]
    months: Annotated[
        tuple[float, float, float],
        Of(0, 60, "from onset to failure or turn: low, median, high", "months", NORDEN_WEBER),
    ]
    depth: Annotated[tuple[float, float], Of(0, 1, "share of sales lost at the end, range")]
    squeeze: Annotated[tuple[float, float], Of(0, 2, "what purchases cost more than sales bear, range")]
    strain: Annotated[
        tuple[float, float], Of(0, 5, "what drains the cash beside it, of a month's sales a month, range")
    ]

    def __post_init__(self) -> None:
        check(self)
        if not list(self.months) == sorted(self.months):
            raise ParameterError(f"months = {list(self.months)}: not rising")
        for name in ("depth", "squeeze", "strain"):
            if getattr(self, name)[0] > getattr(self, name)[1]:
                raise ParameterError(f"{name} = {list(getattr(self, name))}: the first is above the second")


# In the order of their codes (layout.py); the first is no trouble, the last three only look like it.
def _scenario(name: str, fails: float, recovers: float, *ranges: tuple[float, ...]) -> Scenario:
    months, depth, squeeze, strain = ranges
    return Scenario(
        name=name, fails=fails, recovers=recovers, months=(months[0], months[1], months[2]), depth=(depth[0], depth[1]),
        squeeze=(squeeze[0], squeeze[1]), strain=(strain[0], strain[1]),
    )  # fmt: skip


SCENARIOS = (
    _scenario("sound", 0, 0, (0.0, 0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    _scenario("customer_loss", 18, 24, (4.0, 12.0, 24.0), (0.40, 0.85), (0.10, 0.35), (0.0, 0.02)),
    _scenario("slow_decay", 24, 28, (6.0, 15.0, 30.0), (0.40, 0.90), (0.10, 0.35), (0.0, 0.03)),
    _scenario("sudden_stop", 7, 6, (0.5, 2.0, 5.0), (0.70, 1.0), (0.0, 0.0), (0.0, 0.0)),
    _scenario("siphoning", 11, 5, (3.0, 11.0, 22.0), (0.0, 0.35), (0.05, 0.25), (0.15, 0.45)),
    _scenario("debt_spiral", 15, 12, (5.0, 12.0, 24.0), (0.10, 0.50), (0.10, 0.30), (0.03, 0.14)),
    _scenario("over_expansion", 10, 12, (6.0, 13.0, 24.0), (0.25, 0.65), (0.15, 0.40), (0.03, 0.14)),
    _scenario("window_dressing", 8, 4, (5.0, 12.0, 24.0), (0.35, 0.80), (0.10, 0.35), (0.0, 0.03)),
    _scenario("fraud", 7, 0, (0.0, 0.5, 2.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    _scenario("seasonal_stop", 0, 0, (2.0, 3.0, 4.0), (0.85, 1.0), (0.0, 0.0), (0.0, 0.0)),
    _scenario("project_gap", 0, 0, (2.0, 3.0, 5.0), (0.60, 0.95), (0.0, 0.0), (0.0, 0.0)),
    _scenario("dead_feed", 0, 0, (0.6, 1.2, 3.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
)
