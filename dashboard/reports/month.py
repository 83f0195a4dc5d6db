"""The month's report on cases: migration, timeliness, false alarms, lead from alert to arrears, missed defaults."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import get_args

from config.settings import Bank
from config.wordings import signal_names
from dashboard.reports import reading
from dashboard.reports.basis import Basis, Period, basis_of, named
from dashboard.reports.book import Book, Cell, Column, Table
from dashboard.reports.classes import class_table
from dashboard.reports.deadlines import Step
from dashboard.reports.defaults import EARLY_DAYS, first_warning
from dashboard.reports.ledger import open_at_end, overdue_days
from dashboard.reports.month_defaults import lead, missed
from dashboard.reports.month_found import Found, closed_in, find, judged_in, share
from dashboard.reports.reading import NOBODY, Life
from dashboard.reports.supervised import for_supervisor
from detectors.wording.desk import DISPOSITIONS, LEVELS, STATES
from domain.events import Disposition
from domain.language import Lang
from domain.outputs import SEVERITIES, CaseStage
from sinks.clickhouse import Connection

_UNSIGNED: tuple[CaseStage, ...] = ("resolved", "undelivered")


def month(db: Connection, banks: Sequence[Bank], bank: Bank | None, period: Period, lang: Lang) -> Book:
    """Return the report of a month on a bank's cases; bank None: on all, for the supervisor.

    Raise NoReport, and what ClickHouse raises.
    """
    basis = basis_of(db, bank, lang, period)
    found = find(db, basis, period, {each.bank_id: named(each, lang) for each in banks})
    for life in found.after:
        if life.is_open or period.holds(life.closed):
            basis.at(found.known.get(life.borrower, NOBODY).partition, life.offset)
    overdue = reading.overdue_loans(db, basis.bank_id, period.last)
    tables = [
        _summary(basis, period, found),
        _migration(basis, period, found),
        _timeliness(basis, found),
        _dispositions(basis, period, found),
        _by_signal(basis, period, found),
        lead(basis, found),
        missed(basis, found),
        class_table(basis, overdue, found),
    ]
    if bank is None:
        tables += for_supervisor(db, basis, period, found)
    return Book(
        lang=lang,
        title=basis.t("风险预警月报", "Monthly report on risk warnings"),
        whose=basis.whose,
        period=basis.period(period),
        data_date=basis.data_date,
        rests_on=basis.rests_on,
        made_on=basis.data_day,
        tables=(*tables, basis.table()),
    )


def _summary(basis: Basis, period: Period, found: Found) -> Table:
    t, standing, judged = basis.t, open_at_end(found.after), judged_in(found, period)
    warned = [first_warning(one, found.cases, SEVERITIES) for one in found.defaults]
    leads = [one.since - early.day for one, early in zip(found.defaults, warned, strict=True) if early is not None]
    late = [life for life in standing if overdue_days(life, min(period.last, basis.data_day)) is not None]
    rows: list[tuple[str, Cell]] = [
        (t("期初未办结案件", "open as the month began"), len(open_at_end(found.before))),
        (t("本月新开案件", "opened in the month"), sum(period.holds(life.opened) for life in found.after)),
        (t("本月办结案件", "closed in the month"), len(closed_in(found, period))),
        (t("期末未办结案件", "open at its end"), len(standing)),
        *((t(f"　其中{LEVELS[level].zh}", f"  of these {LEVELS[level].en}"),
           sum(one.severity == level for one in standing)) for level in reversed(SEVERITIES)),
        (t("期末逾期未办案件", "past their due day at its end"), len(late)),
        (t("本月有处置结论的案件", "disposed of in the month"), len(judged)),
        (t("　其中误报", "  of these false alarms"), sum(life.disposition == "false_alarm" for life in judged)),
        (t("本月新增逾期30天以上客户", "borrowers newly over 30 days past due"), len(found.defaults)),
        (t("　其中事先有预警", "  of these warned of before"), len(leads)),
        (t(f"　其中提前{EARLY_DAYS}天以上", f"  of these {EARLY_DAYS} days or more before"),
         sum(days >= EARLY_DAYS for days in leads)),
        (t("　提前天数中位数", "  median lead in days"), median(leads) if leads else None),
    ]  # fmt: skip
    return Table(
        title=t("概要", "Summary"),
        columns=(Column(t("项目", "figure"), "text", 34), Column(t("数值", "value"), "number", 12)),
        rows=rows,
        note=t("期末指本月最后一日日终；其后的记录不计入。",
               "The end of the month is that of its last day: what came later is left out."),
    )  # fmt: skip


def _migration(basis: Basis, period: Period, found: Found) -> Table:
    """Count cases by their level before and after the month, but those closed before; the newest of lives counts."""
    t = basis.t
    before, after = ({life.key: life for life in lives} for lives in (found.before, found.after))
    absent, closed, cleared = t("无案件", "no case"), t("已办结", "closed"), t("观察", "watched")

    def standing(life: Life | None) -> str:
        if life is None:
            return absent
        if not life.is_open:
            return closed
        return cleared if life.severity is None else LEVELS[life.severity].to(basis.lang)

    levels = [LEVELS[level].to(basis.lang) for level in reversed(SEVERITIES)]
    moved = {key: life for key, life in after.items() if life.is_open or period.holds(life.closed)}
    counts = Counter((standing(before.get(key)), standing(life)) for key, life in moved.items())
    heads = [*levels, cleared, closed]
    rows: list[list[Cell]] = []
    for begin in (absent, *heads):
        row = [counts[begin, end] for end in heads]
        rows.append([begin, *row, sum(row)])
    return Table(
        title=t("迁徙", "Migration"),
        columns=(
            Column(t("期初＼期末", "begin \\ end"), "text", 14),
            *(Column(head, "count", 12) for head in heads),
            Column(t("合计", "sum"), "count", 12),
        ),
        rows=rows,
        note=t("案件数。行为期初级别，列为期末级别；观察：信号已全部解除而案件尚未办结。",
               "Cases, by their level as the month began (rows) and at its end (columns). Watched: all signals have "
               "cleared, and the case is not closed."),
    )  # fmt: skip


def _timeliness(basis: Basis, found: Found) -> Table:
    t = basis.t
    steps: dict[Step, str] = {"contact": t("联系企业", "contact"), "visit": t("核查并提交", "check and submit")}
    rows: list[list[Cell]] = []
    for step, name in steps.items():
        for level in reversed(SEVERITIES):
            owed = [one for one in found.owed if one.step == step and one.severity == level]
            kept = sum(one.kept for one in owed)
            escalated = sum(one.escalated and not one.kept for one in owed)
            rows.append([name, level, len(owed), kept, len(owed) - kept, escalated, share(kept, len(owed))])
    return Table(
        title=t("及时性", "Timeliness"),
        columns=(
            Column(t("环节", "step"), "text", 18),
            Column(t("级别", "level"), "level", 8),
            Column(t("本月到期", "due in the month"), "count", 12),
            Column(t("按期", "in time"), "count", 12),
            Column(t("超期", "late"), "count", 12),
            Column(t("超期并上报", "late and escalated"), "count", 12),
            Column(t("及时率", "share in time"), "share", 12),
        ),
        rows=rows,
        note=t("期限落在本月的环节；期限之前升级、暂停或转观察的以新期限为准，期限之前已办结的不计。",
               "Steps whose due day lies in the month. Of a case that became graver, was paused or watched before it "
               "the new deadline counts; one that was closed before it owes nothing."),
    )  # fmt: skip


def _dispositions(basis: Basis, period: Period, found: Found) -> Table:
    t, judged = basis.t, judged_in(found, period)
    given: tuple[Disposition, ...] = get_args(Disposition)
    rows: list[list[Cell]] = []
    for disposition in given:
        own = [life for life in judged if life.disposition == disposition]
        rows.append([DISPOSITIONS[disposition].to(basis.lang), len(own), share(len(own), len(judged))])
    for state in _UNSIGNED:
        own = [life for life in closed_in(found, period) if life.state == state]
        rows.append([STATES[state].to(basis.lang), len(own), None])
    return Table(
        title=t("误报", "False alarms"),
        columns=(
            Column(t("结论", "conclusion"), "text", 18),
            Column(t("本月办结案件", "closed in the month"), "count", 14),
            Column(t("占有结论的", "of those disposed of"), "share", 14),
        ),
        rows=rows,
        note=t("已解除、已停推：无人签收而自行了结，没有结论。",
               "Resolved, delivery ended: nobody had signed, and nobody has concluded."),
    )  # fmt: skip


def _by_signal(basis: Basis, period: Period, found: Found) -> Table:
    t, names = basis.t, signal_names()
    counts: dict[str, Counter[str]] = {}
    for life in judged_in(found, period):
        for name in found.told.get(life.life_key, ()):
            counts.setdefault(name, Counter())[life.disposition or ""] += 1
    rows: list[list[Cell]] = []
    for name, by in sorted(counts.items()):
        confirmed, false = by["confirmed"], by["false_alarm"]
        rows.append([
            name, names[name].to(basis.lang) if name in names else name, by.total(), confirmed, false,
            by.total() - confirmed - false, share(confirmed, by.total()), share(false, by.total()),
        ])  # fmt: skip
    return Table(
        title=t("误报按信号", "False alarms by signal"),
        columns=(
            Column(t("信号编号", "signal"), "id", 30),
            Column(t("信号", "name"), "text", 24),
            Column(t("有结论的案件", "disposed of"), "count", 12),
            Column(DISPOSITIONS["confirmed"].to(basis.lang), "count", 10),
            Column(DISPOSITIONS["false_alarm"].to(basis.lang), "count", 12),
            Column(t("其他", "others"), "count", 10),
            Column(t("属实率", "share confirmed"), "share", 12),
            Column(t("误报率", "share false"), "share", 12),
        ),
        rows=rows,
        note=t("一个案件有几个信号，各计一次。", "A case with several signals counts once with each."),
        empty=t("本月没有作出结论的案件。", "No case was disposed of in this month."),
    )  # fmt: skip
