"""The case of an alert's reader in words: its level before and now, its claim, and its findings, one line each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from config.case_table import CaseTable
from config.wordings import signal_names
from detectors.wording import phrases
from detectors.wording.deadlines import DEADLINES, Deadline, day_text
from detectors.wording.revision import Revision
from domain.calendar import day_of
from domain.language import Lang, Words
from domain.outputs import SEVERITIES, CaseLine, Severity

PPM_A_PERCENT = 10_000


class Desk(NamedTuple):
    """Words of the rules about cases: the names of findings, and the deadlines of each level."""

    findings: Mapping[str, Words] = {}
    deadlines: Mapping[Severity, Deadline] = DEADLINES


DESK = Desk()


def desk_of(table: CaseTable | None) -> Desk:
    """Return what a case table says to readers; of rules that have none (xinliu.rules/1), only deadlines."""
    if table is None:
        return DESK
    by_level = {"yellow": table.deadlines.yellow, "orange": table.deadlines.orange, "red": table.deadlines.red}
    return Desk(
        findings={finding.id: Words(finding.name_zh, finding.name_en) for finding in table.findings},
        deadlines={level: Deadline(by_level[level].contact_days, by_level[level].visit_days) for level in SEVERITIES},
    )


def title_name(alert: Revision, desk: Desk, name: str, lang: Lang) -> str:
    """Return the name of a case: its first finding and how many there are; `name` where it has none open."""
    found = _findings(alert)
    if not found:
        return name
    first = _name(*found[0], desk, lang)
    return first if len(found) == 1 else _and_more(first, len(found), lang)


def claim(alert: Revision, desk: Desk, lang: Lang) -> Iterator[str]:
    """Yield the claim of a case and its findings."""
    found = _findings(alert)
    is_over = alert.case_state == "resolved"
    if is_over and not found:
        yield phrases.NONE_OPEN.to(lang)
    elif isinstance(alert.case_pd_12m_ppm, int):
        words = phrases.CLAIM_LOW if is_over else phrases.CLAIM
        yield words.to(lang).format(about(alert.case_pd_12m_ppm, lang))
    if is_of(alert, alert.signal):
        return  # the alert's own signal, which is told next
    today = day_of(alert.as_of - 1)
    more = phrases.AND_MORE.to(lang).format(len(found)) if len(found) > phrases.LINES_MAX else ""
    for number, (finding, lines) in enumerate(found[: phrases.LINES_MAX], 1):
        said = ("、" if lang == "zh" else ", ").join(_line(line, today, lang) for line in lines)
        if finding in desk.findings:
            said = phrases.FINDING.to(lang).format(desk.findings[finding].to(lang), said)
        yield said + more if number == phrases.LINES_MAX else said


def about(ppm: int, lang: Lang) -> str:
    """Return a probability as per cent: one decimal below ten, none from there on.

    >>> about(82_345, "en"), about(123_456, "zh"), about(400, "en")
    ('about 8.2%', '约12%', 'under 0.1%')
    """
    if ppm < PPM_A_PERCENT // 10:
        return phrases.LEAST.to(lang)
    value = ppm / PPM_A_PERCENT
    return phrases.ABOUT.to(lang).format(f"{value:.0f}%" if round(value, 1) >= 10 else f"{value:.1f}%")


def has_open(alert: Revision) -> bool:
    """Return whether a signal of the case is open."""
    return bool(_findings(alert))


def is_stale(alert: Revision) -> bool:
    """Return whether no open signal of the case can be told at present: then its deadlines wait."""
    return all(line.stale for line in _open_lines(alert))


def waits(alert: Revision) -> bool | None:
    """Return whether the alert's own signal only waits for its hysteresis; None where its case does not tell."""
    said = {line.waits is True for line in _open_lines(alert) if line.name == alert.signal}
    return said.pop() if len(said) == 1 else None


def has_only_watched(alert: Revision) -> bool:
    """Return whether all open signals of the case only wait for their hysteresis: then its deadlines wait."""
    lines = _open_lines(alert)
    return bool(lines) and all(line.waits is True for line in lines)


def is_of(alert: Revision, signal_id: str) -> bool:
    """Return whether a case has one signal open, that one."""
    return [line.name for line in _open_lines(alert)] == [signal_id]


def check_of(alert: Revision) -> str:
    """Return the signal whose check fits a revision: its own, or the one with the most points where that is over.

    So where its own only waits for its hysteresis, and others stand.
    """
    lines = _open_lines(alert)
    standing = [line.name for line in lines if line.waits is not True]
    is_over = alert.state in ("cleared", "ended", "retracted") or any(
        line.name == alert.signal and line.waits is True for line in lines if standing
    )
    return next(iter(standing or [line.name for line in lines]), alert.signal) if is_over else alert.signal


def _open_lines(alert: Revision) -> list[CaseLine]:
    """Return the open signals of a case, those of a finding together, in the order of their points."""
    return [line for _, lines in _findings(alert) for line in lines]


def _findings(alert: Revision) -> list[tuple[str, list[CaseLine]]]:
    """Return the open signals of a case by finding, in the order of their points; '' before one that is none."""
    lines: Sequence[CaseLine] = alert.case_lines or ()
    found: dict[str, tuple[str, list[CaseLine]]] = {}
    for line in lines:
        if line.severity is not None:
            found.setdefault(line.finding or line.name, (line.finding, []))[1].append(line)
    return list(found.values())


def _name(finding: str, lines: list[CaseLine], desk: Desk, lang: Lang) -> str:
    return desk.findings[finding].to(lang) if finding in desk.findings else _signal_name(lines[0].name, lang)


def _and_more(first: str, count: int, lang: Lang) -> str:
    return phrases.NAME_AND_MORE.to(lang).format(first, count if lang == "zh" else count - 1)


def _signal_name(signal_id: str, lang: Lang) -> str:
    return signal_names()[signal_id].to(lang) if signal_id in signal_names() else signal_id


def _line(line: CaseLine, today: int, lang: Lang) -> str:
    assert line.severity is not None
    level = (phrases.WATCH if line.waits is True else phrases.LEVEL_TAGS[line.severity]).to(lang)
    since = today if line.opened_at is None else day_of(line.opened_at - 1)
    words = phrases.STALE_LINE if line.stale else phrases.LINE_OF_CASE
    return words.to(lang).format(_signal_name(line.name, lang), level.lower(), day_text(since, today, lang))
