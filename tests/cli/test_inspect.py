"""`xinliu inspect`: its numbers add up, equal score's output, and have a reason where one is missing."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.inspect import STATUS
from config.case_table import packaged_case_table
from config.settings import ClickHouseSettings, RedisSettings
from detectors.scorecard import STATUS_NAMES
from detectors.snapshot import content_id
from detectors.wording.phrases import REASONS
from domain import topics
from domain.calendar import date_of
from domain.outputs import GROUPS, Alert, Indicators, Score
from features.indicators import CORE
from features.indicators.nulls import NULL_NAMES
from sinks.clickhouse import connect, migrate, target_of
from sinks.clickhouse.tables import INDICATOR, SCORE
from sinks.kafka import Outbox
from tests.cli.conftest import BANKS, PARTITIONS, Engine
from tests.cli.kit import settings_file
from tests.detectors.snapshots import wide
from tests.reading import read
from tests.sinks.kit import read as records
from tests.streams.score.kit import BANK


def newest_scores(engine: Engine) -> dict[str, Score]:
    """By enterprise, the score record with the highest coordinates."""
    found: dict[str, Score] = {}
    for record in read(engine.settings.kafka.bootstrap, topics.SCORE):
        score = msgspec.json.decode(record.value or b"", type=Score)
        before = found.get(score.enterprise_id)
        if before is None or (score.offset, score.seq) > (before.offset, before.seq):
            found[score.enterprise_id] = score
    return found


def open_alerts(engine: Engine) -> dict[str, Alert]:
    """By episode, the newest revision for the supervisor, of those that have not ended."""
    newest: dict[str, Alert] = {}
    for record in read(engine.settings.kafka.bootstrap, topics.ALERT_SUPERVISOR):
        alert = msgspec.json.decode(record.value or b"", type=Alert)
        if alert.alert_id not in newest or alert.revision > newest[alert.alert_id].revision:
            newest[alert.alert_id] = alert
    return {name: one for name, one in newest.items() if one.state not in ("cleared", "ended", "retracted", "closed")}


def test_the_parts_add_up_to_the_score_that_is_stored_and_was_sent(engine: Engine, called: Callable[..., Any]) -> None:
    sent = newest_scores(engine)
    assert len(sent) == 6
    for name, record in sent.items():
        code, out, err = called("inspect", name, "--json")
        assert code == 0, err
        seen = json.loads(out)
        assert set(seen["groups_milli"]) == set(GROUPS)
        assert seen["score_milli"] == 400_000 + sum(seen["groups_milli"].values()) + seen["cap_milli"]
        assert seen["score_milli"] == seen["stored_milli"], "the same code, the same state, the same model"
        points = [one["points_milli"] for one in seen["indicators"] if one["points_milli"] is not None]
        assert sum(points) == sum(seen["groups_milli"].values())
        if seen["as_of_ms"] == record.as_of:
            assert (seen["groups_milli"], seen["cap_milli"]) == (record.groups_milli, record.cap_milli)
            assert [one["indicator"] for one in seen["reasons"]] == [one.indicator for one in record.reason_codes]
            assert [one["points_milli"] for one in seen["reasons"]] == [one.points_milli for one in record.reason_codes]
        for indicator in seen["indicators"]:
            assert (indicator["value"] is None) == bool(indicator["null"]), indicator


def archived(engine: Engine, folder: Path, *, model_id: str | None = None) -> Path:
    """Store the engine's scores and indicators in an archive; return settings that name it.

    model_id: the model that the stored scores then name.
    """
    settings = msgspec.structs.replace(engine.settings, clickhouse=ClickHouseSettings(url=f"chdb://{folder / 'chdb'}"))
    db = connect(target_of(settings.clickhouse))
    migrate(db)
    for table, topic, kind in ((SCORE, topics.SCORE, Score), (INDICATOR, topics.INDICATOR, Indicators)):
        rows: list[tuple[int, Any]] = []
        for record in read(engine.settings.kafka.bootstrap, topic):
            value = msgspec.json.decode(record.value or b"", type=kind)
            if model_id is not None and isinstance(value, Score):
                value = msgspec.structs.replace(value, model_id=model_id)
            rows.append((record.offset, value))
        now_ms = int(time.time() * 1_000)
        db.insert(table.insert(table.rows(records(topic, rows, time_ms=now_ms)), f"t:{table.name}"))
    db.close()
    return settings_file(folder, settings)


@pytest.mark.parametrize("is_switched", [False, True])
def test_what_moved_a_score_since_a_day_adds_up_also_over_a_switch(
    engine: Engine, called: Callable[..., Any], tmp_path: Path, is_switched: bool
) -> None:
    if is_switched:  # as if the scores of then had been another model's
        body = wide().encode()
        outbox = Outbox(engine.settings.kafka.bootstrap)
        outbox.send(topics.MODEL, body, key=content_id(body).encode())
        outbox.drain()
    config = archived(engine, tmp_path, model_id=content_id(wide().encode()) if is_switched else None)
    closes = [
        msgspec.json.decode(each.value or b"", type=Indicators)
        for each in read(engine.settings.kafka.bootstrap, topics.INDICATOR)
    ]
    moved_at_all = 0
    for name in newest_scores(engine):
        days = sorted(each.day for each in closes if each.enterprise_id == name)
        day = days[len(days) // 2]
        code, out, err = called("inspect", name, "--since", str(date_of(day)), "--json", config=config)
        assert code == 0, err
        seen = json.loads(out)
        moved = seen["moved"]
        assert moved["day"] == day
        lines = {line["what"]: line["points_milli"] for line in moved["deltas"]}
        assert moved["before_milli"] + sum(lines.values()) == seen["score_milli"]
        assert set(lines) <= {*CORE, "model", "cap", "rest"}
        if is_switched:
            assert lines["model"]
        else:
            assert "model" not in lines
            assert abs(lines.get("rest", 0)) <= len(CORE), "no null of that day had a last utility under 0.35"
        moved_at_all += bool(set(lines) & set(CORE))
        page = called("inspect", name, "--since", str(date_of(day)), config=config)[1]
        column = page[page.index("what moved it since") :].split("\n\n")[0]
        parts = [float(n) for n in re.findall(r"^  +([+-]?\d+\.\d{3})  ", column, re.M)]
        assert abs(sum(parts[:-1]) - parts[-1]) < 1e-6, column
    assert moved_at_all


def test_a_day_before_all_scores_and_a_wrong_day_are_named(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    code, out, err = called("inspect", "E1", "--since", "1999-12-31", config=archived(engine, tmp_path))
    assert (code, out) == (1, "")
    assert "E1 on 1999-12-31 or before" in err
    assert called("inspect", "E1", "--since", "31.12.1999")[0] == 2


def test_a_clickhouse_that_does_not_answer_is_exit_code_1(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    away = msgspec.structs.replace(
        engine.settings, clickhouse=ClickHouseSettings(url="clickhouse://default@127.0.0.1:1/xinliu")
    )
    code, _, err = called("inspect", "E1", "--since", "2024-05-31", config=settings_file(tmp_path, away))
    assert (code, "[clickhouse]" in err) == (1, True)


def test_open_episodes_are_those_of_the_alerts_that_have_not_ended(engine: Engine, called: Callable[..., Any]) -> None:
    wanted = {(one.enterprise_id, one.signal, one.severity, one.opened_at) for one in open_alerts(engine).values()}
    assert wanted, "the log has collapses"
    shown = set()
    for name in {one[0] for one in wanted}:
        for episode in json.loads(called("inspect", name, "--json")[1])["episodes"]:
            shown.add((name, episode["signal"], episode["severity"], episode["opened_ms"]))
    assert shown == wanted


def test_a_person_reads_it_in_either_language(engine: Engine, called: Callable[..., Any]) -> None:
    code, chinese, _ = called("inspect", "E1", lang="zh_CN.UTF-8")
    assert code == 0
    for word in ("底分", "资金规模", "还款能力", "合计", "指标", "未解除的预警", "贷款", "L-E1", "记录：入账"):
        assert word in chinese, word
    for column in chinese.split("案件（"):
        parts = [float(n) for n in re.findall(r"^  +([+-]?\d+\.\d{3})  ", column, re.M)]
        assert abs(sum(parts[:-1]) - parts[-1]) < 1e-6, "the column adds up"
    code, english, _ = called("inspect", "E1")
    assert (code, "floor" in english, "together" in english, BANK in english) == (0, True, True, True)


def test_a_case_is_explained_as_its_reader_was_told(engine: Engine, called: Callable[..., Any]) -> None:
    table = packaged_case_table().table
    told = {one.enterprise_id: one for one in open_alerts(engine).values() if one.case_id}
    assert told, "the log has cases"
    for name, alert in told.items():
        case = json.loads(called("inspect", name, "--json")[1])["case"]
        assert case["logit_milli"] == case["intercept_milli"] + sum(line["points_milli"] for line in case["lines"])
        assert case["cutoffs_milli"] == msgspec.to_builtins(table.cutoffs_milli)
        assert {line["name"] for line in case["lines"]} == {
            *(one.signal for one in open_alerts(engine).values() if one.enterprise_id == name),
            "score.points", "score.delta_30d",
        }  # fmt: skip
        if case["severity"] is not None:
            assert case["case_id"] == alert.case_id
    for bank in BANKS:
        code, out, err = called("inspect", name, "--bank", bank.name_zh)
        assert (code, f"case ({bank.name_zh} {bank.bank_id})" in out or f"no loan to {name}" in err) == (code, True)
    assert called("inspect", name, "--bank", "nobody")[0] == 2
    assert "cut-offs: yellow" in called("inspect", name)[1]


def test_numbers_and_open_episodes_are_in_the_readers_language(engine: Engine, called: Callable[..., Any]) -> None:
    names = {one.enterprise_id for one in open_alerts(engine).values()}
    held = 0
    for name in sorted(names):
        _, english, _ = called("inspect", name)
        _, chinese, _ = called("inspect", name, lang="zh_CN.UTF-8")
        own = re.compile("|".join(bank.name_zh for bank in BANKS))
        assert not re.search("[\u4e00-\u9fff]", own.sub("", english)), english
        assert "ratio:" not in english.replace("_ratio:", ""), "no raw unit"
        for text, multiple in ((english, r"dscr_12m_ratio: .*%"), (chinese, r"dscr_12m_ratio: .*%")):
            assert not re.search(multiple, text)
        for episode in json.loads(called("inspect", name, "--json")[1])["episodes"]:
            assert episode["sentences"]["en"] in english
            assert episode["sentences"]["zh"] in chinese
            assert episode["names"]["zh"] in chinese
            is_held = "触发条件已消失" in episode["sentences"]["zh"]
            assert is_held == ("the condition that raised it is gone; " in episode["sentences"]["en"])
            held += is_held
    print(f"{held} episodes held by their hysteresis")


def test_every_null_reason_has_a_text() -> None:
    assert set(NULL_NAMES) - {""} <= set(REASONS)
    assert set(STATUS) == set(STATUS_NAMES)


@pytest.mark.parametrize("name", ["E99", "\x1b[2J", "x:{0}:p"])
def test_an_enterprise_that_is_not_there_is_exit_code_1(called: Callable[..., Any], name: str) -> None:
    code, out, err = called("inspect", name)
    assert (code, out) == (1, "")
    assert "\x1b" not in err


def test_a_value_of_another_version_or_half_of_one_is_named(called: Callable[..., Any], engine_redis: Any) -> None:
    partition = next(p for p in range(PARTITIONS) if engine_redis.exists(f"x:{{{p}}}:h:E2"))
    key = f"x:{{{partition}}}:h:E2"
    value = engine_redis.get(key)
    engine_redis.set(key, b"old!" + value[4:])
    code, _, err = called("inspect", "E2")
    assert (code, "E2" in err, "this engine knows" in err) == (1, True, True)
    engine_redis.set(key, value[:9])
    assert called("inspect", "E2")[0] == 1


def test_a_redis_that_does_not_answer_is_exit_code_1(
    engine: Engine, called: Callable[..., Any], tmp_path: Any, redis_factory: Callable[..., Any]
) -> None:
    gone = redis_factory("gone")
    gone.stop()
    away = msgspec.structs.replace(engine.settings, redis=RedisSettings(url=gone.url, timeout_s=1.0))
    assert called("inspect", "E1", config=settings_file(tmp_path, away))[0] == 1
