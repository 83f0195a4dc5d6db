"""Vectors of indicators as the engine said them: at the grant of a loan, and as a day closed.

A loan is judged by its grant's record of `observation.v1`, an enterprise by its newest record of `indicator.v1` from
before a day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.learning.examples import EXAMPLE, UNKNOWN, Examples, values_of
from detectors.snapshot import MICRO
from domain import topics
from domain.outputs import Indicators, Observation
from features.indicators import INDICATORS
from features.indicators.nulls import NOT_REPORTED, NULL_NAMES, VALUE
from replay.outputs import PartitionOutputs, Wanted
from sinks.batch import Records

COMPARED = (topics.SCORE, topics.INDICATOR, topics.OBSERVATION)
_CODES = {name: code for code, name in enumerate(NULL_NAMES)}
_observation = msgspec.json.Decoder(Observation).decode
_indicators = msgspec.json.Decoder(Indicators).decode


class Asked(NamedTuple):
    """The vectors that are wanted. before: by enterprise, the days (exclusive) before which a vector is wanted; a loan
    needs no day."""

    before: Mapping[str, tuple[int, ...]]
    loans: frozenset[str] | None = None  # None: all


@dataclass(slots=True)
class Vectors:
    """The vectors of one partition, or of all."""

    grants: dict[str, list[Observation]] = field(default_factory=dict)  # by loan id
    closes: dict[tuple[str, int], Indicators] = field(default_factory=dict)  # by enterprise and day before which
    enterprises: set[str] = field(default_factory=set)
    sums: dict[tuple[int, str], str] = field(default_factory=dict)  # SHA-256 by partition and topic, where compared
    last_day: int = -1  # the last day that closed

    def add(self, other: "Vectors") -> None:
        """Take in those of another partition."""
        for loan_id, found in other.grants.items():
            self.grants.setdefault(loan_id, []).extend(found)
        self.closes |= other.closes
        self.enterprises |= other.enterprises
        self.sums |= other.sums
        self.last_day = max(self.last_day, other.last_day)


class VectorCollector:
    """A consumer of the replay (replay/partition_run.py) that keeps the vectors asked for.

    compared: it also hashes the outputs of COMPARED.
    """

    def __init__(self, asked: Asked, compared: bool, number: int) -> None:
        self._asked, self._number = asked, number
        self._outputs = PartitionOutputs(Wanted(), number) if compared else None
        self._found = Vectors()

    def write(self, topic: str, records: Records) -> None:
        """Take in outputs, as a Consumer does."""
        if self._outputs is not None and topic in COMPARED:
            self._outputs.write(topic, records)
        if topic == topics.OBSERVATION:
            for _, value in records:
                self._observed(_observation(value or b""))
        elif topic == topics.INDICATOR:
            for key, value in records:
                self._closed((key or b"").decode(), value or b"")

    def finish(self) -> Vectors:
        """Return the result, as a Consumer does."""
        if self._outputs is not None:
            self._found.sums = {(self._number, topic): one for topic, one in self._outputs.finish().sums.items()}
        return self._found

    def _observed(self, seen: Observation) -> None:
        self._found.enterprises.add(seen.enterprise_id)
        if seen.kind != "grant" or seen.loan_id is None:
            return
        if self._asked.loans is None or seen.loan_id in self._asked.loans:
            of_loan = self._found.grants.setdefault(seen.loan_id, [])
            if seen.observation_id not in {one.observation_id for one in of_loan}:
                of_loan.append(seen)

    def _closed(self, enterprise_id: str, value: bytes) -> None:
        self._found.enterprises.add(enterprise_id)
        days = self._asked.before.get(enterprise_id, ())
        if not days:
            return
        said = _indicators(value)
        self._found.last_day = max(self._found.last_day, said.day)
        for before in days:
            if said.day < before:  # the log goes on day by day: the newest one stays
                self._found.closes[enterprise_id, before] = said


def of_grant(seen: Observation, enterprise: int, bad: bool, matured_on: int) -> Examples:
    """Return an observation as EXAMPLE, (1,)."""
    row = _row(enterprise, seen.day, bad, matured_on)
    row["score_milli"], row["p_ppm"] = seen.score_milli, seen.p_overdue30_90d_ppm
    row["value"], row["null"] = values_of(seen)
    return row


def of_close(said: Indicators, enterprise: int, bad: bool, matured_on: int) -> Examples:
    """Return a day's indicators as EXAMPLE, (1,); `score_milli` and `p_ppm` are 0: no score stands in the record."""
    row = _row(enterprise, said.day, bad, matured_on)
    for i, name in enumerate(INDICATORS):
        if (value := said.values_micro.get(name)) is not None:
            row["value"][0, i], row["null"][0, i] = value / MICRO, VALUE
        else:
            row["value"][0, i] = np.nan
            row["null"][0, i] = _CODES.get(said.null_reasons.get(name, ""), NOT_REPORTED) or NOT_REPORTED
    return row


def masked(examples: Examples, names: tuple[str, ...]) -> Examples:
    """Return the examples without the values of some indicators."""
    rows = examples.copy()
    for name in names:
        rows["value"][:, INDICATORS.index(name)] = np.nan
        rows["null"][:, INDICATORS.index(name)] = NOT_REPORTED
    return rows


def _row(enterprise: int, day: int, bad: bool, matured_on: int) -> Examples:
    row = np.zeros(1, EXAMPLE)
    row["enterprise"], row["day"], row["matured_on"], row["bad"] = enterprise, day, matured_on, bad
    row["default_12m"] = UNKNOWN
    return row
