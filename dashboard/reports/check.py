"""The prefilled report on the check of a case (贷后检查报告): what is known stands in it, the officer concludes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from config.settings import Bank
from config.wordings import checks, signal_names
from dashboard.reports import reading
from dashboard.reports.basis import Basis, basis_of
from dashboard.reports.book import Book, Cell, Column, Part, Table, shown
from dashboard.reports.classes import class_table
from dashboard.reports.reading import LoanNow, Move, TellingOfCase
from detectors.wording.desk import CHANGES, DISPOSITIONS, ESCALATIONS, LEVELS, STATES
from detectors.wording.transactions import PARTIES, PURPOSES, STATUSES
from domain.calendar import DAY_MS, ZONE_OFFSET_MS, date_of, day_of
from domain.cases import OPEN
from domain.language import Lang, Words
from sinks.clickhouse import Connection
from sinks.clickhouse.loan_facts import LoanFacts, loan_facts
from sinks.clickhouse.own_transactions import own_transactions

TRANSACTIONS_MAX = 10  # of each signal
_LATEST = 2**62  # an offset after every other: the facts of loans are the newest
_FILL = "＿" * 12


def check(db: Connection, bank: Bank, case_id: str, lang: Lang) -> Book:
    """Return the report on a case of the bank, as of the newest that the archive has.

    case_id: one of `reading.case_ids` of the bank. Raise NoReport, and what ClickHouse raises.
    """
    basis = basis_of(db, bank, lang)
    moves = reading.moves_of(db, bank.bank_id, case_id)
    now, t = moves[-1], basis.t
    loans, told = reading.loans_of(db, bank.bank_id, now.enterprise_id), reading.told_of(db, bank.bank_id, case_id)
    facts = {one.loan_id: one for one in loan_facts(db, bank.bank_id, now.enterprise_id, _LATEST)}
    claim = reading.claim_of(db, bank.bank_id, case_id)
    partition = loans[0].partition if loans else -1
    overdue = reading.overdue_loans(db, bank.bank_id, basis.data_day, now.enterprise_id)
    parts = (
        Part(title=t("一、案件", "1. The case"), table=_case(basis, moves, claim, facts)),
        Part(title=t("二、本行贷款", "2. Loans of this bank"), table=_loans(basis, loans, facts)),
        Part(
            title=t("三、预警", "3. Warnings"),
            said=[] if lang == "zh" else ["As they were told, in Chinese."],
            table=_warnings(basis, told, partition),
        ),
        Part(title=t("四、相关的本行流水", "4. This bank's transactions that explain them"),
             table=_transactions(db, basis, now, told)),
        Part(title=t("五、处置经过", "5. What was done"), table=_history(basis, moves, partition)),
        Part(title=t("六、五级分类建议", "6. Five-class proposals"), table=class_table(basis, overdue)),
        Part(title=t("七、检查情况（由检查人填写）", "7. What the check found (to be filled in)"),
             table=_to_check(basis, told)),
        Part(title=t("八、检查结论（由检查人填写）", "8. Conclusion (to be filled in)"),
             said=list(_to_conclude(basis))),
    )  # fmt: skip
    return Book(
        lang=lang,
        title=t("贷后检查报告", "Report on a check after lending"),
        whose=basis.whose,
        period=t(f"案件 {case_id}", f"case {case_id}"),
        data_date=basis.data_date,
        rests_on=basis.rests_on,
        made_on=basis.data_day,
        parts=parts,
    )


def _case(basis: Basis, moves: Sequence[Move], claim: tuple[int, int] | None, facts: Mapping[str, LoanFacts]) -> Table:
    t, lang, now = basis.t, basis.lang, moves[-1]

    def of_loans(of: Callable[[LoanFacts], str | None]) -> str:
        return t("、", ", ").join(sorted({known for one in facts.values() if (known := of(one)) is not None})) or "–"

    def day(number: int | None) -> str:
        return shown(number, "day")

    def due(number: int | None) -> str:
        waits = number is not None and now.state in OPEN and now.due is None
        return t("时限暂停", "deadlines wait") if waits else day(number)

    said = "–"
    if claim is not None:
        said = t("{}（{}）", "{} ({})").format(shown(claim[0], "share"), day(claim[1]))
    disposition = None if now.disposition is None else DISPOSITIONS[now.disposition].to(lang)
    escalated = ESCALATIONS[now.escalation].to(lang) if now.state in OPEN else ""
    state = t("，", ", ").join(text for text in (STATES[now.state].to(lang), escalated) if text)
    rows: list[tuple[str, str]] = [
        (t("客户名称", "customer"), _FILL),
        (t("客户号", "customer no."), of_loans(lambda one: one.customer_no)),
        (t("企业代码", "enterprise"), now.enterprise_id),
        (t("机构", "branch"), of_loans(lambda one: one.branch_code)),
        (t("客户经理", "account manager"), of_loans(lambda one: one.manager_no)),
        (t("本行敞口（元）", "exposure of this bank (yuan)"), shown(now.exposure_minor, "money")),
        (t("首发日", "opened"), day(day_of(now.opened_ms - 1))),
        (t("级别", "level"), LEVELS[now.severity].to(lang)),
        (t("状态", "state"), state),
        (t("联系时限", "contact due"), due(now.contact_due)),
        (t("现场核查时限", "visit due"), due(now.visit_due)),
        (t("未来12个月逾期30天以上的概率", "probability of arrears over 30 days within 12 months"), said),
        (t("处置结论", "disposition"), disposition or "–"),
    ]
    return Table(
        title="", columns=(Column(t("项目", "item"), "text", 20), Column(t("内容", "content"), "text", 50)), rows=rows
    )


def _loans(basis: Basis, loans: Sequence[LoanNow], facts: Mapping[str, LoanFacts]) -> Table:
    t, today = basis.t, date_of(basis.data_day).isoformat()
    rows: list[list[Cell]] = []
    for loan in loans:
        fact = facts[loan.loan_id]
        undrawn = None
        if loan.revolving and loan.limit_minor is not None:
            undrawn = max(loan.limit_minor - loan.outstanding_minor, 0)
        coming = min(((on, minor) for on, minor in loan.schedule if on > today), default=None)
        following = None if coming is None else f"{coming[0]}　{coming[1] / 100:,.2f}"
        count = len(fact.guarantors)
        guarantors = t(f"保证人{count}名", f"{count} guarantors") if count else None
        guarantee = " ".join(part for part in (fact.guarantee_type, guarantors) if part)
        rows.append([
            loan.loan_id, fact.contract_no, fact.product_code, loan.outstanding_minor, undrawn,
            loan.matures_on, following, loan.dpd, fact.five_class, guarantee or None,
            basis.at(loan.partition, loan.offset),
        ])  # fmt: skip
    return Table(
        title="",
        columns=(
            Column(t("借据号", "loan"), "id", 16),
            Column(t("合同号", "contract"), "id", 14),
            Column(t("产品", "product"), "id", 8),
            Column(t("余额（元）", "outstanding (yuan)"), "money", 15),
            Column(t("未用额度（元）", "undrawn (yuan)"), "money", 15),
            Column(t("到期日", "matures"), "text", 11),
            Column(t("下期应还（元）", "next due (yuan)"), "text", 15),
            Column(t("逾期天数", "days past due"), "count", 8),
            Column(t("五级分类", "class"), "text", 8),
            Column(t("担保", "guarantee"), "text", 10),
            Column(t("日志位点", "log offset"), "id", 10),
        ),
        rows=rows,
        note=t("按最近一次上报；空白为未上报。", "By the newest report; empty: never reported."),
        empty=t("档案中没有本行对该企业的贷款。", "The archive has no loan of this bank to the enterprise."),
    )


def _warnings(basis: Basis, told: Sequence[TellingOfCase], partition: int) -> Table:
    t = basis.t
    return Table(
        title="",
        columns=(
            Column(t("日期", "day"), "day", 11),
            Column(t("级别", "level"), "level", 6),
            Column(t("预警", "warning"), "text", 50),
            Column(t("日志位点", "log offset"), "id", 10),
        ),
        rows=[
            [day_of(one.as_of_ms - 1), one.severity, f"{one.title_zh} {one.text_zh}{one.action_zh}",
             basis.at(partition, one.offset) if one.offset >= 0 else None]
            for one in told
        ],
        note=t("当时发给本行的原文，每条预警取最近一次。", "As this bank was told, the newest revision of each alert."),
        empty=t("没有发给本行的预警。", "This bank was told of no alert."),
    )  # fmt: skip


def _transactions(db: Connection, basis: Basis, now: Move, told: Sequence[TellingOfCase]) -> Table:
    assert basis.bank is not None
    t, names, rows = basis.t, signal_names(), list[list[Cell]]()
    for signal, one in {one.signal: one for one in reversed(told) if one.offset >= 0}.items():
        found = own_transactions(db, signal, basis.bank.bank_id, now.enterprise_id, one.as_of_ms, one.offset)
        for each in found[:TRANSACTIONS_MAX]:
            rows.append([
                names[signal].to(basis.lang) if signal in names else signal, day_of(each.event_time_ms),
                t("贷（收）", "credit") if each.direction == "C" else t("借（付）", "debit"),
                each.amount_minor, each.currency, _word(PURPOSES, each.purpose, basis),
                _word(PARTIES, each.counterparty_kind, basis), _word(STATUSES, each.status, basis),
            ])  # fmt: skip
    return Table(
        title="",
        columns=(
            Column(t("信号", "signal"), "text", 16),
            Column(t("日期", "day"), "day", 11),
            Column(t("方向", "direction"), "text", 9),
            Column(t("金额", "amount"), "money", 15),
            Column(t("币种", "currency"), "text", 7),
            Column(t("用途", "purpose"), "text", 14),
            Column(t("对手类别", "party"), "text", 11),
            Column(t("状态", "status"), "text", 10),
        ),
        rows=rows,
        note=t(f"只含本行上报的交易，每个信号至多{TRANSACTIONS_MAX}笔。",
               f"This bank's own transactions alone, {TRANSACTIONS_MAX} of a signal at most."),
        empty=t("没有可以说明这些信号的本行流水。", "None explains these signals."),
    )  # fmt: skip


def _word(words: Mapping[Any, Words], code: str | None, basis: Basis) -> str | None:
    return words[code].to(basis.lang) if code in words else code


def _history(basis: Basis, moves: Sequence[Move], partition: int) -> Table:
    t, lang = basis.t, basis.lang

    def said(move: Move) -> str | None:
        disposition = None if move.disposition is None else DISPOSITIONS[move.disposition].to(lang)
        until = None if move.until is None else t("至 ", "until ") + str(date_of(move.until))
        parts = [ESCALATIONS[move.escalation].to(lang), disposition, until, move.measure, move.remark]
        return t("；", "; ").join(part for part in parts if part) or None

    return Table(
        title="",
        columns=(
            Column(t("日期", "day"), "day", 11),
            Column(t("经过", "move"), "text", 12),
            Column(t("级别", "level"), "level", 6),
            Column(t("状态", "state"), "text", 10),
            Column(t("经办", "maker"), "id", 18),
            Column(t("复核", "checker"), "id", 18),
            Column(t("内容", "content"), "text", 30),
            Column(t("日志位点", "log offset"), "id", 10),
        ),
        rows=[
            [_day(move), CHANGES[move.change].to(lang), move.severity, STATES[move.state].to(lang), move.maker,
             move.checker, said(move), basis.at(partition, move.offset)]
            for move in moves
        ],
        note=t("经办、复核为工号的散列值。", "Maker and checker are hashes of staff numbers."),
    )  # fmt: skip


def _day(move: Move) -> int:
    """Return the day of a move: of an action that on which somebody took it."""
    return move.day if move.acted_ms is None else (move.acted_ms + ZONE_OFFSET_MS) // DAY_MS


def _to_check(basis: Basis, told: Sequence[TellingOfCase]) -> Table:
    t, known = basis.t, checks()
    signals = dict.fromkeys(one.signal for one in told)
    return Table(
        title="",
        columns=(
            Column(t("检查内容", "check"), "text", 40),
            Column(t("检查情况", "what was found"), "text", 40),
        ),
        rows=[[known[signal].to(basis.lang), None] for signal in signals if signal in known],
        empty=t("没有预置的检查内容。", "No check is known for its signals."),
    )


def _to_conclude(basis: Basis) -> Iterator[str]:
    t = basis.t
    given = "　".join(f"□ {words.to(basis.lang)}" for words in DISPOSITIONS.values())
    yield t(f"预警结论：{given}", f"Conclusion: {given}")
    yield t(f"五级分类（认定）：{_FILL}", f"Five-class, decided: {_FILL}")
    yield t(f"风险结论与措施：{_FILL}{_FILL}", f"Risk and measures: {_FILL}{_FILL}")
    yield t(f"检查人：{_FILL}　日期：{_FILL}", f"Checked by: {_FILL}  on: {_FILL}")
    yield t(f"复核人：{_FILL}　日期：{_FILL}", f"Reviewed by: {_FILL}  on: {_FILL}")
