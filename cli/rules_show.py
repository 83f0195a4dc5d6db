"""`xinliu rules show`: every signal of some rules, evaluated or not, and what makes a case's level."""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cli.words import language, say
from domain.outputs import SEVERITIES, Severity

if TYPE_CHECKING:
    from cli.rules import CasePaths
    from config.case_table import CaseTable, Deadline
    from config.catalogue import SignalRow
    from detectors.rules.artefact import RulesArtefact

_MILLI = 1_000
_LEVELS: dict[Severity, tuple[str, str]] = {
    "yellow": ("黄", "yellow"), "orange": ("橙", "orange"), "red": ("红", "red"),
}  # fmt: skip

_STATES = {"evaluated": ("参与评估", "evaluated"), "disabled": ("停用", "disabled")}


def show(args: argparse.Namespace) -> int:
    """Print the rules, as lines or as JSON. A ValueError names the place of a mistake in them."""
    rules_id, artefact = _rules(args.file, (args.points, args.findings, args.cases))
    listed = [_signal(row, artefact.case) for row in artefact.signals]
    if args.json:
        made = {"id": rules_id, **msgspec.to_builtins(artefact), "signals": listed}
        print(msgspec.json.encode(made).decode())
        return 0
    print(f"{say('信号', 'signal'):32} {'scope':8} {' '.join(f'{each:>6}' for each in SEVERITIES)}")
    for each in listed:
        print(_line(each))
    evaluated = sum(each["state"] == "evaluated" for each in listed)
    waiting = sum(bool(each["waits_for"]) for each in listed)
    disabled = len(listed) - evaluated - waiting
    counted = say(
        f"{evaluated} 个参与评估，{disabled} 个停用，{waiting} 个等待输入",
        f"{evaluated} are evaluated, {disabled} are disabled, {waiting} wait for inputs",
    )
    print(f"{rules_id}: {counted}")
    for line in _case(artefact.case):
        print(line)
    return 0


def _rules(file: Path | None, case: "CasePaths") -> "tuple[str, RulesArtefact]":
    """Return the id and content of the packaged rules, of those that tables make, or of an artefact (.json)."""
    from cli.rules import read_table
    from detectors.rules.artefact import RulesArtefact, decode, packaged, packaged_rules
    from detectors.snapshot import content_id

    if file is None and not any(case):
        return packaged_rules().id, packaged()
    if file is None or file.suffix != ".json":
        artefact, rules = read_table(file, "move", 3 * _MILLI, case)
        return rules.id, artefact
    if any(case):
        raise ValueError(
            f"{file}: an artefact has its own case table; --points, --findings and --cases go with a table"
        )
    body = file.read_bytes()
    return decode(body, content_id(body)).id, msgspec.json.decode(body, type=RulesArtefact)


def _signal(row: "SignalRow", table: "CaseTable | None") -> dict[str, Any]:
    """Return what stands of a signal, for scripts."""
    from detectors.rules.conditions import parse_row, waits_for

    lacking = waits_for(parse_row(row, "signal"))
    found: dict[str, Any] = {
        **msgspec.to_builtins(row),
        "state": "disabled" if not row.enabled else "waiting" if lacking else "evaluated",
        "waits_for": lacking,
    }
    if table is None:
        return found | {"finding": None, "points_milli": None, "alone": {}}
    finding = next((each for each in table.findings if row.id in each.signals), None)
    return found | {
        "finding": finding and {"id": finding.id, "name_zh": finding.name_zh, "name_en": finding.name_en},
        "points_milli": table.points_milli.get(row.id, (0, 0, 0)),
        "alone": {rule.at: rule.level for rule in table.alone if rule.signal == row.id},
    }


def _line(signal: dict[str, Any]) -> str:
    points = signal["points_milli"]
    shown = " ".join(
        f"{points[i] if points is not None and condition else '–':>6}" for i, condition in enumerate(signal["levels"])
    )
    finding, waits = signal["finding"], ", ".join(signal["waits_for"])
    said = [
        signal["name_zh"] if language() == "zh" else signal["name_en"] or signal["name_zh"],
        finding and say(finding["name_zh"], finding["name_en"]),
        say("单独即", "alone ") + "/".join(say(*_LEVELS[level]) for level in signal["alone"].values())
        if signal["alone"]
        else "",
        signal["owner"],
        signal["source"] and f"{say('阈值依据', 'thresholds')} {signal['source']}",
        "" if signal["state"] == "waiting" else say(*_STATES[signal["state"]]),
        f"{say('等待', 'waits for')} {waits}" if waits else "",
    ]
    return f"{signal['id']:32} {signal['scope']:8} {shown}  {' · '.join(filter(None, said))}"


def _case(table: "CaseTable | None") -> Iterator[str]:
    """Yield how the level of a case follows from its signals, and by when it is dealt with."""
    if table is None:
        yield say("没有案件表：案件取最高信号的等级", "no case table: a case has the level of its highest signal")
        return
    score = ", ".join(f"{at // _MILLI}: {logit}" for at, logit in table.score)
    move = ", ".join(f"{at}: {logit}" for at, logit in table.move)
    intercept = table.intercept_milli
    yield say(
        f"千分之一对数几率：截距 {intercept}；评分 {score}；30 日变动 {move}",
        f"thousandths of a logit: intercept {intercept}; score {score}; its move within 30 days {move}",
    )
    cut = msgspec.to_builtins(table.cutoffs_milli)
    levels = ", ".join(f"{say(*_LEVELS[each])} ≥ {cut[each]} ({_probability(cut[each]):.1%})" for each in SEVERITIES)
    yield say(
        f"案件等级（12 个月内逾期 30 天以上的概率）：{levels}",
        f"level of a case (probability of arrears over 30 days in 12 months): {levels}",
    )
    closes, days = table.closes_to_ease, table.cooldown_days
    yield say(
        f"连续 {closes} 个日终低于本级后降级；解除后 {days} 日内再触发，仍算同一次事件",
        f"eases after {closes} closes below its level; what rises again within {days} days goes on in its episode",
    )
    cured = say(*_LEVELS[table.cured_to])
    yield say(
        f"信号条件全部不再成立时，高于{cured}的案件立即降至{cured}",
        f"a case above {cured} of which no level is true any more eases to it at once",
    )
    most, yellow = table.budget.orange_red_per_1000_month, table.budget.yellow_per_1000_month
    yield say(f"每千户每月案件限额：橙、红 {most}，黄 {yellow}",
              f"budget of cases, of 1,000 borrowers a month: {most} orange or red, {yellow} yellow")  # fmt: skip
    for count, *rest in table.curve:
        caught, precision = (f"{ppm / 1_000_000:.1%}" for ppm in rest[:2])
        at = [f"{say(*_LEVELS[each])} ≥ {cut}" for each, cut in zip(SEVERITIES, rest[2:], strict=False)]
        brings = say(f"  每千户每月 {count} 件：覆盖违约 {caught}，准确率 {precision}",
                     f"  at {count} a month: {caught} of defaults caught, {precision} precision")  # fmt: skip
        yield f"{brings}; {', '.join(at)}" if at else brings
    times = table.deadlines
    by_level = ", ".join(f"{say(*_LEVELS[each])} {_deadline(getattr(times, each))}" for each in SEVERITIES)
    first, then = times.head_office_after_days, times.supervisor_after_days
    yield say(
        f"时限（工作日）：{by_level}；逾期 {first} 日报总行，再过 {then} 日报监管",
        f"deadlines in working days: {by_level}; {first} after one to the head office, {then} later to the supervisor",
    )
    yield f"{say('依据', 'evidence')}: {table.evidence}"


def _deadline(times: "Deadline") -> str:
    said = [
        f"{word} {days}"
        for word, days in ((say("联系", "contact"), times.contact_days), (say("现场", "visit"), times.visit_days))
        if days is not None
    ]
    return " ".join(said) or say("下次检查", "at the next check")


def _probability(logit_milli: int) -> float:
    return 1 / (1 + math.exp(-logit_milli / _MILLI))
