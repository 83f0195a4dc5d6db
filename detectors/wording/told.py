"""The evidence of an alert in words: each number against its usual value and against the line that it crossed."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from config.wordings import wordings
from detectors.wording import phrases
from detectors.wording.conditions import thresholds
from detectors.wording.deadlines import day_ahead, day_text
from detectors.wording.numbers import KINDS, band_text, fact_text, line_beside, usual_value, value_text
from detectors.wording.revision import Revision
from domain.calendar import day_of
from domain.language import Lang, Words
from domain.outputs import Evidence, Severity

if TYPE_CHECKING:
    from detectors.rules.conditions import Signal  # with numba: too heavy for a command that prints sentences

MICRO = 1_000_000
SCORE = "score.points"  # evidence that is the alert's own score, which is told by itself
DUE = "next_instalment_days"
Crossed = Mapping[str, tuple[Severity, float]]


class Fact(NamedTuple):
    """One fact in words. `is_crossed`: with a line that it has crossed."""

    text: str
    is_crossed: bool


def facts_of(
    alert: Revision, left_out: Collection[str], signal: "Signal | None", crossed: Crossed, lang: Lang
) -> Iterator[Fact]:
    """Yield the evidence: a change or a share beside the number that it sets against a usual value, others alone."""
    beside = {} if signal is None else thresholds((*signal.levels, signal.hysteresis))
    shown = {each.name: each for each in alert.evidence if each.name not in left_out and each.name != SCORE}
    against = dict(usual_values(shown))
    for name, each in shown.items():
        if name in against:
            continue
        if each.band is not None:
            band = band_text(name, each.band, lang)
            beyond = line_text_of(name, band, crossed, lang, phrases.BEYOND)
            yield Fact(fact_text(name, band, lang) + beyond, name in crossed)
        elif each.value_micro is not None:
            compared = {other: usual for other, (of, usual) in against.items() if of == name}
            parts = [fact_text(name, _value(alert, each, crossed, beside.get(name, ()), lang), lang)]
            parts += [
                _set_against(shown[other], usual, crossed, beside.get(other, ()), lang)
                for other, usual in compared.items()
            ]
            text = ("，" if lang == "zh" else ", ").join(parts)
            yield Fact(text, not crossed.keys().isdisjoint((name, *compared)))


def line_text_of(name: str, value: str, crossed: Crossed, lang: Lang, words: Words = phrases.LINE) -> str:
    """Return the line that a number has crossed, in brackets; empty where it has crossed none.

    words: of a band `phrases.BEYOND`, since a line may lie within it.
    """
    if name not in crossed:
        return ""
    severity, line = crossed[name]
    return words.to(lang).format(phrases.LINES[severity].to(lang), line_beside(name, line, value, lang))


def usual_values(shown: Mapping[str, Evidence]) -> Iterator[tuple[str, tuple[str, float]]]:
    """Yield (number, (the number that it compares, the usual value of that one)) where both are told as numbers."""
    for name, each in shown.items():
        of = wordings()[name].usual_of if name in wordings() else ""
        amount = shown[of].value_micro if of in shown else None
        if each.value_micro is not None and amount is not None:
            usual = usual_value(name, each.value_micro / MICRO, amount / MICRO)
            if usual is not None:
                yield name, (of, usual)


def _value(alert: Revision, each: Evidence, crossed: Crossed, beside: Collection[float], lang: Lang) -> str:
    assert each.value_micro is not None
    name, number = each.name, each.value_micro / MICRO
    said = value_text(name, number, lang, beside=beside)
    said += line_text_of(name, said, crossed, lang)
    if each.value_micro < 0 and name in phrases.NEGATIVE:
        said += phrases.NEGATIVE[name].to(lang)
    if name == DUE:
        said += phrases.DUE_ON.to(lang).format(day_text(day_ahead(alert.as_of, number), day_of(alert.as_of - 1), lang))
    return said


def _set_against(each: Evidence, usual: float, crossed: Crossed, beside: Collection[float], lang: Lang) -> str:
    assert each.value_micro is not None
    says = wordings()[each.name]
    value = value_text(each.name, each.value_micro / MICRO, lang, beside=beside)
    value += line_text_of(each.name, value, crossed, lang)
    template = phrases.AGAINST if KINDS[says.kind].is_change else phrases.SHARE_OF
    against = says.usual.to(lang).format(value_text(says.usual_of, usual, lang))
    return template.to(lang).format(usual=against, value=value)
