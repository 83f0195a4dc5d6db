"""Loans, master records, consents and court orders as events."""

from collections.abc import Iterator
from functools import cache

import msgspec
import numpy as np

from domain.calendar import DAY_MS, day_of, day_start_ms
from domain.events import (
    Authorization,
    FiveClass,
    Gov,
    GovEvent,
    GuaranteeType,
    Instalment,
    Loan,
    Profile,
    RepaymentMethod,
)
from replay.gateway import GATEWAY_ID, consent_hash
from replay.province import chance
from replay.province.calendar import text
from replay.province.firms import EXPIRED, MISSING, REVOKED
from replay.province.layout import (
    BULLET,
    CLASSIFIED,
    DEFAULT,
    DRAWN,
    GRANTED,
    INSTALMENT,
    LOAN_EVENTS,
    NOBODY,
    RENEWED,
    REVOLVING,
    WRITTEN_OFF,
    Firms,
)
from replay.province.lending import DEFAULT_DPD, SPECIAL_MENTION_DPD
from replay.province.parties import REGIONS, enterprise_id
from replay.province.population import Population
from replay.province.state import State

METHODS: dict[int, RepaymentMethod] = {BULLET: "interest_first", INSTALMENT: "instalment", REVOLVING: "interest_first"}
PRODUCTS = {BULLET: "LDZJ", INSTALMENT: "JYDK", REVOLVING: "XHED"}
CONSENT_MS, REGISTER_MS = 8 * 3_600_000, 6 * 3_600_000
CONSENT_DAYS, EXPIRED_DAYS, REVOKED_DAYS = 365 * 5, 120, (30, 240)
FREEZE_CHANCE, ENFORCEMENT_CHANCE, COURT_DAYS = 0.3, 0.25, (15, 120)
PENALTY_A_YEAR = 0.012
FIRST = frozenset({GRANTED, RENEWED})


class FactWriter:
    """Converts a simulation's facts to events."""

    def __init__(self, population: Population, state: State) -> None:
        self._population, self._state = population, state
        self._ids = [enterprise_id(number, region) for number, region in enumerate(state.firms["region"].tolist())]
        self._banks = [population.bank(number).bank_id for number in range(population.banks)]
        self._consents: set[tuple[int, int]] = set()

    def bank_of(self, fact: np.void) -> int:
        """Return the number of the lender."""
        return int(self._state.accounts["bank"][self._state.loans["account"][fact["loan"]]])

    def loan(self, fact: np.void) -> Loan:
        """Return the event of a fact."""
        k, event = int(fact["loan"]), int(fact["event"])
        row = self._state.loans[k]
        number, kind = int(row["firm"]), int(row["kind"])
        time_ms, dpd = int(fact["time_ms"]), int(fact["dpd"])
        day, first = day_of(time_ms), event in FIRST
        lines = int(row["term"])
        guarantors = [self._ids[each] for each in row["guarantor"].tolist() if each != NOBODY]
        return Loan(
            event_id=f"{loan_id(row)}-{LOAN_EVENTS[event]}-{day}-{int(fact['serial'])}",
            bank_id=self._banks[self.bank_of(fact)],
            enterprise_id=self._ids[number],
            event_time=time_ms,
            loan_id=loan_id(row),
            event=LOAN_EVENTS[event],
            principal_minor=int(row["principal"]),
            outstanding_minor=int(fact["outstanding"]),
            limit_minor=int(row["limit"]) if kind == REVOLVING else None,
            revolving=kind == REVOLVING,
            repayment_method=METHODS[kind],
            granted_on=text(int(row["granted"])),
            due_on=text(int(row["due_day"][lines - 1] if first else fact["due_day"])),
            due_minor=None if first or event == DRAWN else int(fact["due"]),
            dpd=dpd,
            five_class=_class(event, dpd),
            classified_on=text(day) if event == CLASSIFIED else None,
            renews_loan_id=loan_id(self._state.loans[row["renews"]]) if event == RENEWED else None,
            schedule=_schedule(row) if first else (),
            declared_use="采购原材料" if first else None,
            guarantee_type=_guarantee(number, guarantors),
            guarantors=tuple(guarantors) if first else (),
            customer_no=f"C{number:07d}",
            contract_no=f"HT{loan_id(row)[2:]}",
            product_code=PRODUCTS[kind],
            branch_code=f"BR{number % 7:02d}",
            manager_no=f"M{number % 23:03d}",
            customer_name=f"示例企业{number:07d}" if first else None,
            first_loan=event == GRANTED and int(row["number"]) == 0,
            reason="本金或利息逾期超过90天" if event == DEFAULT else None,
        )

    def consents(self, fact: np.void, day: int) -> Iterator[Authorization]:
        """Yield the consents of the enterprise to a new lender, for 贷后管理: valid, expiring or revoked."""
        row = self._state.loans[fact["loan"]]
        number, bank = int(row["firm"]), self.bank_of(fact)
        consent = int(self._state.firms["consent"][number])
        if consent == MISSING or (number, bank) in self._consents:
            return
        self._consents.add((number, bank))
        at_ms = day_start_ms(day) + CONSENT_MS
        authorization_id = f"AU{number:07d}{bank:04d}"
        granted = Authorization(
            event_id=authorization_id,
            bank_id=GATEWAY_ID,
            enterprise_id=self._ids[number],
            event_time=at_ms,
            to_bank_id=self._banks[bank],
            purpose="贷后管理",
            valid_from=at_ms,
            valid_to=at_ms + (EXPIRED_DAYS if consent == EXPIRED else CONSENT_DAYS) * DAY_MS,
            authorization_id=authorization_id,
            consent_hash=consent_hash(authorization_id),
            confirmed_by_enterprise_at=at_ms - 3_600_000,
        )
        yield granted
        if consent == REVOKED:
            days = int(chance.between(chance.key(self._population.seed, "revoked"), [number], *REVOKED_DAYS)[0])
            revoked_ms = at_ms + days * DAY_MS
            yield msgspec.structs.replace(
                granted, event_id=f"{authorization_id}-R", event_time=revoked_ms, revoked=True
            )

    def court(self, fact: np.void) -> Iterator[Gov]:
        """Yield the court records after a default."""
        number, day = int(self._state.loans["firm"][fact["loan"]]), day_of(int(fact["time_ms"]))
        u = chance.uniform(chance.key(self._population.seed, "court"), np.arange(4) + 4 * number).tolist()
        if u[0] < FREEZE_CHANCE:
            yield self._gov(
                number, day + int(COURT_DAYS[0] + (COURT_DAYS[1] - COURT_DAYS[0]) * u[1]), "judicial_freeze"
            )
        if u[2] < ENFORCEMENT_CHANCE:
            yield self._gov(number, day + int(COURT_DAYS[0] + (COURT_DAYS[1] - COURT_DAYS[0]) * u[3]), "enforcement")

    def penalties(self) -> Iterator[Gov]:
        """Yield small fines, of sound enterprises too."""
        first, last = self._population.start_day, self._population.end_day
        places = np.arange(len(self._ids))
        key = chance.key(self._population.seed, "penalty")
        happens = chance.uniform(key, 2 * places) < PENALTY_A_YEAR * (last - first) / 365.25
        days = first + (chance.uniform(key, 2 * places + 1) * (last - first)).astype(np.int64)
        for number in np.flatnonzero(happens).tolist():
            yield self._gov(number, int(days[number]), "penalty")

    def _gov(self, number: int, day: int, event: GovEvent) -> Gov:
        return Gov(
            event_id=f"GV{number:07d}-{event}-{day}",
            bank_id=GATEWAY_ID,
            enterprise_id=self._ids[number],
            event_time=day_start_ms(day) + CONSENT_MS + 3_600_000,
            event=event,
            source="court" if event != "penalty" else "market-supervision",
            adverse=True,
        )

    def profiles(self, at_ms: int) -> Iterator[Profile]:
        """Yield the master records."""
        firms: Firms = self._state.firms
        sections = [row.name for row in self._population.industries]
        sizes = [row.name for row in self._population.sizes]
        u = chance.uniform(chance.key(self._population.seed, "declared"), np.arange(len(firms))).tolist()
        for number, one in enumerate(firms):
            base = int(one["base"])
            yield Profile(
                event_id=f"PR{number:07d}",
                bank_id=GATEWAY_ID,
                enterprise_id=self._ids[number],
                event_time=at_ms,
                industry=sections[one["industry"]],
                region=REGIONS[one["region"]],
                size_class=sizes[one["size"]],
                registered_capital_minor=base * 3 // 10_000_000 * 10_000_000,
                paid_in_capital_minor=base // 10_000_000 * 10_000_000,
                opened_on=text(self._population.first_day - 400 - int(u[number] * 4_000)),
                declared_annual_sales_minor=int(base * 12 * (0.85 + 0.4 * u[number])),
                related_party_ids=tuple(self._ids[each] for each in one["related"].tolist() if each != NOBODY),
                name_masked=f"示例***{number:07d}"[:12],
            )


def loan_id(row: np.void) -> str:
    """Return the id of a loan: its borrower's number, then its own."""
    return f"LN{int(row['firm']):07d}{int(row['number']):02d}"


def _schedule(row: np.void) -> tuple[Instalment, ...]:
    """Return the instalments of a loan, interest included."""
    left, found = int(row["principal"]), list[Instalment]()
    for day, principal in zip(row["due_day"].tolist(), row["due_principal"].tolist(), strict=True):
        if len(found) == int(row["term"]):
            break
        interest = max(int(left * float(row["rate"]) / 12), 100)
        found.append(Instalment(due_on=text(day), due_minor=principal + interest))
        left -= principal
    return tuple(found)


def _class(event: int, dpd: int) -> FiveClass | None:
    if event in (DEFAULT, WRITTEN_OFF):
        return "损失" if event == WRITTEN_OFF else "次级"
    if event == CLASSIFIED:
        return "次级" if dpd >= DEFAULT_DPD else "关注" if dpd >= SPECIAL_MENTION_DPD else "正常"
    return "正常" if event in FIRST else None


@cache
def _of_collateral(number: int) -> GuaranteeType:
    return "抵押" if number % 5 < 2 else "信用"


def _guarantee(number: int, guarantors: list[str]) -> GuaranteeType:
    return "保证" if guarantors else _of_collateral(number % 5)
