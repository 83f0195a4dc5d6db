"""A month's new defaults: how long before its bank had been warned of each, and which were missed."""

from dashboard.reports.basis import Basis
from dashboard.reports.book import Cell, Column, Table
from dashboard.reports.defaults import Default, Warned, first_warning
from dashboard.reports.month_found import Found, bank_cell, bank_column
from dashboard.reports.reading import NOBODY
from domain.outputs import SEVERITIES


def _about(basis: Basis, found: Found, one: Default) -> list[Cell]:
    customer = found.known.get(one.borrower, NOBODY)
    return [
        *bank_cell(basis, found, one.bank_id),
        customer.customer_no,
        one.enterprise_id,
        one.loan_id,
        one.since,
        one.dpd,
    ]


def _about_columns(basis: Basis) -> tuple[Column, ...]:
    t = basis.t
    return (
        *bank_column(basis),
        Column(t("客户号", "customer no."), "id", 14),
        Column(t("企业代码", "enterprise"), "id", 21),
        Column(t("借据号", "loan"), "id", 18),
        Column(t("逾期超30天日", "over 30 days since"), "day", 13),
        Column(t("上报逾期天数", "days past due, reported"), "count", 12),
    )


def lead(basis: Basis, found: Found) -> Table:
    """Return those that its bank had been warned of, with the lead of the first warning."""
    t = basis.t
    rows: list[list[Cell]] = []
    for one in found.defaults:
        first = first_warning(one, found.cases, SEVERITIES)
        if first is None:
            continue
        grave = first_warning(one, found.cases, ("orange", "red"))
        rows.append([
            *_about(basis, found, one), first.case_id, first.day, first.severity, one.since - first.day,
            *_days(grave, one), basis.at(one.partition, one.offset),
        ])  # fmt: skip
    return Table(
        title=t("预警提前量", "Lead"),
        columns=(
            *_about_columns(basis),
            Column(t("案件编号", "case"), "id", 18),
            Column(t("首次预警日", "first warned"), "day", 12),
            Column(t("当时级别", "level then"), "level", 9),
            Column(t("提前天数", "lead in days"), "count", 10),
            Column(t("首次橙红日", "first orange or red"), "day", 12),
            Column(t("橙红提前天数", "lead of that"), "count", 11),
            Column(t("日志位点", "log offset"), "id", 11),
        ),
        rows=rows,
        note=t("本月首次上报逾期30天以上或违约、事先有预警的客户；逾期日按上报天数倒推。提前量至多计365天。",
               "Borrowers first reported over 30 days past due, or in default, in the month, and warned of before. The "
               "day is dated back by the days reported. A lead counts 365 days at most."),
        empty=t("本月没有事先有预警的新增逾期客户。", "No such borrower in this month."),
    )  # fmt: skip


def _days(warning: Warned | None, one: Default) -> tuple[Cell, Cell]:
    return (None, None) if warning is None else (warning.day, one.since - warning.day)


def missed(basis: Basis, found: Found) -> Table:
    """Return those that it had not."""
    t = basis.t
    rows = [
        [*_about(basis, found, one), basis.at(one.partition, one.offset)]
        for one in found.defaults
        if first_warning(one, found.cases, SEVERITIES) is None
    ]
    return Table(
        title=t("漏报", "Missed defaults"),
        columns=(*_about_columns(basis), Column(t("日志位点", "log offset"), "id", 11)),
        rows=rows,
        note=t("同上，但此前365天内没有案件。", "The same, without a case within the 365 days before."),
        empty=t("本月没有漏报。", "No default was missed in this month."),
    )
