"""How the scores at the grants of loans stand to what became of them. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Literal

import msgspec

BAND_POINTS = 50
SCORE_MIN, SCORE_MAX = 400, 700

Label = Literal["good", "bad"]


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Loans whose enterprise had a score in [`from_points`, `to_points`) at the grant; the last band has its end too.

    Both None: of no score.
    """

    from_points: int | None
    to_points: int | None
    good: int
    bad: int


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """All loans of known outcome by the score at their grant.

    auc: how often a good one has the higher score of a good and a bad one (the same: half); None without such a pair.
    """

    bands: list[Band]
    auc: float | None


def judge(outcomes: Mapping[str, Label], score_milli: Mapping[str, int]) -> Judgement:
    """Return the loans of `outcomes` by `score_milli`; both by loan id.

    >>> judge({"a": "good", "b": "bad", "c": "good", "d": "bad"}, {"a": 620_000, "b": 510_000, "c": 510_000}).auc
    0.75
    """
    edges = range(SCORE_MIN, SCORE_MAX, BAND_POINTS)
    counts: dict[int | None, dict[Label, int]] = {edge: {"good": 0, "bad": 0} for edge in (*edges, None)}
    for loan_id, label in outcomes.items():
        milli = score_milli.get(loan_id)
        counts[None if milli is None else edges[min((milli // 1000 - SCORE_MIN) // BAND_POINTS, len(edges) - 1)]][
            label
        ] += 1
    bands = [
        Band(from_points=edge, to_points=None if edge is None else edge + BAND_POINTS, **found)
        for edge, found in counts.items()
    ]
    of_label = {
        label: sorted(
            score_milli[loan_id] for loan_id, said in outcomes.items() if said == label and loan_id in score_milli
        )
        for label in ("good", "bad")
    }
    return Judgement(bands=bands, auc=_auc(of_label["good"], of_label["bad"]))


def _auc(good: list[int], bad: list[int]) -> float | None:
    """Return the share of pairs of a good and a bad one in the right order; `good` ascending."""
    if not good or not bad:
        return None
    won = sum(
        2 * (len(good) - bisect_right(good, one)) + bisect_right(good, one) - bisect_left(good, one) for one in bad
    )
    return won / 2 / len(good) / len(bad)
