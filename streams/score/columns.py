"""Outputs as columns, out of rows of the output book, for whoever takes them in process: no JSON is made of these."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from detectors import cases
from detectors.episodes import EVERY_BANK
from detectors.rules.artefact import RuleSet
from domain import topics
from features.indicators import INDICATOR_COUNT
from features.indicators.nulls import VALUE


class Columns(NamedTuple):
    """Outputs of `score.v1` or `indicator.v1` as columns, in the order of the log. Shapes: (n,), of values (n, k).

    values: for a day's indicators those of `features.indicators.INDICATORS`, NaN where null; for scores k = 0.
    """

    topic: str
    enterprise_id: npt.NDArray[np.bytes_]  # S32
    as_of_ms: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    seq: npt.NDArray[np.int32]
    score_milli: npt.NDArray[np.int32]
    p_overdue30_90d_ppm: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    model_id: str


class AlertColumns(NamedTuple):
    """Revisions that the supervisor gets (or would, in a backfill) as columns, in the order of the log.

    Where an episode begins or ceases to wait for its hysteresis without a revision, a row says so: its transition is 0.
    Shapes: (n,). Row `concerned_row` of them concerns the bank of number `concerned_bank`, whose case has the level
    `concerned_level` after it; these three (k,). An episode is known by enterprise, signal, opened_ms, opened_offset
    and about_bank (the number of its bank, 0: of none).
    """

    topic: str
    enterprise_id: npt.NDArray[np.bytes_]  # S32
    as_of_ms: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    seq: npt.NDArray[np.int32]
    signal: npt.NDArray[np.uint8]  # place in `signals`
    level: npt.NDArray[np.uint8]  # of the episode, from 1; as it was where it is over
    waits: npt.NDArray[np.uint8]  # 1: no level is true, the episode only waits for its hysteresis
    transition: npt.NDArray[np.uint8]
    case_level: npt.NDArray[np.uint8]  # of the supervisor's case after it, 0: none
    opened_ms: npt.NDArray[np.int64]
    opened_offset: npt.NDArray[np.int64]
    about_bank: npt.NDArray[np.int64]
    concerned_row: npt.NDArray[np.intp]
    concerned_bank: npt.NDArray[np.int64]
    concerned_level: npt.NDArray[np.uint8]
    signals: tuple[str, ...]
    rules_id: str


class DispositionColumns(NamedTuple):
    """Cases of banks that were disposed of, as columns in the order of the log. Shapes: (n,)."""

    enterprise_id: npt.NDArray[np.bytes_]  # S32
    as_of_ms: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    seq: npt.NDArray[np.int32]
    bank: npt.NDArray[np.int64]  # its number
    level: npt.NDArray[np.uint8]  # of the case, from 1
    disposition: npt.NDArray[np.uint8]  # as detectors.case_life codes them, from 1


class TakesColumns(Protocol):
    """A taker of outputs as columns."""

    def take(self, columns: Columns) -> None:
        """Take some outputs of `score.v1` or `indicator.v1`. Those of an enterprise are in the order of the log."""

    def take_alerts(self, columns: AlertColumns) -> None:
        """Take some revisions of alerts. Those of an enterprise are in the order of the log."""

    def take_dispositions(self, columns: DispositionColumns) -> None:
        """Take some dispositions of cases. Those of an enterprise are in the order of the log."""


def columns_of(
    topic: str, rows: Any, at: npt.NDArray[np.intp], state_id: Any, model_id: str, probability_ppm: tuple[int, ...]
) -> Columns:
    """Return the rows at these indexes as columns."""
    milli = rows["score_milli"][at]
    shown = np.rint(milli / 1_000).astype(np.int64) - 400  # half to even, as `displayed`
    values = np.empty((len(at), 0))
    if topic == topics.INDICATOR:
        known = rows["null"][at, :INDICATOR_COUNT] == VALUE
        values = np.where(known, rows["value"][at, :INDICATOR_COUNT], np.nan)
    return Columns(
        topic=topic,
        enterprise_id=_ids(rows, at, state_id),
        as_of_ms=rows["as_of_ms"][at],
        offset=rows["offset"][at],
        seq=rows["seq"][at],
        score_milli=milli,
        p_overdue30_90d_ppm=np.array(probability_ppm, np.int64)[shown],
        values=values,
        model_id=model_id,
    )


def alert_columns(
    topic: str, rows: Any, at: npt.NDArray[np.intp], state_id: Any, rules: RuleSet, rules_id: str
) -> AlertColumns:
    """Return the alerts at these indexes as columns. An episode concerns all lenders, or the one that it is about."""
    bank, about = rows["bank"][at], rows["episode_bank"][at].astype(np.intp)
    of_one = about != EVERY_BANK
    about_bank = np.where(of_one, np.take_along_axis(bank, np.maximum(about, 0)[:, None], axis=1)[:, 0], 0)
    row, loan = np.nonzero(rows["loan_open"][at] & ~of_one[:, None])
    beside_row, beside_bank = np.nonzero(rows["more_count"][at] * ~of_one[:, None])
    lender_row = np.concatenate((row, beside_row))
    slot = np.concatenate((rows["loan_bank"][at][row, loan], beside_bank)).astype(np.intp)
    every = np.unique(np.stack((lender_row, slot), axis=1), axis=0)
    every = np.concatenate((every, np.stack((np.flatnonzero(of_one), about[of_one]), axis=1)))
    concerned_row, slot = every[:, 0], every[:, 1]
    return AlertColumns(
        topic=topic,
        enterprise_id=_ids(rows, at, state_id),
        as_of_ms=rows["as_of_ms"][at],
        offset=rows["offset"][at],
        seq=rows["seq"][at],
        signal=rows["signal"][at],
        level=rows["level"][at],
        waits=rows["waits"][at],
        transition=rows["transition"][at],
        case_level=rows["case_level"][at, cases.SUPERVISOR],
        opened_ms=rows["opened_ms"][at],
        opened_offset=rows["opened_offset"][at],
        about_bank=about_bank,
        concerned_row=concerned_row,
        concerned_bank=bank[concerned_row, slot],
        concerned_level=rows["case_level"][at][concerned_row, slot],
        signals=tuple(signal.row.id for signal in rules.evaluated),
        rules_id=rules_id,
    )


def disposition_columns(rows: Any, at: npt.NDArray[np.intp], state_id: Any) -> DispositionColumns:
    """Return the records of cases at these indexes, all of approvals, as columns."""
    return DispositionColumns(
        enterprise_id=_ids(rows, at, state_id),
        as_of_ms=rows["as_of_ms"][at],
        offset=rows["offset"][at],
        seq=rows["seq"][at],
        bank=rows["life_bank"][at],
        level=rows["life_level"][at],
        disposition=rows["life_disposition"][at],
    )


def _ids(rows: Any, at: npt.NDArray[np.intp], state_id: Any) -> npt.NDArray[np.bytes_]:
    """Return the enterprises of the rows at these indexes, as bytes of 32."""
    found: npt.NDArray[np.bytes_] = np.ascontiguousarray(state_id[rows["slot"][at]]).view("S32").ravel()
    return found
