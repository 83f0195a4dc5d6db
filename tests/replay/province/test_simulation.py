"""Laws of a simulated province: its money adds up, and its loans are served or overdue by their schedules."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from replay.province.layout import (
    BOOKED,
    CLASSIFIED,
    CLOSE,
    CLOSED,
    COMPENSATED,
    DEFAULT,
    DEFAULTED,
    DRAWN,
    FROM_COMPANY,
    FROM_PERSON,
    GONE,
    GRANTED,
    INSTALMENT_DUE,
    IS_CREDIT,
    NOBODY,
    OVERDUE,
    PLANNED,
    PRIVATE_LENDER,
    RENEWED,
    REPAID,
    REVOLVING,
)
from replay.province.lending import CALLED_DAYS, DEFAULT_DPD, REPORTED_DPD
from replay.province.population import Population
from replay.province.posting import EVENING_MONEY_MS
from replay.province.simulation import Simulation
from replay.province.tables import LOAN_KINDS

POPULATIONS = st.builds(
    Population,
    seed=st.integers(0, 2**40),
    enterprises=st.integers(1, 40),
    months=st.integers(1, 8),
    before_months=st.integers(0, 14),
    after_months=st.integers(0, 3),
    banks=st.integers(1, 6),
    inside_trade=st.floats(0, 1),
    default_rate=st.floats(0, 0.5),
    recoveries=st.floats(0, 4),
    bank_change=st.floats(0, 1),
    returned=st.sampled_from((0.0, 0.02)),
    owner_helps=st.floats(0, 1),
)
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def day_of(time_ms: np.ndarray) -> np.ndarray:
    return (time_ms + ZONE_OFFSET_MS) // DAY_MS


@FEW
@given(population=POPULATIONS)
def test_balances_add_up_and_never_fall_below_zero(population: Population) -> None:
    simulation = Simulation(population)
    accounts = simulation.state.accounts
    balance = accounts["balance"].copy()
    seq, time_ms = np.zeros((2, len(accounts)), np.int64)
    parties = simulation.parties.total
    for today in simulation.days():
        if not population.start_day <= today.day < population.end_day:
            assert len(today.moves) == 0
            balance = accounts["balance"].copy() if today.day < population.start_day else balance
            continue
        assert ((today.moves["party"] == NOBODY) | (today.moves["party"] < parties)).all()
        assert (today.moves["party"] >= NOBODY).all()
        for move in today.moves:
            account = move["account"]
            adds = IS_CREDIT[move["kind"]] == (move["status"] == BOOKED)
            balance[account] += move["amount"] if adds else -move["amount"]
            seq[account] += 1
            assert move["amount"] > 0
            assert move["balance"] == balance[account] >= 0
            assert move["seq"] == seq[account]
            assert time_ms[account] <= move["time_ms"]
            assert accounts["opened"][account] <= today.day == day_of(move["time_ms"])
            time_ms[account] = move["time_ms"]
        assert (accounts["pending"] == 0).all()
        assert (accounts["balance"] == balance).all(), "the accounts hold what their postings say"


@FEW
@given(population=POPULATIONS)
def test_a_payment_between_enterprises_is_received(population: Population) -> None:
    simulation = Simulation(population)
    firm = simulation.state.accounts["firm"]
    for today in simulation.days():
        party = today.moves["party"]
        inside = (party != NOBODY) & (party < population.enterprises) & (party != firm[today.moves["account"]])
        between = today.moves[inside]
        open_sides: Counter[tuple[int, int, int]] = Counter()
        for move in between:
            one, other, amount = int(firm[move["account"]]), int(move["party"]), int(move["amount"])
            assert move["status"] == BOOKED
            if IS_CREDIT[move["kind"]]:
                open_sides[other, one, amount] -= 1
            else:
                open_sides[one, other, amount] += 1
        assert not any(open_sides.values()), "each payment stands in both books"


@FEW
@given(population=POPULATIONS)
def test_loans_amortise_and_are_overdue_as_their_schedules_say(population: Population) -> None:
    simulation = Simulation(population)
    facts = defaultdict(list)
    for today in simulation.days():
        for fact in today.facts:
            facts[int(fact["loan"])].append(fact.copy())
            assert day_of(fact["time_ms"]) == today.day
    loans = simulation.state.loans
    for k, life in facts.items():
        loan = loans[k]
        lines = loan["due_day"][: loan["term"]].tolist()
        assert life[0]["event"] in (GRANTED, RENEWED)
        assert lines == sorted(lines)
        assert loan["granted"] < lines[0]
        assert loan["due_principal"][: loan["term"]].sum() == loan["principal"]
        paid, owed, defaulted = 0, 0 if loan["kind"] == REVOLVING else int(loan["principal"]), False
        for fact in life:
            event, day, left = int(fact["event"]), int(day_of(fact["time_ms"])), int(fact["outstanding"])
            assert 0 <= left <= max(int(loan["principal"]), int(loan["limit"]))
            if event == DRAWN:
                assert loan["kind"] == REVOLVING
                assert left > owed
            elif event == REPAID:
                assert left <= owed
                if loan["kind"] != REVOLVING:
                    assert left == owed - loan["due_principal"][paid]
                    paid += 1
            elif event == INSTALMENT_DUE:
                assert day in lines
            elif event == OVERDUE:
                assert fact["dpd"] in REPORTED_DPD
                assert day - fact["dpd"] in lines
                if loan["kind"] != REVOLVING:
                    assert day - fact["dpd"] == lines[paid], "past due since the first line that is not paid"
            elif event == DEFAULT:
                assert fact["dpd"] == DEFAULT_DPD
                defaulted = True
            elif event == CLOSE:
                assert left == 0
            if event not in (CLASSIFIED, INSTALMENT_DUE):
                owed = left
        assert (loan["state"] in (DEFAULTED, GONE, CLOSED)) or not defaulted
        assert loan["state"] != PLANNED


def test_a_guarantor_pays_on_the_first_business_day_after_the_term() -> None:
    population = Population(
        seed=6,
        enterprises=600,
        months=18,
        before_months=6,
        after_months=0,
        default_rate=0.4,
        guaranteed=1.0,
        called=1.0,
    )
    simulation = Simulation(population)
    calendar = simulation.state.calendar
    business = dict(zip(calendar["day"].tolist(), calendar["business"].tolist(), strict=True))
    defaulted: dict[int, int] = {}
    waited = Counter[bool]()
    for today in simulation.days():
        for fact in today.facts:
            k = int(fact["loan"])
            if fact["event"] == DEFAULT:
                defaulted[k] = today.day
            elif fact["event"] == COMPENSATED:
                term = defaulted[k] + CALLED_DAYS
                assert business[today.day]
                assert not any(business[day] for day in range(term, today.day))
                waited[today.day > term] += 1
    assert waited[False]
    assert waited[True], "terms end on weekends too"


def test_a_renewal_of_a_loan_takes_its_interest_alone() -> None:
    kinds = tuple(replace(kind, weight=float(kind.name == "bullet")) for kind in LOAN_KINDS)
    population = Population(
        seed=4, enterprises=300, months=12, before_months=12, after_months=0, default_rate=0.0, recoveries=0.0,
        renewed=1.0, lent_again=1.0, second_loan=0.0, loan_kinds=kinds, owner_helps=1.0,
    )  # fmt: skip
    simulation = Simulation(population)
    w = simulation.state
    renewed = 0
    for today in simulation.days():
        i = today.day - population.first_day
        evening = today.moves[today.moves["time_ms"] == w.calendar["start_ms"][i] + EVENING_MONEY_MS]
        brought = evening[np.isin(evening["kind"], (FROM_PERSON, FROM_COMPANY, PRIVATE_LENDER))]
        lent = np.zeros(population.enterprises)
        np.maximum.at(lent, w.loans["firm"], w.loans["principal"] * (w.loans["state"] != PLANNED))
        who = w.accounts["firm"][brought["account"]]
        assert (brought["amount"] < 0.02 * lent[who] + 0.03 * w.firms["base"][who] + 200_000).all()
        renewed += int((today.facts["event"] == RENEWED).sum())
    assert renewed > 50


def test_the_same_seed_gives_the_same_and_another_one_something_else() -> None:
    def digest(seed: int) -> bytes:
        population = Population(seed=seed, enterprises=25, months=3, before_months=6, after_months=1)
        return b"".join(today.moves.tobytes() + today.facts.tobytes() for today in Simulation(population).days())

    assert digest(3) == digest(3)
    assert digest(3) != digest(4)
