"""The case table to arrays: checked against its signals, then one row a signal that is evaluated."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from config.case_table import ANCHORS_MAX, BUDGET_MAX, LOGIT_MAX, WITH_CUTOFFS, CaseTable, Deadlines
from config.catalogue import SignalRow
from detectors.case_life import NO_DATE
from detectors.rules.conditions import RuleError
from detectors.rules.program import CLAIM_ANCHORS, NO_FINDING, Rules, group_of, key_of
from detectors.snapshot import MICRO
from domain.outputs import SEVERITIES

assert ANCHORS_MAX == CLAIM_ANCHORS


def deadlines_of(table: Deadlines | None) -> npt.NDArray[np.int32]:
    """Return working days, int32 (4, 2); NO_DATE where there is none.

    Row 0: after a due day until the head office, and from then until the supervisor hears of it. Row of a level: until
    contact, and until the visit.
    """
    days = np.full((1 + len(SEVERITIES), 2), NO_DATE, np.int32)
    if table is not None:
        days[0] = table.head_office_after_days, table.supervisor_after_days
        for level, deadline in enumerate((table.yellow, table.orange, table.red), 1):
            found = deadline.contact_days, deadline.visit_days
            days[level] = [NO_DATE if one is None else one for one in found]
    return days


def with_claim(rules: Rules, table: CaseTable, evaluated: Sequence[SignalRow]) -> Rules:
    """Return rules with the claim of a table that has been checked; `evaluated` are the rows of their signals."""
    row_of = {row.id: s for s, row in enumerate(evaluated)}
    points, finding = np.zeros_like(rules.case_points), np.full_like(rules.case_finding, NO_FINDING)
    alone, group = np.zeros_like(rules.case_alone), rules.case_group.copy()
    for signal in table.points_milli.keys() & row_of.keys():
        points[row_of[signal], 1:] = table.points_milli[signal]
    for number, each in enumerate(table.findings):
        members = [row_of[signal] for signal in each.signals if signal in row_of]
        finding[members], group[members] = number, group_of(key_of("finding", each.id))
    for rule in table.alone:
        if rule.signal in row_of:
            lifted = alone[row_of[rule.signal], 1 + SEVERITIES.index(rule.at) :]
            np.maximum(lifted, 1 + SEVERITIES.index(rule.level), out=lifted)
    cut = table.cutoffs_milli
    return rules._replace(
        case_points=points,
        case_finding=finding,
        case_group=group,
        case_alone=alone,
        case_score_at=_padded(at for at, _ in table.score),
        case_score_logit=_padded(logit for _, logit in table.score),
        case_move_at=_padded(at for at, _ in table.move),
        case_move_logit=_padded(logit for _, logit in table.move),
        case_cut=np.array([np.iinfo(np.int32).min, cut.yellow, cut.orange, cut.red], np.int32),
        case_intercept=np.int32(table.intercept_milli),
        case_eases=np.uint8(table.closes_to_ease),
        case_cured=np.uint8(1 + SEVERITIES.index(table.cured_to)),
        case_cooldown=np.uint8(table.cooldown_days),
        case_claims=np.uint8(1),
    )


def check(table: CaseTable, rows: Sequence[SignalRow], place_of: Callable[[str], str]) -> None:
    """Raise RuleError where a table does not fit itself or its signals.

    `place_of` says where a part of the table stands, by its key (as `points_milli.EWS35_arrears`).
    """
    for key, reason in _mistakes(table, {row.id: row for row in rows}):
        raise RuleError(f"{place_of(key)}: {reason}")


def _mistakes(table: CaseTable, rows: dict[str, SignalRow]) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) of each mistake."""
    for signal, points in table.points_milli.items():
        if signal not in rows:
            yield f"points_milli.{signal}", "no signal has this id"
        if list(points) != sorted(points):
            yield f"points_milli.{signal}", f"points at yellow, orange, red do not ascend: {_list(points)}"
    for key, anchors in ("score", table.score), ("move", table.move):
        if not all(low < high for (low, _), (high, _) in itertools.pairwise(anchors)):
            yield key, f"what the logit is read at does not ascend: {_list(at for at, _ in anchors)}"
        if not all(low >= high for (_, low), (_, high) in itertools.pairwise(anchors)):
            yield key, f"logits rise with the {key}, a higher one is never riskier: {_list(x for _, x in anchors)}"
    cut = table.cutoffs_milli
    if not cut.yellow < cut.orange < cut.red:
        yield "cutoffs_milli", f"yellow, orange, red do not ascend: {_list((cut.yellow, cut.orange, cut.red))}"
    yield from _findings(table, rows)
    yield from _hard_rules(table, rows)
    yield from _curve(table)


def _curve(table: CaseTable) -> Iterator[tuple[str, str]]:
    points = table.curve
    if not all(low[0] < high[0] for low, high in itertools.pairwise(points)):
        yield "curve", f"numbers of cases do not ascend: {_list(each[0] for each in points)}"
    if {len(each) for each in points} not in ({3}, {WITH_CUTOFFS}, set()):
        yield "curve", "points are not all of three numbers, or all of six"
    for cases, *shares in (each[:3] for each in points):
        if not 0 <= cases <= BUDGET_MAX or not all(0 <= ppm <= MICRO for ppm in shares):
            yield "curve", f"not a number of cases up to {BUDGET_MAX} and two shares in ppm: {_list((cases, *shares))}"
    cuts = [each[3:] for each in points if len(each) == WITH_CUTOFFS]
    for cut in cuts:
        if list(cut) != sorted(set(cut)) or max(map(abs, cut)) > LOGIT_MAX:
            yield "curve", f"cut-offs yellow, orange, red do not ascend, or are no logits: {_list(cut)}"
    if any(after > before for low, high in itertools.pairwise(cuts) for before, after in zip(low, high, strict=True)):
        yield "curve", "a cut-off rises with the number of cases"


def _findings(table: CaseTable, rows: dict[str, SignalRow]) -> Iterator[tuple[str, str]]:
    found_in = dict[str, str]()
    ids = set[str]()
    for finding in table.findings:
        if finding.id in ids:
            yield f"findings.{finding.id}", "the id stands twice"
        ids.add(finding.id)
        for signal in finding.signals:
            if signal not in rows:
                yield f"findings.{finding.id}", f"no signal has the id {signal}"
            if signal in found_in:
                yield f"findings.{finding.id}", f"{signal} is in finding {found_in[signal]} already"
            found_in[signal] = finding.id


def _hard_rules(table: CaseTable, rows: dict[str, SignalRow]) -> Iterator[tuple[str, str]]:
    lifts = dict[tuple[str, str], int]()
    for rule in table.alone:
        key = f"alone.{rule.signal}"
        if rule.signal not in rows:
            yield key, "no signal has this id"
            continue
        if not rows[rule.signal].levels[SEVERITIES.index(rule.at)]:
            yield key, f"alone_{rule.at}: the signal has no level {rule.at}"
        if (rule.signal, rule.at) in lifts:
            yield key, f"alone_{rule.at}: stands twice"
        lifts[rule.signal, rule.at] = SEVERITIES.index(rule.level)
    for signal in rows:
        levels = [lifts[signal, at] for at in SEVERITIES if (signal, at) in lifts]
        if levels != sorted(levels):
            yield f"alone.{signal}", "a graver level of the signal lifts its case less than one below it"


def _padded(numbers: Iterable[int]) -> npt.NDArray[np.int32]:
    """Return the numbers, the last one repeated up to CLAIM_ANCHORS."""
    found = list(numbers)
    return np.array(found + found[-1:] * (CLAIM_ANCHORS - len(found)), np.int32)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
