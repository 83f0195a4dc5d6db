"""Say on one screen whether the engine is healthy, why not, and what to do.

It asks Kafka (topics, workers in their groups, offsets, the newest tick) and Redis (each partition's state); it may run
beside workers and changes nothing.

Example: xinliu --config site.toml status
For scripts: xinliu status --json

Exit codes: 0 healthy, 1 something is wrong (each line says what to do), 2 Kafka or Redis does not answer, or a wrong
setting.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cli import dates
from cli.numbers import seconds_of
from cli.words import complain, reason_of, say, span_text, time_text
from config.redaction import shown_url
from config.settings import Settings
from domain import topics
from domain.calendar import date_of, day_of, day_start_ms
from domain.printable import printable

if TYPE_CHECKING:
    from cli.engine_status import EngineStatus, RoleStatus  # with numba: too heavy for `xinliu --help`

ZH = """一屏说明引擎是否正常，为什么不正常，该做什么。

它询问 Kafka（主题、各组的工作进程、位点、最新的时钟记录）和 Redis（各分区的状态）；可以在运行中使用，不改动任何东西。

例：xinliu --config site.toml status
给脚本用：xinliu status --json

退出码：0 正常，1 有问题（每一条都写着该做什么），2 Kafka 或 Redis 没有应答，或设置有误。
"""
COVERAGE_BEHIND_DAYS_MAX = 2
_NAMED_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem and its remedy, in both languages."""

    id: str
    what: tuple[str, str]
    do: tuple[str, str]
    weight: Literal["wrong", "note"] = "wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how long to look where records wait, and the form of the output."""
    parser.add_argument(
        "--look-s",
        type=seconds_of,
        default=3.0,
        metavar="S",
        help=say(
            "有积压时看几秒，判断是否在前进（缺省 3）",
            "where records wait, look for so long whether they move (default 3)",
        ),
    )
    parser.add_argument("--json", action="store_true", help=say("输出一个 JSON 对象", "one JSON object"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Ask, judge, print."""
    import redis
    from confluent_kafka import KafkaException

    from cli.engine_status import take_status
    from sinks.artefacts import ArtefactMissing
    from sinks.redis_store import opened

    where = shown_url(settings.redis.url)
    try:
        with opened(settings.redis) as client:
            client.ping()
            where = settings.kafka.bootstrap
            engine = take_status(settings, client, look_s=args.look_s)
    except redis.RedisError as error:
        return _unreachable(args, "redis", f"Redis {where}: {error}")
    except (KafkaException, ArtefactMissing, TimeoutError) as error:
        return _unreachable(args, "kafka", f"Kafka {where}: {reason_of(error)}")
    problems = list(judge(engine, settings))
    wrong = [one for one in problems if one.weight == "wrong"]
    if args.json:
        print(printable(msgspec.json.encode(_document(engine, problems)).decode()))
    else:
        for line in _screen(engine, problems, settings):
            print(printable(line))
    return 1 if wrong else 0


def judge(engine: EngineStatus, settings: Settings) -> Iterator[Problem]:
    """Yield everything that is wrong or worth a note, the worst first."""
    yield from _topics(engine)
    yield from _redis(engine)
    yield from _log(engine)
    yield from _workers(engine)
    yield from _engines(engine)
    yield from _paused(engine)
    yield from _feeds(engine, settings)
    yield from _tables(engine)


def _topics(engine: EngineStatus) -> Iterator[Problem]:
    for one in engine.wrong_topics[:_NAMED_MAX]:
        if one.what == "exists":
            what = (f"缺少主题 {one.topic}", f"topic {one.topic} is missing")
            do = ("运行 xinliu topics create", "run xinliu topics create")
        else:
            what = (f"主题 {one.topic} 的 {one.what} 是 {one.found}，应为 {one.wanted}", str(one))
            do = (
                "用 xinliu topics check 核对后在 Kafka 上改正；分区数不能改",
                "compare with xinliu topics check and set it right in Kafka; a number of partitions cannot be changed",
            )
        yield Problem(id="topic", what=what, do=do)


def _redis(engine: EngineStatus) -> Iterator[Problem]:
    redis = engine.redis
    if redis.policy != "noeviction":
        yield Problem(
            id="redis_policy",
            what=(
                f"Redis 的 maxmemory-policy 是 {redis.policy}，会悄悄删掉状态",
                f"Redis' maxmemory-policy is {redis.policy}: it drops state in silence",
            ),
            do=("改为 noeviction", "set it to noeviction"),
        )
    if redis.most and redis.used > 0.9 * redis.most:
        yield Problem(
            id="redis_full",
            what=(
                f"Redis 内存已用 {redis.used / redis.most:.0%}，满了会拒写",
                f"Redis uses {redis.used / redis.most:.0%} of its memory; when full it refuses writes",
            ),
            do=("加大 maxmemory；不要删键", "raise maxmemory; delete no keys"),
        )


def _log(engine: EngineStatus) -> Iterator[Problem]:
    for number, one in engine.partitions.items():
        if one.state is None:
            continue
        low = one.state.low_offset
        if low < one.begin:
            yield Problem(
                id="retention",
                what=(
                    f"events.v1[{number}] 只保留到 {one.begin}，Redis 停在 {low}：中间的没有了",
                    f"events.v1[{number}] begins at {one.begin}, Redis stands at {low}: what lies between is gone",
                ),
                do=(
                    "不要启动 score；恢复日志的备份，或按运维手册「工作进程」清空状态重算",
                    "do not start score; restore the log, or recompute as docs/运维手册/工作进程.md says",
                ),
            )
        elif low > one.end:
            yield Problem(
                id="log_lost",
                what=(
                    f"Redis 已到 events.v1[{number}] 的位点 {low}，日志却只到 {one.end}：日志丢了尾巴或换了一份",
                    f"Redis stands at {low} of events.v1[{number}], which ends at {one.end}: its tail was lost",
                ),
                do=(
                    "核对 Kafka 是否从旧备份恢复；恢复完整的日志前不要启动 score",
                    "see whether Kafka came back from a backup; start no score before the log is whole",
                ),
            )


def _workers(engine: EngineStatus) -> Iterator[Problem]:
    for role, one in engine.roles.items():
        if not one.workers:
            lag = f"，{one.lag:,} 条待处理" if one.lag else ""
            yield Problem(
                id=f"no_worker_{role}",
                what=(
                    f"没有 {role} 工作进程在运行{lag}",
                    f"no worker runs {role}" + (f"; {one.lag:,} records wait" if one.lag else ""),
                ),
                do=(f"启动它：xinliu worker {role}", f"start it: xinliu worker {role}"),
            )
        elif one.lag and not one.moved and not (role == "ingest" and engine.paused):  # what waits is a paused feed's
            yield Problem(
                id=f"stands_{role}",
                what=(
                    f"{role} 有 {one.lag:,} 条待处理，{engine.looked_s:.0f} 秒没有前进",
                    f"{role} has {one.lag:,} records to do and did none in {engine.looked_s:.0f} s",
                ),
                do=(
                    f"看 {role} 的日志最后几行，和它的 /ready",
                    f"see the last lines of {role}'s log, and its /ready",
                ),
            )


def _engines(engine: EngineStatus) -> Iterator[Problem]:
    handed_on = _engines_of(engine)[1]
    total = sum(handed_on.values())
    for name, count in sorted(handed_on.items()):
        yield Problem(
            id="engine_handed_on",
            what=(
                f"{count}/{len(engine.partitions)} 个分区已停在切换到引擎 {name} 的控制记录上",
                f"{count} of {len(engine.partitions)} partitions stand at the record that hands them to engine {name}",
            ),
            do=(
                f"启动引擎 {name} 的 score（旧的会自行停下）",
                f"start score of engine {name}; workers of the former one stop by themselves",
            )
            if total == len(engine.partitions)
            else (
                "让旧引擎的 score 继续运行，直到所有分区都停在那里",
                "let score of the former engine run until all partitions stand there",
            ),
            weight="note",
        )


def _engines_of(engine: EngineStatus) -> tuple[Counter[str], Counter[str]]:
    """Return the number of partitions by the engine of their state, and by the engine that they are handed to."""
    states = [one.state for one in engine.partitions.values() if one.state is not None]
    return (
        Counter(state.engine_version for state in states if state.engine_version),
        Counter(state.next_engine for state in states if state.next_engine),
    )


def _paused(engine: EngineStatus) -> Iterator[Problem]:
    for (topic, _), batch in engine.paused.items():
        feed = topics.bank_of(topic) or topic
        yield Problem(
            id="feed_paused",
            what=(
                f"{topic} 停在位点 {batch.offset}（{batch.reason}）：{batch.detail}",
                f"{topic} is paused at offset {batch.offset} ({batch.reason}): {batch.detail}",
            ),
            do=(
                f"看是什么：xinliu feed list；然后 xinliu feed resume {feed} 或 xinliu feed skip {feed}",
                f"see what it is: xinliu feed list; then xinliu feed resume {feed} or xinliu feed skip {feed}",
            ),
        )
    if passed := engine.quarantined - len(engine.paused):
        yield Problem(
            id="quarantined",
            what=(
                f"quarantine.v1 里有 {passed} 处已跳过或已读出",
                f"quarantine.v1 holds {passed} batches or records passed",
            ),
            do=("看是什么：xinliu feed list", "see which: xinliu feed list"),
            weight="note",
        )


def _feeds(engine: EngineStatus, settings: Settings) -> Iterator[Problem]:
    up_to_ms, names = engine.up_to_ms, {bank.bank_id: bank.name_zh for bank in settings.banks}
    if up_to_ms is None:
        if any(one.end for one in engine.partitions.values()):
            yield Problem(
                id="no_tick",
                what=("日志里没有时钟记录，企业不会日终", "the log holds no tick: no day closes"),
                do=("看 ingest 的日志：哪个进程拿着 control.v1", "see ingest's log: which worker has control.v1"),
            )
        return
    for bank_id, feed in engine.feeds.items():
        name = f"{names.get(bank_id, '')} {bank_id}".strip()
        if feed.stalled:
            last = "—" if feed.last_event_time is None else time_text(feed.last_event_time)
            yield Problem(
                id="feed_stalled",
                what=(f"{name} 数据中断，最近一笔 {last}", f"{name} has fallen silent, its newest event is of {last}"),
                do=(
                    "联系银行；期间主要流水在该行的企业暂缓判断",
                    "ask the bank; signals on enterprises that bank there are held meanwhile",
                ),
            )
        elif feed.covered_up_to is None or day_of(up_to_ms) - 1 - feed.covered_up_to > COVERAGE_BEHIND_DAYS_MAX:
            day = "—" if feed.covered_up_to is None else date_of(feed.covered_up_to).isoformat()
            yield Problem(
                id="coverage",
                what=(f"{name} 的日终回执只连续到 {day}", f"{name}'s receipts reach to {day} without a gap"),
                do=("请银行补发缺的那一天的回执", "ask the bank for the receipt of the missing day"),
                weight="wrong" if feed.covered_up_to is not None else "note",
            )


def _tables(engine: EngineStatus) -> Iterator[Problem]:
    for table, left in dates.ending(dict(engine.calendar_days_left)).items():
        weight: Literal["wrong", "note"] = "wrong" if left < 0 else "note"
        yield Problem(id="calendar", what=dates.what(table, left), do=dates.todo(table), weight=weight)
    if (opened := engine.backfill) is not None:
        yield Problem(
            id="backfill",
            what=(
                f"补录开着（{opened.author}：{opened.reason}），银行收不到预警",
                f"a backfill is open ({opened.author}: {opened.reason}): banks get no alerts",
            ),
            do=("历史读完后：xinliu backfill close", "when the history is read: xinliu backfill close"),
            weight="note",
        )
    if engine.dead_letters:
        yield Problem(
            id="dead_letters",
            what=(f"dlq.v1 里有 {engine.dead_letters:,} 条死信", f"dlq.v1 holds {engine.dead_letters:,} letters"),
            do=("看是什么：xinliu dlq list", "see which: xinliu dlq list"),
            weight="note",
        )
    if engine.late:
        yield Problem(
            id="late",
            what=(f"late.v1 里有 {engine.late:,} 条过迟的记录", f"late.v1 holds {engine.late:,} late records"),
            do=("看是什么：xinliu late list", "see which: xinliu late list"),
            weight="note",
        )


def _screen(engine: EngineStatus, problems: list[Problem], settings: Settings) -> Iterator[str]:
    wrong = [one for one in problems if one.weight == "wrong"]
    notes = [one for one in problems if one.weight == "note"]
    if wrong:
        yield say(f"不正常：{len(wrong)} 个问题", f"NOT HEALTHY: {len(wrong)} problems")
    else:
        yield say("正常", "healthy")
    which = 0 if say("zh", "en") == "zh" else 1
    for mark, some in (("✗", wrong), ("·", notes)):
        for one in some:
            yield f"  {mark} {one.what[which]}"
            yield f"      → {one.do[which]}"
    yield ""
    for role, found in engine.roles.items():
        yield "  " + _role_line(role, found, engine.looked_s)
    running = [one for one in engine.partitions.values() if one.state is not None]
    behind = sum(one.end - one.state.low_offset for one in running if one.state is not None)
    yield say(
        f"  Redis     {len(running)}/{len(engine.partitions)} 个分区有状态，离日志末尾 {behind:,} 条，"
        f"内存 {engine.redis.used / 2**20:,.0f} MiB",
        f"  Redis     {len(running)} of {len(engine.partitions)} partitions have state, {behind:,} records behind "
        f"the log, {engine.redis.used / 2**20:,.0f} MiB",
    )
    if owners := _engines_of(engine)[0]:
        listed = ", ".join(f"{name} × {count}" for name, count in sorted(owners.items()))
        yield say(f"  引擎      {listed}", f"  engine    {listed}")
    if engine.up_to_ms is not None:
        covered = [feed.covered_up_to for feed in engine.feeds.values() if feed.covered_up_to is not None]
        day = date_of(min(covered)).isoformat() if covered else "—"
        yield say(
            f"  事件时间  {time_text(engine.up_to_ms)}，{len(engine.feeds)} 家银行，回执最慢的到 {day}",
            f"  event time {time_text(engine.up_to_ms)}, {len(engine.feeds)} banks, receipts of all reach to {day}",
        )
    for kind, control in engine.in_force.items():
        yield say(
            f"  在用 {kind}  {(control.artefact_id or '')[:12]}（{control.author}：{control.reason}）",
            f"  {kind} in force: {(control.artefact_id or '')[:12]} ({control.author}: {control.reason})",
        )


def _role_line(role: str, one: RoleStatus, looked_s: float) -> str:
    workers = say(f"{one.workers} 个进程", f"{one.workers} worker{'' if one.workers == 1 else 's'}")
    if one.lag is None:
        return f"{role:<9} {workers}"
    rest = say(f"积压 {one.lag:,}", f"lag {one.lag:,}")
    if one.lag and one.moved and looked_s:
        left = span_text(one.lag / (one.moved / looked_s))
        rest += say(f"，照此速度还要 {left}", f", {left} to go at this pace")
    return f"{role:<9} {workers}  {rest}"


def _document(engine: EngineStatus, problems: list[Problem]) -> dict[str, Any]:
    return {
        "healthy": not any(one.weight == "wrong" for one in problems),
        "problems": [
            {"id": one.id, "weight": one.weight, "what": say(*one.what), "do": say(*one.do)} for one in problems
        ],
        "roles": {role: msgspec.to_builtins(one) for role, one in engine.roles.items()},
        "partitions": {
            str(number): {
                "begin": one.begin,
                "end": one.end,
                "low_offset": None if one.state is None else one.state.low_offset,
                "up_to": None if one.state is None else one.state.up_to,
                "backfill": one.state is not None and one.state.backfill,
                "model_id": None if one.state is None else one.state.model_id,
                "engine_version": None if one.state is None else one.state.engine_version,
                "next_engine": None if one.state is None else one.state.next_engine,
            }
            for number, one in engine.partitions.items()
        },
        "redis": msgspec.to_builtins(engine.redis),
        "up_to": engine.up_to_ms,
        "feeds": {
            bank_id: {
                "last_event_time": feed.last_event_time,
                "covered_until": None if feed.covered_up_to is None else day_start_ms(feed.covered_up_to + 1),
                "stalled": feed.stalled,
            }
            for bank_id, feed in engine.feeds.items()
        },
        "dead_letters": engine.dead_letters,
        "late": engine.late,
        "quarantined": engine.quarantined,
        "paused": [topic for topic, _ in engine.paused],
    }


def _unreachable(args: argparse.Namespace, which: str, text: str) -> int:
    if args.json:
        print(printable(msgspec.json.encode({"healthy": None, "unreachable": which, "why": text}).decode()))
    complain(
        "status",
        printable(text) + f"\n  → 先让它应答：地址在 [{which}]，xinliu config show 可看在用的设置",
        printable(text) + f"\n  → make it answer first; its address is in [{which}], see xinliu config show",
    )
    return 2
