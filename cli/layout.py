"""Print how the state of one enterprise is laid out: keys in Redis, a value's parts, every field with its unit.

It is the page docs/state-layout.md of this version, in Markdown. A value of another layout version is refused by name;
`xinliu layout` of the version that wrote it says what is in it.

Example: xinliu layout > state-layout.md

Exit codes: 0 printed; 2 wrong call.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from config.settings import Settings

if TYPE_CHECKING:
    from features.fields import Field  # with numba: too heavy for `xinliu --help`

ZH = """打印一户企业的状态是怎样存放的：Redis 的键，值的两部分，每个字段及其单位。

即本版本的 docs/state-layout.md（Markdown，英文）。别的布局版本的值会被指名拒绝；写它的那个版本的 `xinliu layout`
说明其中有什么。

例：xinliu layout > state-layout.md

退出码：0 已打印；2 用法有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing to what every verb has; no settings are read."""
    parser.set_defaults(settings_needed=False)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Print the page."""
    print(page(), end="")
    return 0


def page() -> str:
    """Return the page, from the tables of features/fields.py and sinks/redis_store.py."""
    return "\n".join((*_head(), *_keys(), *_value(), *_parts())) + "\n"


def _head() -> Iterator[str]:
    from features.layout import COLD_PART, HOT_PART, LAYOUT_VERSION, ROW

    yield "# The state of one enterprise"
    yield ""
    yield "Written by `xinliu layout` from the tables of the code; a test holds it to them. Do not edit it by hand."
    yield ""
    yield f"Layout version `{LAYOUT_VERSION:08x}`: a hash of the name, type, shape and part of every stored field. A"
    yield "value of another version is refused by name, never guessed at."
    yield ""
    hot, cold = HOT_PART.end - HOT_PART.begin, COLD_PART.end - COLD_PART.begin
    yield f"A row in memory takes {ROW.itemsize:,} bytes: {hot:,} of the hot part, {cold:,} of the cold one, and"
    yield f"{ROW.itemsize - hot - cold:,} that are not stored."


def _keys() -> Iterator[str]:
    from sinks.redis_store import KEYS

    yield from ("", "## Keys in Redis", "")
    yield "`x` stands for `[redis] key_prefix`, `{p}` for the partition in braces: in a Redis Cluster these are a hash"
    yield "tag, so that a partition's keys lie on one master. An enterprise is in the partition of `events.v1` where"
    yield "Kafka's default partitioner places its id. Every transaction watches the fence and moves it; every read"
    yield "brings it."
    yield ""
    yield from _table(("key", "holds"), ((f"`{key}`", what) for key, what in KEYS))


def _value() -> Iterator[str]:
    from features.values import HEADER_FIELDS

    yield from ("", "## A part of a value", "")
    yield "A header, little-endian, then the part's words as `features/codec.py` writes them (the difference from a row"
    yield "that was never touched; 32-bit words widened to 64), then what it holds of the records that were seen"
    yield "(`features/state/dedup.py`)."
    yield ""
    yield from _table(("header", "type", "meaning"), HEADER_FIELDS)


def _parts() -> Iterator[str]:
    from features.fields import FIELDS, VOLATILE
    from features.state.parts import COLD, HOT

    for title, fields in (
        ("Hot part: what any event may change", [field for field in FIELDS if field.part == HOT]),
        ("Cold part: what only a close, or an event of a closed day, changes", [f for f in FIELDS if f.part == COLD]),
        ("In memory only", VOLATILE),
    ):
        yield from ("", f"## {title}", "")
        yield from _table(("field", "type", "shape", "at first", "meaning"), (_row(field) for field in fields))


def _row(field: Field) -> tuple[str, ...]:
    import numpy as np

    from features.fields import INITIAL
    from features.state.buckets import NO_UNIT

    first = INITIAL.get(field.name, 0)
    shape = " × ".join(str(size) for size in field.shape)
    first_text = "NO_UNIT" if first == NO_UNIT else str(first)
    return f"`{field.name}`", np.dtype(field.dtype).name, shape, first_text, field.meaning


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
