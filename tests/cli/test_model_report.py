"""`xinliu model report` over real topics: the newest month on the terminal, a page and JSON in a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cli.model_report import NUMBERS, PAGE
from config.settings import ClickHouseSettings
from detectors.snapshot import SCORE, Reference
from domain import topics
from replay.model_report.report import Report
from sinks.artefacts import publish
from sinks.clickhouse import connect, migrate, target_of
from sinks.clickhouse.tables import SCORE_NOW
from sinks.kafka import Outbox
from tests.brokers import make_topics
from tests.cli.conftest import Engine
from tests.cli.kit import settings_file
from tests.dashboard.test_questions import score, store
from tests.detectors.snapshots import wide
from tests.model_months import FIRST_MONTH, months


@pytest.mark.usefixtures("engine")
def test_before_any_month_the_report_says_so_and_after_some_it_has_them(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    assert called("model", "report")[:2] == (0, "No month has been learned yet.\n")
    said = months(3)
    outbox = Outbox(engine.settings.kafka.bootstrap)
    for body in (
        *map(msgspec.json.encode, said),
        b'{"type":"of a newer engine"}',
        b'{"type":"\xff"}',
        msgspec.json.encode(said[1]),
    ):
        outbox.send(topics.MODEL_REPORT, body)
    outbox.drain()
    code, out, err = called("model", "report", "--out", tmp_path / "made" / "here")
    assert code == 0
    assert out.splitlines()[0].startswith("2023-07  matured labels: good ")
    assert [line.split()[0] for line in out.splitlines()[2:-1]] == ["champion", "prior", "as_scored", "amf", "hat"]
    assert err.count(topics.MODEL_REPORT) == 2, "what cannot be read is told"
    page, numbers = ((tmp_path / "made" / "here" / name).read_bytes() for name in (PAGE, NUMBERS))
    assert page.startswith(b"<!doctype html>")
    report = msgspec.json.decode(numbers, type=Report)
    assert report.newest == said[-1]
    assert [one.month for one in report.months] == ["2023-05", "2023-06", "2023-07"]
    code, out, _ = called("model", "report", "--json")
    assert (code, json.loads(out)) == (0, json.loads(numbers))
    code, out, _ = called("model", "report", lang="zh_CN.UTF-8")
    assert "到期标签" in out


def test_scores_of_others_are_compared_where_there_is_an_archive(
    engine: Engine, called: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the population of the model in force, which made those scores, not with that of learn's newest."""
    control = "control.of.model.report"
    make_topics(AdminClient({"bootstrap.servers": engine.settings.kafka.bootstrap}), NewTopic(control, 1, 1))
    monkeypatch.setattr(topics, "CONTROL", control)
    reference = Reference(edges_micro=(500_000_000,), shares_ppm=(500_000, 500_000), null_ppm=0)
    champion = msgspec.structs.replace(wide(), reference={SCORE: reference}).encode()
    outbox = Outbox(engine.settings.kafka.bootstrap)
    model_id = publish(outbox, topics.MODEL, champion)
    other = Reference(edges_micro=(490_000_000,), shares_ppm=(500_000, 500_000), null_ppm=0)
    newest = publish(outbox, topics.MODEL, msgspec.structs.replace(wide(), reference={SCORE: other}).encode())
    later = msgspec.structs.replace(months(1)[0], month=FIRST_MONTH + 99, model_id=newest)
    outbox.send(topics.MODEL_REPORT, msgspec.json.encode(later))
    outbox.drain()
    code, out, err = called("model", "report")
    assert (code, "PSI of scores" in out) == (0, False)
    assert "scores of others are not compared: the model in force, the packaged one, has no population" in err
    assert called("model", "accept", model_id[:8], "--by", "li", "--reason", "r")[0] == 0
    code, out, err = called("model", "report")
    assert (code, "PSI of scores" in out) == (0, False)
    assert "scores of others are not compared: [clickhouse]: " in err
    archive = msgspec.structs.replace(engine.settings, clickhouse=ClickHouseSettings(url=f"chdb://{tmp_path / 'chdb'}"))
    db = connect(target_of(archive.clickhouse))
    migrate(db)
    store(db, SCORE_NOW, score(512), score(495, enterprise_id="other"))
    db.close()
    code, out, err = called("--config", str(settings_file(tmp_path, archive)), "model", "report")
    assert code == 0, err
    assert "PSI of scores, others (2): 0.000" in out
    assert "PSI of scores, with a loan open (0): –" in out


def test_a_folder_that_cannot_be_written_is_one_line(called: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = called("model", "report", "--out", tmp_path / "file")
    assert code == 1
    assert err.splitlines()[-1].startswith(f"xinliu model: {tmp_path / 'file'}")
