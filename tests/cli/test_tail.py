"""`xinliu tail`: a bank's alerts as sentences in either language, without repeats, nothing raw from outside."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.banks import NAMED_MAX, bank_named
from config.catalogue import signals
from config.errors import SettingsError
from config.settings import Bank, ClickHouseSettings, Settings
from detectors.rules.artefact import packaged
from detectors.snapshot import content_id
from domain import topics
from domain.events import Loan, LogRecord
from domain.outputs import Alert, Evidence, LoanOfAlert
from sinks.artefacts import publish as publish_artefact
from sinks.clickhouse import connect, migrate, target_of
from sinks.clickhouse.tables import LOAN
from sinks.kafka import Outbox
from tests.cli.conftest import BANKS, Engine
from tests.cli.kit import settings_file, xinliu
from tests.faults import Fault
from tests.patience import patience_s
from tests.reading import read
from tests.sinks.kit import read as records
from tests.streams.score.kit import BANK, OTHER_BANK

UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
HOSTILE = "货款\x1b[2J\x9b\u202e\n"


PACKAGED = content_id(packaged().encode())


FALLEN = [
    Evidence(name="op_inflow_13w_vs_prior13w_ratio", value_micro=-750_000),
    Evidence(name="ctx.inflow_vs_low_month_ratio", value_micro=-500_000),
]


def alert(number: int, **fields: Any) -> Alert:
    """Alert `number` is about enterprise T`number`."""
    given: dict[str, Any] = {
        "alert_id": f"a{number}", "episode_id": f"a{number}", "case_id": "c", "case_severity": "orange", "revision": 1,
        "enterprise_id": f"T{number}", "signal": "EWS01_inflow_collapse", "severity": "orange", "state": "raised",
        "stock": False, "opened_at": 0, "as_of": 1_700_000_000_000, "score": 450, "score_before": 500,
        "evidence": FALLEN, "event_ids": [],
        "loans": [], "banks": [OTHER_BANK], "title_zh": "…", "text_zh": "…", "suggested_action_zh": "…",
        "model_id": "m", "rules_id": PACKAGED, "offset": number, "seq": 0,
    }  # fmt: skip
    return Alert(**given | fields)


def publish(engine: Engine, topic: str, *alerts: Alert) -> None:
    outbox = Outbox(engine.settings.kafka.bootstrap)
    for one in alerts:
        outbox.send(topic, msgspec.json.encode(one), key=b"E1")
    outbox.drain()


def test_a_banks_alerts_by_code_or_name_each_revision_once(engine: Engine, called: Callable[..., Any]) -> None:
    topic = topics.bank_alerts(OTHER_BANK)
    first, upgraded = alert(1), alert(1, revision=2, state="upgraded")
    publish(engine, topic, first, first, upgraded, first, alert(2, stock=True))
    texts = []
    for name in (OTHER_BANK, "南宁邕江示例银行", "邕江", "Yongjiang"):
        code, out, _ = called("tail", "--bank", name, "--from-start", "--count", "3")
        assert code == 0
        texts.append(out)
    assert len(set(texts)) == 1, "the same bank"
    lines = texts[0].splitlines()
    assert lines[0].startswith(
        "2023-11-15 06:13 [Orange] Operating inflow collapse T1: Operating inflow, 13 weeks against prior 13 weeks: "
        "down 75% (orange line: 40%); 30-day inflow against the second lowest month of twelve: down 50% (orange line: "
        "10%); it has held at 21 day closes in a row, since 2023-10-25; score 500 → 450. Contact the enterprise by "
        "2023-11-22: "
    )
    tags = [re.findall(r"\[(.*?)\]", line)[0] for line in lines]
    assert tags == ["Orange", "Yellow → Orange", "Orange, opening list"]
    _, out, _ = called("tail", "--bank", OTHER_BANK, "--from-start", "--count", "3", lang="zh_CN.UTF-8")
    lines = out.splitlines()
    assert lines[0].startswith(
        "2023-11-15 06:13 【橙】经营流入骤降 T1：近13周经营流入较前13周降75%（橙线40%）；"
        "近30日经营流入较近12个月次低月降50%（橙线10%）；自10月25日起已连续21个日终成立；评分500→450。11月22日前联系企业："
    )
    assert [line.split("】")[0].split("【")[1] for line in lines] == ["橙", "黄→橙", "橙·存量"]
    code, out, _ = called("tail", "--bank", BANK, "--from-start", "--count", "1", "--json")
    seen = json.loads(out)
    assert (seen["kind"], seen["banks"]) == ("alert", [BANK]), "what this bank is sent, and nothing else"
    assert seen["enterprise_id"].startswith("E")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bank", "示例银行"), ("more than one", BANKS[0].bank_id, BANKS[1].bank_id)),
        (("--bank", "没有"), ("has no", BANKS[0].name_zh)),
        (("--bank", ""), ("has no",)),
        (("--bank", BANK, "--scores"), ("supervisor",)),
    ],
)
def test_a_name_that_is_not_one_bank_is_refused(
    called: Callable[..., Any], words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    code, _, err = called("tail", *words)
    assert code == 2
    assert all(part in err for part in said), err


def test_the_supervisor_sees_all_and_scores_as_they_move(engine: Engine, called: Callable[..., Any]) -> None:
    code, out, _ = called("tail", "--from-start", "--scores", "--count", "200")
    assert code == 0
    scores = [line for line in out.splitlines() if ", grade " in line]
    assert len(scores) > 50
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d E\d score \d{3}, grade [A-F]", scores[0])
    code, out, _ = called("tail", "--from-start", "--count", "1", "--json")
    assert json.loads(out)["kind"] == "alert"


def test_fault_15_nothing_of_an_alert_reaches_the_terminal_raw(
    engine: Engine, called: Callable[..., Any], fault: Fault
) -> None:
    hostile = alert(9, title_zh=HOSTILE, signal=HOSTILE, enterprise_id=HOSTILE, evidence=[
        Evidence(name=HOSTILE, value_micro=1), Evidence(name="op_inflow_30d_cny", value_micro=None, band=HOSTILE),
    ])  # fmt: skip
    fault.inject(publish, engine, topics.bank_alerts(OTHER_BANK), hostile)
    for words in ((), ("--json",)):
        code, out, _ = called("tail", "--bank", OTHER_BANK, "--from-start", "--count", "4", *words)
        last = out.splitlines()[-1]
        assert code == 0
        assert UNSEEN.search(last) is None
        assert "\\u001b[2J" in last
    assert json.loads(last)["title_zh"] == HOSTILE, "a program reads what was there"
    fault(observed=f"{len(UNSEEN.findall(HOSTILE))} characters of each text escaped")


def test_an_alert_is_worded_by_the_rules_that_raised_it(
    engine: Engine, called: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A bank's own lines are those of its rules; where these cannot be had, no line is made up."""
    own = [
        msgspec.structs.replace(row, levels=("", row.levels[1].replace("-0.40", "-0.42"), "")) for row in signals()[:1]
    ]
    rules = msgspec.structs.replace(packaged(), signals=tuple(own))
    rules_id = publish_artefact(Outbox(engine.settings.kafka.bootstrap), topics.ARTEFACT, rules.encode())
    bank = topics.bank_alerts(BANK)
    publish(engine, bank, alert(31, rules_id=rules_id), alert(32, rules_id="0" * 64), alert(33))
    _, out, _ = called("tail", "--bank", BANK, "--from-start", "--count", str(_count(engine, bank)))
    own_rules, lost, packaged_rules = (next(x for x in out.splitlines() if f" T{n}: " in x) for n in (31, 32, 33))
    assert "(orange line: 42%)" in own_rules
    assert "down 75%;" in lost
    assert "line" not in lost.split("down 75%;")[0]
    assert "artefact.v1 has no artefact 0000" in caplog.text
    assert "(orange line: 40%)" in packaged_rules


def _count(engine: Engine, topic: str) -> int:
    """Return the number of alerts in a topic, each revision once."""
    found = {
        (one.alert_id, one.revision)
        for record in read(engine.settings.kafka.bootstrap, topic)
        for one in [msgspec.json.decode(record.value or b"", type=Alert)]
    }
    return len(found)


def test_it_follows_until_a_signal_ends_it(engine: Engine, tmp_path: Path, eventually: Callable[..., None]) -> None:
    argv, environment = xinliu("--config", engine.file, "tail", "--bank", OTHER_BANK)
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out)
    number = iter(range(100, 10_000))

    def one_more_is_shown() -> bool:
        assert process.poll() is None, (tmp_path / "out").read_text()
        publish(engine, topics.bank_alerts(OTHER_BANK), alert(next(number)))
        return (tmp_path / "out").read_text().count("\n") >= 3

    try:
        eventually(one_more_is_shown, 60, "three alerts")
        assert " T1: " not in (tmp_path / "out").read_text(), "from the end on"
        process.send_signal(signal.SIGINT)
        assert process.wait(patience_s(20)) == 0
    finally:
        process.kill()
        process.wait()


def test_of_many_banks_that_a_name_may_mean_a_few_are_named_and_all_counted() -> None:
    banks = tuple(Bank(bank_id=f"Z{number:013d}", name_zh=f"示例银行{number}") for number in range(1, 31))
    with pytest.raises(SettingsError) as refused:
        bank_named(Settings(banks=banks), "示例")
    said = str(refused.value)
    assert said.count("示例银行") == NAMED_MAX
    assert "30" in said.split("示例银行8")[1].split("Z0000000000008")[1]
    assert bank_named(Settings(banks=banks), "示例银行1").bank_id == "Z0000000000001", "a whole name is one bank"


ASKED = """
bank = "邕江"
quiet_days = 7

[[subscription]]
name = "orange"
severity_from = "orange"
"""


def test_a_subscription_holds_back_what_it_does_not_ask_for_and_says_so(
    engine: Engine, called: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(ASKED + 'signals = ["EWS20"]')
    mine = {"signal": "EWS20_payer_concentration", "case_id": "c50"}
    publish(
        engine, topics.bank_alerts(OTHER_BANK),
        alert(51, **mine), alert(52, **mine | {"severity": "yellow"}), alert(53, **mine), alert(54, signal="EWS06_x"),
        alert(52, **mine | {"severity": "yellow", "state": "cleared", "revision": 2}),
        alert(51, **mine | {"state": "cleared", "revision": 2}),
    )  # fmt: skip
    code, out, err = called("tail", "--subscription", str(file), "--from-start", "--count", "2")
    assert (code, re.findall(r"\bT5\d\b", out)) == (0, ["T51", "T51"])
    said = re.search(r"subscription: 2 alerts shown, (\d+) held back \((\d+) not subscribed to, (\d+) repeats", err)
    assert said is not None, err
    assert said[3] == "1"
    assert int(said[1]) == int(said[2]) + 1


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (ASKED, ("--bank", BANK), f"bank is {OTHER_BANK}, and --bank is {BANK}"),
        (ASKED.replace("邕江", "某行"), (), "has no '某行'"),
        (ASKED.replace('bank = "邕江"', "") + 'branches = ["1"]', (), "say which with bank"),
        (ASKED + 'signal = ["EWS01"]', (), "desk.toml: [[subscription]] 1: "),
    ],
)
def test_a_subscription_that_cannot_hold_is_refused(
    called: Callable[..., Any], tmp_path: Path, text: str, words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(text)
    code, _, err = called("tail", "--subscription", str(file), *words)
    assert code == 2
    assert said in err, err


def test_branches_are_asked_of_the_archive(engine: Engine, called: Callable[..., Any], tmp_path: Path) -> None:
    mine = {"signal": "EWS22_counterparty_turnover", "enterprise_id": "T60", "offset": 7}
    lent = [LoanOfAlert(loan_id=loan_id, outstanding_minor=1, dpd=None) for loan_id in ("L1", "L2")]
    of_l1, of_l2, notice = (
        alert(61, loans=lent[:1], **mine),
        alert(62, loans=lent[1:], **mine),
        alert(63, loans=lent[:1], **mine | {"offset": -1}),
    )
    publish(engine, topics.bank_alerts(OTHER_BANK), of_l1, notice, of_l2)
    file = tmp_path / "desk.toml"
    file.write_text(ASKED + 'signals = ["EWS22"]\nbranches = ["0012"]')
    settings = msgspec.structs.replace(
        engine.settings, clickhouse=ClickHouseSettings(url=f"chdb://{tmp_path / 'chdb'}")
    )
    db = connect(target_of(settings.clickhouse))
    migrate(db)
    facts: list[tuple[int, Any]] = []
    for at, loan_id, branch in ((3, "L1", "0099"), (4, "L2", "0012"), (7, "L2", None), (8, "L2", "0099")):
        fact = Loan(
            event_id=f"e{at}", bank_id=OTHER_BANK, enterprise_id="T60", event_time=at, loan_id=loan_id,
            event="granted", principal_minor=1, outstanding_minor=1, granted_on="2026-01-05", branch_code=branch,
        )  # fmt: skip
        facts.append((at, LogRecord(event=fact)))
    db.insert(LOAN.insert(LOAN.rows(records(topics.EVENTS, facts, time_ms=int(time.time() * 1_000))), "t:loan"))
    db.close()
    words = ("tail", "--subscription", str(file), "--from-start", "--count", "1", "--json")
    code, out, err = called(*words, config=settings_file(tmp_path, settings))
    assert code == 0, err
    assert json.loads(out)["alert_id"] == "a62", "by what was reported up to that place in the log"
    away = msgspec.structs.replace(settings, clickhouse=ClickHouseSettings(url="clickhouse://u@127.0.0.1:1/xinliu"))
    code, out, err = called(*words, config=settings_file(tmp_path, away))
    assert (code, out) == (1, ""), "nothing is delivered, or left out, by what is not known"
    assert "[clickhouse] url" in err
