"""Sentences for the pages: in both languages, with invisible characters of foreign text escaped."""

from typing import Any

from detectors.wording.numbers import reason_text
from detectors.wording.revision import Revision
from domain.language import LANGS
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
        **more,
    }


def alert_texts(sentences: Sentences, alert: Revision) -> dict[str, dict[str, str]]:
    """Return title, text, action, name and state of one revision, by language."""
    return {
        lang: {part: printable(text) for part, text in sentences.of(alert, lang)._asdict().items()} for lang in LANGS
    }


def reason_texts(indicator: str, value: float | None, baseline: float) -> dict[str, str]:
    """Return the sentence of one reason code of a score, by language."""
    return {lang: printable(reason_text(indicator, value, baseline, lang)) for lang in LANGS}
