"""Sentences as the pages get them: in both languages, text from outside with its unseen characters written out."""

from detectors.wording.numbers import reason_text
from detectors.wording.revision import Revision
from domain.language import LANGS
from domain.printable import printable
from streams.sentences import Sentences


def alert_texts(sentences: Sentences, alert: Revision) -> dict[str, dict[str, str]]:
    """Return by language the title, text, action, name and state of one revision."""
    return {
        lang: {part: printable(text) for part, text in sentences.of(alert, lang)._asdict().items()} for lang in LANGS
    }


def reason_texts(indicator: str, value: float | None, baseline: float) -> dict[str, str]:
    """Return one reason code of a score by language."""
    return {lang: printable(reason_text(indicator, value, baseline, lang)) for lang in LANGS}
