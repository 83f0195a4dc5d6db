"""`docs/topics.md` and `docs/topics.zh-CN.md`: what a subscriber needs to know of each topic and message."""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

from docs.generate.markdown import code, fill, table
from docs.generate.messages import STRUCTS, Topic, meaning_of, properties, topics
from domain.events import SCHEMA
from domain.outputs import AlertState

_UNITS = {
    "ms UTC": ("毫秒 UTC", "milliseconds since 1970-01-01 00:00 UTC", "自 1970-01-01 00:00 UTC 起的毫秒数"),
    "date": ("日期", "`YYYY-MM-DD`, a business day at UTC+8", "`YYYY-MM-DD`，北京时间的营业日"),
    "day number": ("日序号", "days since 1970-01-01 at UTC+8", "自 1970-01-01 起的天数（北京时间）"),
    "minor units": ("最小货币单位", "fen for CNY; always an integer", "人民币为分；一律为整数"),
    "10⁻⁶": ("百万分之一", "integer, divide by 1,000,000", "整数，除以 1000000"),
    "10⁻³ points": ("千分之一分", "integer, divide by 1,000 for points", "整数，除以 1000 得分值"),
    "token": ("代号", "a keyed hash in place of a personal identifier", "以带密钥的哈希代替个人标识"),
    "SHA-256": ("SHA-256", "64 hex digits", "64 位十六进制"),
    "base64": ("base64", "bytes as text", "以文本表示的字节"),
}
_PLAIN_UNITS = {
    "points": "分", "days": "天", "fen": "分（人民币）", "closes": "次日终", "months": "月", "bytes": "字节",
    "ISO 4217": "ISO 4217", "GB/T 4754": "GB/T 4754", "adcode": "行政区划代码", "": "",
}  # fmt: skip
_STATES: dict[str, tuple[str, str]] = {
    "raised": (
        "new; raised again within the cooldown (`reason` recurred); resumed after it was stale; or a line of an "
        "opening list (`stock`)",
        "新增；结束后在冷却期内再次触发（`reason` 为 recurred）；暂缓后恢复；或存量清单（`stock`）",
    ),
    "upgraded": ("its severity has risen", "级别上升"),
    "downgraded": ("its severity has fallen; it is still open", "级别下降，仍未解除"),
    "stale": (
        "held open while data is missing or a condition suppresses it; `reason` says which",
        "数据缺失或被抑制，暂缓判断，仍未解除；`reason` 说明原因",
    ),
    "cleared": ("over: its condition to clear was met", "解除：已满足解除条件"),
    "ended": (
        "over: it no longer applies, or the rules no longer have the signal",
        "终止：已不适用，或规则不再含该信号",
    ),
    "closed": ("no longer sent to this bank; the episode may go on", "停止推送给该行；持续期可能仍在"),
    "retracted": (
        "over: a reversal, a return or a record of before it that came late leaves none of its levels true; `reason` "
        "says which (corrected to a bank that did not send that record)",
        "撤回：因冲正、退回或首发前数据的补报，各级触发条件均不成立；`reason` 说明原因（对非报送行统一为 corrected）",
    ),
}
_SHAPES = {
    "string": "字符串", "integer": "整数", "number": "数", "boolean": "布尔", "null": "空", "list of": "列表：",
    "by key": "键值表：", "one of": "取值", "or": "或",
}  # fmt: skip


class Language(NamedTuple):
    """The differences between the two pages; `at` is the place of its text in a pair."""

    at: int
    template: str
    topic_head: tuple[str, ...]
    field_head: tuple[str, ...]
    state_head: tuple[str, ...]
    labels: dict[str, str]

    def word(self, english: str) -> str:
        """Return a word of a shape in this language."""
        return _SHAPES[english] if self.at else english

    def unit(self, unit: str) -> str:
        """Return the name of a unit in this language."""
        if unit in _UNITS:
            return _UNITS[unit][0] if self.at else unit
        return _PLAIN_UNITS[unit] if self.at else unit


ENGLISH = Language(
    0,
    "topics.md.in",
    ("topic", "purpose", "writers", "readers"),
    ("field", "type", "unit", "always", "meaning"),
    ("state", "meaning"),
    {"writers": "Writers", "readers": "Readers", "key": "Key", "headers": "Headers", "messages": "Messages",
     "kept": "Kept", "partitions": "Partitions", "days": "{} days", "ever": "for ever", "compact": "newest of each key",
     "yes": "yes", "log": "as many as the log", "none": "none", "no": ""},
)  # fmt: skip
CHINESE = Language(
    1,
    "topics.zh-CN.md.in",
    ("主题", "用途", "写者", "读者"),
    ("字段", "类型", "单位", "必有", "含义"),
    ("状态", "含义"),
    {"writers": "写者", "readers": "读者", "key": "键", "headers": "消息头", "messages": "消息", "kept": "保留",
     "partitions": "分区", "days": "{} 天", "ever": "永久", "compact": "每键最新一条", "yes": "是", "log": "与日志相同",
     "none": "无", "no": ""},
)  # fmt: skip


def page(language: Language) -> str:
    """Return the page in one language."""
    if odd := set(_STATES) ^ set(get_args(AlertState)):
        raise KeyError(f"states of an alert without a meaning here, or the reverse: {', '.join(sorted(odd))}")
    i = language.at
    return fill(
        language.template,
        {
            "schema": SCHEMA,
            "units": "\n".join(f"| {language.unit(unit)} | {texts[1 + i]} |" for unit, texts in _UNITS.items()),
            "summary": table(language.topic_head, (_summary(topic, language) for topic in topics())),
            "topics": "\n\n".join(_topic(topic, language) for topic in topics()),
            "states": table(language.state_head, ((code(state), texts[i]) for state, texts in _STATES.items())),
            "messages": "\n\n".join(_message(name, language) for name in STRUCTS),
        },
    )


def english() -> str:
    """Return the English page."""
    return page(ENGLISH)


def chinese() -> str:
    """Return the Chinese page."""
    return page(CHINESE)


def _summary(topic: Topic, language: Language) -> tuple[str, ...]:
    link = f"[`{topic.name}`](#{_anchor(topic.name)})"
    return link, topic.purpose[language.at], _parties(topic.writers), _parties(topic.readers)


def _topic(topic: Topic, language: Language) -> str:
    label, i = language.labels, language.at
    kept = label["ever"] if topic.retention_days < 0 else label["days"].format(topic.retention_days)
    if topic.cleanup == "compact":
        kept = label["compact"]
    partitions = label["log"] if topic.partitions == "log" else topic.partitions
    facts = [
        (label["writers"], _parties(topic.writers)),
        (label["readers"], _parties(topic.readers)),
        (label["key"], topic.key or label["none"]),
        (label["headers"], ", ".join(map(code, topic.headers)) or label["none"]),
        (label["partitions"], partitions),
        (label["kept"], kept),
        (label["messages"], ", ".join(f"[{name}](#{name.lower()})" for name in topic.messages) or label["none"]),
    ]
    if topic.value is not None:
        facts.append(("JSON Schema", f"[{topic.slug}.json](schemas/{topic.slug}.json)"))
    parts = [f"### {topic.name}", topic.purpose[i], topic.reading[i], table(("", ""), facts)]
    return "\n\n".join(part for part in parts if part)


def _message(name: str, language: Language) -> str:
    lines = []
    for field, shape, always in properties(name):
        meaning = meaning_of(name, field)
        text = meaning.chinese if language.at else meaning.english
        required = language.labels["yes" if always else "no"]
        lines.append((code(field), _shape(shape, language.word), language.unit(meaning.unit), required, text))
    return f"### {name}\n\n{table(language.field_head, lines)}"


def _shape(schema: dict[str, Any], word: Callable[[str], str]) -> str:
    """Return a schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return f" {word('or')} ".join(dict.fromkeys(_shape(one, word) for one in schema["anyOf"]))
    if "enum" in schema:
        return f"{word('one of')} {', '.join(code(str(one)) for one in schema['enum'])}"
    match schema.get("type"):
        case "array":
            items = schema.get("prefixItems") or [schema["items"]]
            return f"{word('list of')} {', '.join(dict.fromkeys(_shape(one, word) for one in items))}"
        case "object":
            return f"{word('by key')} {_shape(schema['additionalProperties'], word)}"
        case kind:
            return word(str(kind))


def _parties(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _anchor(heading: str) -> str:
    return "".join(c for c in heading.lower() if c.isalnum() or c in "-_ ").replace(" ", "-")
