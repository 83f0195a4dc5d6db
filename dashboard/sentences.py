"""Sentences for the pages: in both languages, with invisible characters of foreign text escaped."""

from collections.abc import Iterable
from typing import Any

from detectors.wording.alerts import signal_name
from detectors.wording.numbers import name, reason_text
from detectors.wording.revision import Revision
from domain.language import LANGS, Lang
from domain.printable import printable
from streams.sentences import Sentences


def alert_shown(sentences: Sentences, alert: Revision, **more: Any) -> dict[str, Any]:
    """Return one revision for the pages, with the fields of `more`."""
    return {
        "id": alert.alert_id,
        "revision": alert.revision,
        "signal": alert.signal,
        "severity": alert.severity,
        "state": alert.state,
        "stock": alert.stock,
        "opened_ms": alert.opened_at,
        "as_of_ms": alert.as_of,
        "score": alert.score,
        "score_before": alert.score_before,
        "bank_count": len(alert.banks),
        "said": alert_texts(sentences, alert),
        "claim": claim_shown(alert, ((line.name, line.points_milli) for line in alert.case_lines or ())),
        **more,
    }


def claim_shown(alert: Revision, lines: Iterable[tuple[str, int]]) -> dict[str, Any] | None:
    """Return the claim of an alert's case for the pages, from (name, points) of its lines; None where it has none."""
    if not isinstance(alert.case_pd_12m_ppm, int):
        return None
    return {
        "severity": alert.case_severity,
        "pd_12m_ppm": alert.case_pd_12m_ppm,
        "lines": [
            {"said": {lang: printable(_name(name, lang)) for lang in LANGS}, "points_milli": points}
            for name, points in lines
            if points
        ],
    }


def _name(line: str, lang: Lang) -> str:
    known = name(line, lang)  # of what the score adds; its id where it is a signal
    return signal_name(line, None, lang) if known == line else known


def alert_texts(sentences: Sentences, alert: Revision) -> dict[str, dict[str, str]]:
    """Return title, text, action, name and state of one revision, by language."""
    return {
        lang: {part: printable(text) for part, text in sentences.of(alert, lang)._asdict().items()} for lang in LANGS
    }


def reason_texts(indicator: str, value: float | None, baseline: float) -> dict[str, str]:
    """Return the sentence of one reason code of a score, by language."""
    return {lang: printable(reason_text(indicator, value, baseline, lang)) for lang in LANGS}
