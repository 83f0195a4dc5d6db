"""The learner's ledger: observations until they have a label and after it, and the facts from which labels follow.

Repeats change nothing, nor does the order in which topics are read. Each month only those observations are looked at
whose time may have come.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

import numpy as np
from msgspec import UNSET

from detectors.learning import observations
from detectors.learning.dispositions import Dispositions
from detectors.learning.examples import EXAMPLE, Examples
from detectors.learning.facts import Facts, Placed, loan_key
from detectors.learning.labels import (
    DEFAULT_12M,
    HORIZON_DAYS,
    KINDS,
    OVERDUE_90D,
    Close,
    Decided,
    Definition,
    Kind,
    decide,
)
from detectors.learning.observations import DROPPED, HELD, ID_BYTES, LABELLED, NEVER_DUE, Block, Indexes, Observations
from domain.calendar import day_of_date, month_of_day
from domain.events import Loan, Outcome
from domain.outputs import Observation

MONTHS_RETAINED = 60
FORGOTTEN_DAYS = 800  # after which an ended loan says nothing of any observation that can still come
_AT_ONCE = np.int32(-(2**31))  # an operator's word may come before the horizon's end
_DECEMBER = 11
_Found = tuple[int, str, bytes, Block, int]  # matured on, enterprise, id of the observation, and where its row is


class Ledger:
    """Everything from the log that labels follow from.

    labels: observations whose time has come, by kind of label; dispositions: those of which a desk has said something.
    repeated_count: observations that came again.
    outcomes_late_count, outcomes_unknown_count: operators' outcomes on an observation that had its label, and on none
    that is known. newest_offset: by partition, the highest offset of a record that an observation was made of.
    """

    def __init__(
        self,
        months_retained: int = MONTHS_RETAINED,
        table: Observations | None = None,
        facts: Iterable[Facts] = (),
    ) -> None:
        """Start with nothing, or with what another ledger held. months_retained: of labelled observations, or more."""
        self.table = table or Observations()
        self.facts = {each.number: each for each in facts}
        self.changed: set[int] = set()  # numbers of enterprises whose facts a checkpoint lacks
        self.labels: Counter[Kind] = Counter(dict.fromkeys(KINDS, 0))
        self.repeated_count = self.seen_count = 0
        self.outcomes_late_count = self.outcomes_unknown_count = 0
        self.dispositions = Dispositions()
        self.turn = 0  # labels so far: the place of the next one in the order of learning
        self._months_retained = months_retained
        self._ids: set[bytes] = {name for names in self.table.ids() for name in names}
        self._unplaced = {
            number for number, each in self.facts.items() if not all(one.is_placed for one in each.outcomes)
        }
        self.held_count = self.table.count(HELD)
        self.newest_offset = self.table.newest_offsets()

    @property
    def retained_count(self) -> int:
        """Number of labelled observations that are kept."""
        return self.table.count(LABELLED)

    @property
    def retained(self) -> Examples:
        """The labelled observations that are kept, in the order of learning, EXAMPLE (n,)."""
        return self.table.labelled()

    def observe(self, observation: Observation, partition: int) -> None:
        """Add an observation. `partition`: its enterprise's, the same in both topics.

        Raise ValueError, with the field, for one that no model may see.
        """
        observations.check(observation)
        name = observations.id_of(observation)
        if name in self._ids:
            self.repeated_count += 1
            return
        self._ids.add(name)
        facts = self._facts_of(observation.enterprise_id, partition)
        loan = 0
        if observation.loan_id is not None:
            loan = int.from_bytes(loan_key(observation.enterprise_id, observation.loan_id), "little")
        due = _AT_ONCE if facts.verdicts(name, loan) else observation.day + HORIZON_DAYS
        observations.fill(
            self.table.add(), observation, enterprise=facts.number, partition=partition, loan=loan, due=int(due)
        )
        if observation.dispositions is not UNSET:
            self.dispositions.observe(name, observation.dispositions)
        self.newest_offset[partition] = max(self.newest_offset.get(partition, -1), observation.offset)
        self.seen_count += 1
        self.held_count += 1

    def loan(self, loan: Loan, offset: int, partition: int) -> None:
        """Take in a loan event."""
        facts = self._facts_of(loan.enterprise_id, partition)
        if facts.loan(loan, offset):
            self.changed.add(facts.number)

    def outcome(self, outcome: Outcome, offset: int, partition: int) -> None:
        """Take in an operator's outcome.

        Raise ValueError where its `matured_on` is no date, or its `observation_id` cannot be one.
        """
        facts = self._facts_of(outcome.enterprise_id, partition)
        if facts.outcome(outcome, offset, partition):
            self.changed.add(facts.number)
            self._unplaced.add(facts.number)

    def matured(self, closes: Mapping[int, Close], end_day: int) -> Examples:
        """Return the observations that got a label of good or bad, as of the `closes` by partition, EXAMPLE (n,).

        Those that matured up to `end_day` and had none before, in learning order (matured_on, enterprise_id,
        observation_id). One that score made from a later record is left for the next call. Then the second label of
        older ones is filled in where its time has come, and those beyond the months retained are dropped.
        """
        self._place_outcomes(closes)
        found: list[_Found] = []
        for block in self.table.blocks:
            found += self._label(block, closes, end_day)
        examples = np.zeros(len(found), EXAMPLE)
        for i, at in enumerate(_in_order(found).tolist()):
            _, _, _, block, place = found[at]
            block.rows["turn"][place] = self.turn + i
            examples[i] = block.rows["example"][place]
        self.turn += len(found)
        for block in self.table.blocks:
            self._label_12m(block, closes, end_day)
        self._drop_old(closes, end_day)
        return examples

    def observed_on(self, day: int, closes: Mapping[int, Close] | None = None) -> Examples:
        """Return the observations of a day that have no label yet, EXAMPLE (n,), by their ids.

        closes: by partition, as of which; None: all that are held.
        """
        found, names = [np.empty(0, EXAMPLE)], [np.empty(0, "V16")]
        for block in self.table.blocks:
            rows = block.rows
            places = np.flatnonzero((rows["state"] == HELD) & (rows["example"]["day"] == day))
            if closes is not None:
                ends = np.array([closes[p].offset for p in rows["partition"][places].tolist()], np.int64)
                places = places[rows["offset"][places] <= ends]
            found.append(rows["example"][places])
            names.append(rows["id"][places])
        return np.concatenate(found)[np.argsort(np.concatenate(names), kind="stable")]

    def _facts_of(self, enterprise_id: str, partition: int) -> Facts:
        new = Facts(enterprise_id, partition)
        facts = self.facts.setdefault(new.number, new)
        if facts is new:
            self.changed.add(new.number)
        elif facts.name != enterprise_id:
            raise ValueError(f"the enterprises {facts.name} and {enterprise_id} have the same number, {facts.number}")
        return facts

    def _label(self, block: Block, closes: Mapping[int, Close], end_day: int) -> list[_Found]:
        """Label the rows that have matured; return (matured_on, enterprise, id, block, place) of good and bad ones."""
        rows, found = block.rows, []
        places = _due(block, HELD, closes, end_day)
        decided = self._decided(block, places, closes, end_day, OVERDUE_90D)
        for place, decision in zip(places.tolist(), decided, strict=True):
            if decision is None:
                continue
            block.marks_differ = True
            self.held_count -= 1
            self.labels[decision.kind] += 1
            self.dispositions.label(rows["id"][place].tobytes(), decision.kind)
            if decision.kind in ("already_bad", "indeterminate"):
                rows["state"][place], rows["due"][place] = DROPPED, NEVER_DUE
                continue
            example = rows["example"]
            example["matured_on"][place], example["bad"][place] = decision.matured_on, decision.kind == "bad"
            rows["state"][place] = LABELLED
            rows["due"][place] = example["day"][place] + DEFAULT_12M.horizon_days
            name = self.facts[int(example["enterprise"][place])].name
            found.append((decision.matured_on, name, rows["id"][place].tobytes(), block, place))
        return found

    def _label_12m(self, block: Block, closes: Mapping[int, Close], end_day: int) -> None:
        """Fill in the second label of labelled rows that are due. It follows from the lenders' reports alone."""
        rows = block.rows
        places = _due(block, LABELLED, closes, end_day)
        decided = self._decided(block, places, closes, end_day, DEFAULT_12M)
        for place, decision in zip(places.tolist(), decided, strict=True):
            if decision is None:
                continue
            block.marks_differ, rows["due"][place] = True, NEVER_DUE
            if decision.kind in ("good", "bad"):
                rows["example"]["default_12m"][place] = decision.kind == "bad"

    def _decided(
        self, block: Block, places: Indexes, closes: Mapping[int, Close], end_day: int, definition: Definition
    ) -> list[Decided | None]:
        rows, example = block.rows, block.rows["example"]
        columns = example["enterprise"], example["day"], rows["partition"], rows["id"], rows["loan"]
        found = []
        for number, day, partition, name, loan in zip(*(each[places].tolist() for each in columns), strict=True):
            facts = self.facts.get(number)
            loans = () if facts is None else facts.loans
            verdicts = facts.verdicts(name, loan) if facts is not None and definition is OVERDUE_90D else ()
            close = closes[partition]
            found.append(decide(day, loans, verdicts, close=close, end_day=end_day, definition=definition))
        return found

    def _place_outcomes(self, closes: Mapping[int, Close]) -> None:
        """Look up what new outcomes are about: that may mature at once. Count those that come to nothing."""
        new: dict[tuple[bytes, int], list[Placed]] = {}
        for number in sorted(self._unplaced):
            facts = self.facts[number]
            for each in facts.outcomes:
                if not each.is_placed and each.verdict.offset < closes[each.partition].offset:
                    new.setdefault((each.about, number), []).append(each)
                    each.is_placed = True
                    self.changed.add(number)
            if all(each.is_placed for each in facts.outcomes):
                self._unplaced.discard(number)
        if not new:
            return
        states: dict[tuple[bytes, int], set[int]] = {}
        names = {name for name, _ in new}
        for block in self.table.blocks:
            for name, place in _named(block, names):
                key = name, int(block.rows["example"]["enterprise"][place])
                if key not in new:  # an outcome of another enterprise: it says nothing here
                    continue
                states.setdefault(key, set()).add(int(block.rows["state"][place]))
                if block.rows["state"][place] == HELD:
                    block.rows["due"][place], block.marks_differ = _AT_ONCE, True
        for key, outcomes in new.items():
            found = states.get(key)
            if found is None:
                self.outcomes_unknown_count += len(outcomes)
            elif HELD not in found:
                self.outcomes_late_count += len(outcomes)

    def _drop_old(self, closes: Mapping[int, Close], end_day: int) -> None:
        """Drop labelled rows beyond the months retained, whole years at once; each December facts long past."""
        month = month_of_day(end_day)
        first_year = (month + 1 - self._months_retained) // 12
        first_day = day_of_date(date(1970 + first_year, 1, 1)) if first_year > 0 else 0
        kept = []
        for block in self.table.blocks:
            rows = block.rows
            old = (rows["state"] == LABELLED) & (rows["example"]["matured_on"] < first_day)
            if old.any():
                rows["state"][old], rows["due"][old], block.marks_differ = DROPPED, NEVER_DUE, True
            if block.is_full and (rows["state"] == DROPPED).all() and rows["example"]["day"].max() < first_day:
                self._ids.difference_update(rows["id"].tolist())
            else:
                kept.append(block)
        self.table.blocks[:] = kept
        if month % 12 == _DECEMBER:
            self._forget_facts(closes, end_day - FORGOTTEN_DAYS)

    def _forget_facts(self, closes: Mapping[int, Close], day: int) -> None:
        """Forget loans that were over before a day, and the ids of an enterprise that has been silent since.

        Of a loan only the reports before the close are looked at and dropped, so that it does not matter how far ahead
        the log has been read.
        """
        for number, facts in self.facts.items():
            before = closes[facts.partition].offset
            for loan in facts.loans:
                found = loan.standing(before_offset=before)
                spells = () if found is None else (*found.bad, *found.doubtful)
                if found is not None and found.ended < day and all(spell.end < day for spell in spells):
                    loan.forget(before)
                    self.changed.add(number)
            if not all(map(len, facts.loans)):
                facts.loans = [loan for loan in facts.loans if len(loan)]
            if facts.seen and facts.newest_day < day:
                facts.seen.clear()
                self.changed.add(number)


def _in_order(found: Sequence[_Found]) -> Indexes:
    """Return the places of labels in learning order. Sorted as columns: a list of them would hold up other threads."""
    if not found:
        return np.empty(0, np.intp)
    matured_on, names, ids, _, _ = zip(*found, strict=True)
    return np.lexsort((np.frombuffer(b"".join(ids), f"V{ID_BYTES}"), np.array(names), np.array(matured_on)))


def _due(block: Block, state: int, closes: Mapping[int, Close], end_day: int) -> Indexes:
    """Return the places of the rows in a state that are due, made from records before the closes."""
    rows = block.rows
    places = np.flatnonzero((rows["state"] == state) & (rows["due"] <= end_day))
    if len(places):
        ends = np.zeros(max(closes) + 1, np.int64)
        ends[list(closes)] = [close.offset for close in closes.values()]
        places = places[rows["offset"][places] <= ends[rows["partition"][places]]]
    return places


def _named(block: Block, keys: Collection[bytes]) -> Iterable[tuple[bytes, int]]:
    """Yield (key, place) of the rows that are named by the id of an observation or a loan's key."""
    first = np.array([int.from_bytes(key[:8], "little") for key in keys], np.uint64)
    ids = np.ascontiguousarray(block.rows["id"]).view("<u8")[::2]
    for place in np.flatnonzero(np.isin(ids, first)).tolist():
        if (name := block.rows["id"][place].tobytes()) in keys:
            yield name, place
    for place in np.flatnonzero(np.isin(block.rows["loan"], first)).tolist():
        if (name := int(block.rows["loan"][place]).to_bytes(8, "little")) in keys:
            yield name, place
