"""`xinliu model report` over real topics: the newest month on the terminal, a page and JSON in a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.model_report import NUMBERS, PAGE
from domain import topics
from replay.model_report.report import Report
from sinks.kafka import Outbox
from tests.cli.conftest import Engine
from tests.model_months import months


@pytest.mark.usefixtures("engine")
def test_before_any_month_the_report_says_so_and_after_some_it_has_them(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    assert called("model", "report")[:2] == (0, "No month has been learned yet.\n")
    said = months(3)
    outbox = Outbox(engine.settings.kafka.bootstrap)
    for body in (*map(msgspec.json.encode, said), b'{"type":"of a newer engine"}', msgspec.json.encode(said[1])):
        outbox.send(topics.MODEL_REPORT, body)
    outbox.drain()
    code, out, err = called("model", "report", "--out", tmp_path / "made" / "here")
    assert code == 0
    assert out.splitlines()[0].startswith("2023-07  matured labels: good ")
    assert [line.split()[0] for line in out.splitlines()[2:-1]] == ["champion", "prior", "as_scored", "amf", "hat"]
    assert topics.MODEL_REPORT in err, "what cannot be read is told"
    page, numbers = ((tmp_path / "made" / "here" / name).read_bytes() for name in (PAGE, NUMBERS))
    assert page.startswith(b"<!doctype html>")
    report = msgspec.json.decode(numbers, type=Report)
    assert report.newest == said[-1]
    assert [one.month for one in report.months] == ["2023-05", "2023-06", "2023-07"]
    code, out, _ = called("model", "report", "--json")
    assert (code, json.loads(out)) == (0, json.loads(numbers))
    code, out, _ = called("model", "report", lang="zh_CN.UTF-8")
    assert "到期标签" in out


def test_a_folder_that_cannot_be_written_is_one_line(called: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = called("model", "report", "--out", tmp_path / "file")
    assert code == 1
    assert err.splitlines()[-1].startswith(f"xinliu model: {tmp_path / 'file'}")
