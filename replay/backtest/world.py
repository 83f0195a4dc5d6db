"""The judged world as arrays: enterprises are indices in the order of their ids, days are day numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detectors.learning.statistics import Flags, Ints
from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from features.indicators import INDICATORS
from replay.backtest.cases import before_each, last_at
from replay.backtest.collector import Collected
from replay.backtest.columns import SEQ_BITS
from replay.backtest.facts import NO_DAY, SECTIONS, SIZES, Facts, dated
from replay.backtest.spans import Spans, shared, spans

NEVER = 2**31 - 1
UNKNOWN = ""
BANK_COUNTS = ("0", "1", "2", "3", "4+")
_LOAN_BITS = 32  # an enterprise and its loan as one number
_OUTPUTS = ("scores", "months", "revisions", "disposed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """A property of each enterprise: `of` (enterprises,) is an index into `names`; UNKNOWN is one of them."""

    names: tuple[str, ...]
    of: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """The revisions of the supervisor's alerts, which are all alerts, in the order of (enterprise, log).

    Among them are rows that are no revisions: an episode begins or ceases to wait for its hysteresis.
    """

    enterprise: Ints
    moment: Ints  # offset of the record that caused it
    day: Ints
    episode: Ints
    signal: Ints
    level: Ints  # 0: the episode has ended
    waits: Ints  # 1: no level is true, the episode only waits for its hysteresis
    retracted: Ints  # 1: it ended as what was never so
    before: Ints  # the episode's level before it, 0 for the first
    waited: Ints  # whether it waited before it
    case: Ints  # the level of the supervisor's case after it, 0: none
    pair_revision: Ints
    """Pairs of a revision (index into these arrays) and a bank that it concerns."""
    pair_bank: Ints
    pair_level: Ints  # of that bank's case after it, 0: none

    def __len__(self) -> int:
        return len(self.enterprise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposed:
    """The cases of banks that were disposed of, in the order of (enterprise, log)."""

    enterprise: Ints
    moment: Ints  # offset of the approval
    day: Ints
    bank: Ints
    level: Ints  # of the case
    disposition: Ints  # as detectors.case_life codes them, from 1

    def __len__(self) -> int:
        return len(self.enterprise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Months:
    """Enterprises at the close of each month's last day, in the order of (enterprise, day)."""

    enterprise: Ints
    day: Ints  # the month's last
    known_day: Ints  # on which the close was in the log
    score_milli: Ints  # -1: none yet
    p_ppm: Ints
    values: npt.NDArray[np.float32]  # (rows, indicators), NaN where null

    def __len__(self) -> int:
        return len(self.enterprise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The last score of each day with a score, in the order of (enterprise, day)."""

    enterprise: Ints
    day: Ints
    milli: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanFacts:
    """The loan events, in the order of (enterprise, log)."""

    enterprise: Ints
    day: Ints
    event: Ints  # index into facts.LOAN_EVENTS
    dpd: Ints  # -1: null


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A log as it was known at the end of `last_day`."""

    ids: tuple[str, ...]
    banks: tuple[str, ...]
    signals: tuple[str, ...]
    indicators: tuple[str, ...]
    models: tuple[str, ...]  # of scores
    rules: tuple[str, ...]  # of alerts
    first_day: int
    last_day: int
    known_from: Ints  # (enterprises,) the first day with a score, NEVER without one
    borrows: Spans  # by enterprise: an open loan
    lends: Spans  # by enterprise * banks + bank: an open loan of that bank, and consent
    months: Months
    revisions: Revisions
    disposed: Disposed
    scores: Scores
    loans: LoanFacts
    bad_day: Ints  # (enterprises,) first day over 30 days past due or worse, by the log's loans and outcomes; NEVER
    default_day: Ints
    traits: dict[str, Trait] = field(default_factory=dict)


class _Table:
    """Indices of the whole for names that each partition numbers by itself; -1 for a name that is not wanted."""

    def __init__(self, lists: Iterable[tuple[str, ...]], wanted: set[str] | None = None) -> None:
        self.texts = tuple(sorted({text for texts in lists for text in texts if wanted is None or text in wanted}))
        self._number = {text: i for i, text in enumerate(self.texts)}

    def of(self, texts: tuple[str, ...]) -> Ints:
        """Return the indices of a partition's names, int64 (names,), by the partition's own indices."""
        return np.array([self._number.get(text, -1) for text in texts], np.int64)


def assemble(facts: Sequence[Facts], outputs: Sequence[Collected], last_day: int | None = None) -> World:
    """Return the world of all partitions, without what became known after `last_day` (None: the log's last day).

    An enterprise is one that has a score by then.
    """
    ends = max(part.last_day for part in facts)
    last = ends if last_day is None else min(last_day, ends)
    ticks = {part.partition: part.ticks for part in facts}
    dated_outputs = {
        part.partition: {name: dated(getattr(part, name), ticks[part.partition]) for name in _OUTPUTS}
        for part in outputs
    }
    scored = {
        part.enterprises[i]
        for part in outputs
        for columns in (dated_outputs[part.partition]["scores"],)
        for i in np.unique(columns["enterprise"][columns["known_day"] <= last]).tolist()
    }
    enterprises = _Table([part.enterprises for part in outputs], scored)
    banks = _Table([*(part.banks for part in facts), *(part.banks for part in outputs)])
    raised = {
        part.signals[i]
        for part in outputs
        for columns in (dated_outputs[part.partition]["revisions"],)
        for i in np.unique(columns["signal"][columns["known_day"] <= last]).tolist()
    }
    signals = _Table([part.signals for part in outputs], raised)
    n = len(enterprises.texts)

    def of_facts(name: str, *own: str) -> dict[str, Ints]:
        return _joined(
            [
                (getattr(part, name), {"enterprise": enterprises.of(part.enterprises), "bank": banks.of(part.banks)})
                for part in facts
            ],
            last,
            own,
        )

    def of_outputs(name: str, *own: str) -> dict[str, Ints]:
        return _joined(
            [
                (
                    dated_outputs[part.partition][name],
                    {
                        "enterprise": enterprises.of(part.enterprises),
                        "signal": signals.of(part.signals),
                        "bank": banks.of(part.banks),
                    },
                )
                for part in outputs
            ],
            last,
            own,
        )

    _number_rows([dated_outputs[part.partition]["revisions"] for part in outputs])
    _number_rows([dated_outputs[part.partition]["months"] for part in outputs])
    scores, revisions, loans = of_outputs("scores"), of_outputs("revisions", "episode"), of_facts("loans", "loan")
    disposed = of_outputs("disposed")
    pair_revision, pair_bank, pair_level = _concerned(outputs, revisions, banks)
    known_from = np.full(n, NEVER, np.int64)
    np.minimum.at(known_from, scores["enterprise"], scores["known_day"])
    borrows, lends = _lending(loans, of_facts("consents"), len(banks.texts), last)
    is_last = _is_last(scores["enterprise"], scores["known_day"])
    bad_day, default_day = _bad_days(of_facts("bad"), of_facts("outcomes"), last, n)
    return World(
        ids=enterprises.texts,
        banks=banks.texts,
        signals=signals.texts,
        indicators=INDICATORS,
        models=_in_force(outputs, dated_outputs, "scores", "model", "models", last),
        rules=_in_force(outputs, dated_outputs, "revisions", "rules", "rules", last),
        first_day=min(part.first_day for part in facts if part.first_day != NO_DAY),
        last_day=last,
        known_from=known_from,
        borrows=borrows,
        lends=lends,
        months=_months(outputs, of_outputs("months"), scores),
        revisions=Revisions(
            enterprise=revisions["enterprise"], moment=revisions["order"] >> SEQ_BITS, day=revisions["known_day"],
            episode=revisions["episode"], signal=revisions["signal"], level=revisions["level"],
            waits=revisions["waits"], retracted=revisions["retracted"],
            before=before_each(revisions["episode"], revisions["level"]),
            waited=before_each(revisions["episode"], revisions["waits"]), case=revisions["case"],
            pair_revision=pair_revision, pair_bank=pair_bank, pair_level=pair_level,
        ),
        disposed=Disposed(
            enterprise=disposed["enterprise"], moment=disposed["order"] >> SEQ_BITS, day=disposed["known_day"],
            bank=disposed["bank"], level=disposed["level"], disposition=disposed["disposition"],
        ),
        scores=Scores(
            enterprise=scores["enterprise"][is_last], day=scores["known_day"][is_last], milli=scores["milli"][is_last]
        ),
        loans=LoanFacts(
            enterprise=loans["enterprise"], day=loans["known_day"], event=loans["event"], dpd=loans["dpd"]
        ),
        bad_day=bad_day,
        default_day=default_day,
        traits=_traits(of_facts("profiles"), of_facts("accounts"), n),
    )  # fmt: skip


def trait(texts: Sequence[str]) -> Trait:
    """Return a trait from one text for each enterprise."""
    names, of = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
    return Trait(names=tuple(names.tolist()), of=of.astype(np.int64))


def _joined(
    parts: Sequence[tuple[dict[str, Ints], dict[str, Ints]]], last: int, own: tuple[str, ...] = ()
) -> dict[str, Ints]:
    """Return columns of all partitions, known up to `last`, in the order of (enterprise, order).

    Each part is its columns, and by column name the indices of the whole for the part's own. Numbers in `own` columns
    belong to a partition alone, and are made distinct.
    """
    columns: dict[str, list[Ints]] = {}
    shift = dict.fromkeys(own, 0)
    for found, numbers in parts:
        is_known = found["known_day"] <= last
        for column, cells in found.items():
            cells = cells[is_known]
            if column in numbers:
                cells = numbers[column][cells]
            elif column in own:
                cells = cells + shift[column]
            columns.setdefault(column, []).append(cells)
        for column in own:
            shift[column] += int(found[column].max(initial=-1)) + 1
    whole = {column: np.concatenate(cells) for column, cells in columns.items()}
    known = whole["enterprise"] >= 0
    order = np.lexsort((whole["order"][known], whole["enterprise"][known]))
    return {column: cells[known][order] for column, cells in whole.items()}


def _number_rows(parts: Sequence[dict[str, Ints]]) -> None:
    """Number the rows of all parts, in the column `place`."""
    first = 0
    for part in parts:
        part["place"] = np.arange(first, first + len(part["known_day"]), dtype=np.int64)
        first += len(part["known_day"])


def _concerned(outputs: Sequence[Collected], revisions: dict[str, Ints], banks: _Table) -> tuple[Ints, Ints, Ints]:
    """Return (revision, bank, level of its case), int64 (pairs,) each: the banks that each of `revisions` concerns."""
    sizes = np.cumsum([0, *(len(part.revisions["order"]) for part in outputs)])
    where = np.full(int(sizes[-1]), -1, np.int64)
    where[revisions["place"]] = np.arange(len(revisions["place"]))
    pairs = [
        (
            where[part.concerned["revision"] + first],
            banks.of(part.banks)[part.concerned["bank"]],
            part.concerned["level"],
        )
        for first, part in zip(sizes.tolist(), outputs, strict=False)
    ]
    revision, bank, level = (np.concatenate(columns) for columns in zip(*pairs, strict=True))
    is_kept = revision >= 0
    return revision[is_kept], bank[is_kept], level[is_kept]


def _in_force(
    outputs: Sequence[Collected],
    dated_outputs: dict[int, dict[str, dict[str, Ints]]],
    rows: str,
    column: str,
    names: str,
    last: int,
) -> tuple[str, ...]:
    """Return the names of the artefacts behind outputs up to `last`."""
    found = set[str]()
    for part in outputs:
        columns = dated_outputs[part.partition][rows]
        used = np.unique(columns[column][columns["known_day"] <= last]).tolist()
        found.update(getattr(part, names)[i] for i in used)
    return tuple(sorted(found))


def _months(outputs: Sequence[Collected], found: dict[str, Ints], scores: dict[str, Ints]) -> Months:
    values = np.concatenate([np.empty((0, len(INDICATORS)), np.float32), *(p.values for p in outputs if len(p.values))])
    # The score at a close: the newest one before it in the log, as (offset, seq) has it.
    place = last_at(scores["enterprise"], *_dense(scores["order"], found["enterprise"], found["order"]))
    has_score, place = place >= 0, np.maximum(place, 0)
    none = np.full(len(place), -1, np.int64)
    return Months(
        enterprise=found["enterprise"], day=found["day"], known_day=found["known_day"],
        score_milli=np.where(has_score, scores["milli"][place], none) if len(scores["milli"]) else none,
        p_ppm=np.where(has_score, scores["ppm"][place], none) if len(scores["milli"]) else none,
        values=values[found["place"]],
    )  # fmt: skip


def _dense(orders: Ints, who: Ints, when: Ints) -> tuple[Ints, Ints, Ints]:
    """Return orders as ranks: offsets are too large to be multiplied with enterprises."""
    ranks = np.unique(np.concatenate((orders, when)), return_inverse=True)[1].astype(np.int64)
    return ranks[: len(orders)], who, ranks[len(orders) :]


def _lending(loans: dict[str, Ints], consents: dict[str, Ints], banks: int, last: int) -> tuple[Spans, Spans]:
    """Return the spans with an open loan by enterprise, and with an open loan and consent by enterprise and bank."""
    order = np.lexsort((loans["order"], loans["loan"]))
    loan, known_day, is_open = loans["loan"][order], loans["known_day"][order], loans["is_open"][order] > 0
    until = np.full(len(loan), last + 1, np.int64)
    same = loan[1:] == loan[:-1]
    until[:-1][same] = known_day[1:][same]
    begin, end = known_day[is_open], until[is_open]
    borrows = spans(loans["enterprise"][order][is_open], begin, end)
    pair = loans["enterprise"] * banks + loans["bank"]
    lent = spans(pair[order][is_open], begin, end)
    return borrows, shared(lent, _consented(consents, banks))


def _consented(consents: dict[str, Ints], banks: int) -> Spans:
    """Return the spans of consent by pair; a revoked consent ends on the day the revocation became known."""
    pair = consents["enterprise"] * banks + consents["bank"]
    begin, end = (_day(consents[name]) for name in ("begin", "end"))
    revoked = consents["revoked"] > 0
    for one in np.unique(pair[revoked]).tolist():
        of_pair = np.flatnonzero(pair == one)
        for place in of_pair[revoked[of_pair]].tolist():
            earlier = of_pair[of_pair <= place]
            end[earlier] = np.minimum(end[earlier], consents["known_day"][place])
    return spans(pair[~revoked], np.maximum(begin, consents["known_day"])[~revoked], end[~revoked])


def _traits(profiles: dict[str, Ints], accounts: dict[str, Ints], n: int) -> dict[str, Trait]:
    """Return industry and size by the newest master record, and the number of banks with transactions."""
    found = {"banks": Trait(names=BANK_COUNTS, of=np.minimum(np.bincount(accounts["enterprise"], minlength=n), 4))}
    for name, column, names in (("industry", "section", SECTIONS), ("size", "size", SIZES)):
        of = np.full(n, len(names), np.int64)
        of[profiles["enterprise"]] = profiles[column]
        found[name] = Trait(names=(*names, UNKNOWN), of=of)
    return found


def _bad_days(bad: dict[str, Ints], outcomes: dict[str, Ints], last: int, n: int) -> tuple[Ints, Ints]:
    """Return by enterprise its first day over 30 days past due or worse, and that of its default.

    The newest outcome of a loan replaces the loan's events; a bad one counts on its matured day.
    """
    owner, loan, is_bad = outcomes["enterprise"], outcomes["loan"], outcomes["is_bad"] > 0
    matured = outcomes["day"] <= last
    key = owner << _LOAN_BITS | loan
    newest = np.zeros(len(key), np.bool_)
    named = np.flatnonzero(matured & (loan >= 0))[::-1]
    newest[named[np.unique(key[named], return_index=True)[1]]] = True
    counts = is_bad & (newest | (matured & (loan < 0)))
    kept = ~np.isin(bad["enterprise"] << _LOAN_BITS | bad["loan"], key[newest])
    is_default = kept & (bad["is_default"] > 0)
    who, when = (np.concatenate((bad[name][kept], outcomes[name][counts])) for name in ("enterprise", "day"))
    return _earliest(who, when, n), _earliest(bad["enterprise"][is_default], bad["day"][is_default], n)


def _is_last(owner: Ints, day: Ints) -> Flags:
    last = np.ones(len(owner), np.bool_)
    last[:-1] = (owner[1:] != owner[:-1]) | (day[1:] != day[:-1])
    return last


def _earliest(owner: Ints, day: Ints, n: int) -> Ints:
    found = np.full(n, NEVER, np.int64)
    np.minimum.at(found, owner, day)
    return found


def _day(time_ms: Ints) -> Ints:
    return (time_ms + ZONE_OFFSET_MS) // DAY_MS
