"""Numbers as people write them: one formatter for each kind of `config/wording.csv` and language.

Only shares and changes are per cent, changes with their direction; a multiple is written as one. A value at the cap of
its formula is marked as capped.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from config.disclosure import bands
from config.wordings import Wording, wordings
from domain.language import Lang, Words

NOT_COMPUTABLE = Words("不可计算", "not computable")
_UNCHANGED = Words("持平", "unchanged")
_DIRECTIONS: Mapping[Lang, tuple[str, ...]] = {"zh": ("降", "增", "升"), "en": ("down ", "up ")}
_SHARE_MIN = 0.01  # of its usual value, below which an amount in whole fen and millionths does not tell that value
_DECIMALS_MORE = 5  # at most so many more, to tell a value from the line that it stands against
_WITHOUT_SIGN = frozenset({"cny", "cny_per_day"})  # kinds whose bands are of the size alone


def name(number: str, lang: Lang) -> str:
    """Return the name of an indicator, a number of the context, a flag or an event; its id where it is unknown."""
    return wordings()[number].name.to(lang) if number in wordings() else number


def value_text(number: str, value: float | None, lang: Lang, *, beside: Collection[float] = ()) -> str:
    """Return a value in its unit, with as many decimals as it takes to tell it from the thresholds in `beside`."""
    if value is None:
        return NOT_COMPUTABLE.to(lang)
    if number not in wordings():
        return f"{value:g}"  # of another catalogue
    says = wordings()[number]
    if says.most is not None and value >= says.most:
        cap = line_text(number, says.most, lang)
        return f"{cap}以上" if lang == "zh" else f"{cap} or more"
    return _said(says, value, _decimals(says, value, beside), lang)


def line_text(number: str, line: float, lang: Lang) -> str:
    """Return a threshold in the unit of its number, with the decimals that it has."""
    says = wordings()[number]
    decimals = next((d for d in range(_DECIMALS_MORE) if _shown(says, line, d) == line), _DECIMALS_MORE)
    return _said(says, line, decimals, lang)


def line_beside(number: str, line: float, value: str, lang: Lang) -> str:
    """Return a threshold as it stands beside a value: without the direction of a change that the value has said."""
    said = line_text(number, line, lang)
    directions = _DIRECTIONS[lang] if number in wordings() and KINDS[wordings()[number].kind].is_change else ()
    same = next((each for each in directions if value.startswith(each) and said.startswith(each)), "")
    return said.removeprefix(same)


def usual_value(number: str, value: float, amount: float) -> float | None:
    """Return the usual value that a change, or the whole that a share, sets an amount against.

    None where `value` is too small to tell: the amount is next to nothing.
    """
    by = 1.0 + value if KINDS[wordings()[number].kind].is_change else value
    return amount / by if by >= _SHARE_MIN else None


def band_zh(number: str, value: float | None) -> str | None:
    """Return the band of a number, for a bank that may not see it; None for null and for a kind without bands."""
    kind = wordings()[number].kind
    if value is None or kind not in bands():
        return None
    size = abs(value) if kind in _WITHOUT_SIGN else value
    band = next(band for band in bands()[kind] if band.below is None or size < band.below)
    return band.text.zh.format(wordings()[number].measure_zh)


def band_text(number: str, band: str, lang: Lang) -> str:
    """Return the band of a number, which alerts carry in Chinese, in a language; as it is where it is none of ours."""
    if lang == "zh" or number not in wordings():
        return band
    says = wordings()[number]
    return next((x.text.en for x in bands().get(says.kind, ()) if x.text.zh.format(says.measure_zh) == band), band)


def fact_text(number: str, value: str, lang: Lang) -> str:
    """Return a number's name and its value as text."""
    return f"{name(number, 'zh')}{value}" if lang == "zh" else f"{name(number, 'en')}: {value}"


def reason_text(indicator: str, value: float | None, baseline: float, lang: Lang, *, why: str = "") -> str:
    """Return one reason code of a score as text. `why`: why there is no value, in words."""
    said = value_text(indicator, value, lang)
    if why:
        said = f"{said}（{why}）" if lang == "zh" else f"{said} ({why})"
    median = value_text(indicator, baseline, lang)
    return fact_text(indicator, f"{said}，同业中位{median}" if lang == "zh" else f"{said}, peer median {median}", lang)


Formatter = Callable[[str, float, str], str]  # of the number as digits, the value itself and its measure word


class _Kind(NamedTuple):
    """The form of numbers of one kind. `percent`: as hundredths. `is_change`: with the direction before the size."""

    decimals: int
    zh: Formatter
    en: Formatter
    percent: bool = False
    is_change: bool = False


def _plain(template: str) -> Formatter:
    return lambda digits, _value, measure: template.format(digits, measure)


def _counted(one: str, many: str) -> Formatter:
    return lambda digits, _value, _measure: f"{digits} {one if digits == '1' else many}"


def _directed(down: str, up: str, unchanged: str) -> Formatter:
    """Return a formatter of changes: a template for a fall and one for a rise."""

    def said(digits: str, _value: float, _measure: str) -> str:
        size = digits.lstrip("-").removesuffix(".0")
        if not size.strip("0."):
            return unchanged
        return (down if digits.startswith("-") else up).format(size)

    return said


def _whole(formatter: Formatter) -> Formatter:
    return lambda digits, value, measure: formatter(digits.removesuffix(".0"), value, measure)


def _money_zh(_digits: str, value: float, _measure: str) -> str:
    if abs(value) < 1e4:
        return f"{value:z.0f}元"
    return f"{value / 1e8:z.2f}亿元" if abs(value) >= 1e8 else f"{value / 1e4:z.1f}".removesuffix(".0") + "万元"


def _money_en(digits: str, _value: float, _measure: str) -> str:
    return f"-CNY {digits[1:]}" if digits.startswith("-") else f"CNY {digits}"


_NUMBER = _Kind(2, _plain("{}"), _plain("{}"))
KINDS: Mapping[str, _Kind] = {
    "cny": _Kind(0, _money_zh, _money_en),
    "cny_per_day": _Kind(0, lambda *x: f"日均{_money_zh(*x)}", lambda *x: f"{_money_en(*x)} a day"),
    "share": _Kind(1, _whole(_plain("{}%")), _whole(_plain("{}%")), percent=True),
    "change": _Kind(
        1,
        _directed("降{}%", "增{}%", _UNCHANGED.zh),
        _directed("down {}%", "up {}%", _UNCHANGED.en),
        percent=True,
        is_change=True,
    ),
    "fall": _Kind(  # a change whose positive side is down
        1,
        _directed("增{}%", "降{}%", _UNCHANGED.zh),
        _directed("up {}%", "down {}%", _UNCHANGED.en),
        percent=True,
        is_change=True,
    ),
    "gap": _Kind(
        1,
        _directed("低{}个百分点", "高{}个百分点", _UNCHANGED.zh),
        _directed("{} percentage points lower", "{} percentage points higher", _UNCHANGED.en),
        percent=True,
    ),
    "percentile": _Kind(0, _plain("第{}百分位"), _plain("percentile {}"), percent=True),
    "multiple": _Kind(2, _plain("{}倍"), _plain("{}x")),
    "number": _NUMBER,
    "index": _NUMBER,
    "score": _NUMBER,
    "days": _Kind(1, _whole(_plain("{}天")), _whole(_counted("day", "days"))),
    "count": _Kind(0, _plain("{}{}"), _plain("{}")),
    "months": _Kind(0, _plain("{}个月"), _counted("month", "months")),
    "points": _Kind(0, _plain("{}分"), _counted("point", "points")),
    "points_change": _Kind(
        0,
        _directed("降{}分", "升{}分", _UNCHANGED.zh),
        _directed("down {} points", "up {} points", _UNCHANGED.en),
        is_change=True,
    ),
    "grades": _Kind(0, _plain("{}级"), _counted("grade", "grades")),
    "flag": _Kind(
        0,
        lambda _digits, value, _measure: "生效中" if value else "未生效",
        lambda _digits, value, _measure: "in force" if value else "not in force",
    ),
}


def _said(says: Wording, value: float, decimals: int, lang: Lang) -> str:
    kind = KINDS[says.kind]
    digits = f"{value * 100 if kind.percent else value:z,.{decimals}f}"
    if lang == "zh":
        return kind.zh(digits.replace(",", ""), value, says.measure_zh)
    return kind.en(digits, value, "")


def _decimals(says: Wording, value: float, beside: Collection[float]) -> int:
    least = KINDS[says.kind].decimals
    tries = range(least, least + _DECIMALS_MORE)
    return next(
        (d for d in tries if all(_side(_shown(says, value, d), x) == _side(value, x) for x in beside)), tries.stop
    )


def _side(value: float, line: float) -> int:
    return (value > line) - (value < line)


def _shown(says: Wording, value: float, decimals: int) -> float:
    """Return the number that people read from the text of a value, in the unit of the indicator."""
    if KINDS[says.kind].percent:
        return round(round(value * 100, decimals) / 100, decimals + 2)
    return round(value, decimals)
