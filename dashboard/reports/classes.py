"""Loans whose class (五级分类) is better than their arrears allow: a proposal, a person decides."""

from collections.abc import Sequence
from typing import get_args

from dashboard.reports.basis import Basis
from dashboard.reports.book import Cell, Column, Table
from dashboard.reports.month_found import Found, bank_cell, bank_column
from dashboard.reports.reading import NOBODY, Overdue
from domain.events import FiveClass

FIVE: tuple[FiveClass, ...] = get_args(FiveClass)
DPD_SUBSTANDARD = 91  # over 90 days: at least 次级; any arrears: at least 关注


def at_least(dpd: int) -> FiveClass:
    """Return the best class that a loan so many days past due may have: overdue 关注, over 90 days 次级."""
    return "次级" if dpd >= DPD_SUBSTANDARD else "关注"


def too_good(loan: Overdue) -> bool:
    """Return whether a loan's class, as reported, is better than its arrears allow, or was never reported."""
    return loan.five_class is None or FIVE.index(loan.five_class) < FIVE.index(at_least(loan.dpd))


def class_table(basis: Basis, loans: Sequence[Overdue], found: Found | None = None) -> Table:
    """Return the loans that should be looked at for another class; a person decides."""
    t = basis.t
    rows: list[list[Cell]] = []
    for one in loans:
        if too_good(one):
            customer = NOBODY if found is None else found.known.get((one.bank_id, one.enterprise_id), NOBODY)
            bank = () if found is None else bank_cell(basis, found, one.bank_id)
            who = () if found is None else (*bank, customer.customer_no, one.enterprise_id)
            rows.append([
                *who, one.loan_id, one.outstanding_minor, one.dpd, one.five_class, at_least(one.dpd),
                basis.at(one.partition, one.offset),
            ])  # fmt: skip
    heads = () if found is None else (*bank_column(basis), Column(t("客户号", "customer no."), "id", 14),
                                    Column(t("企业代码", "enterprise"), "id", 21))  # fmt: skip
    return Table(
        title=t("五级分类建议", "Five-class proposals"),
        columns=(
            *heads,
            Column(t("借据号", "loan"), "id", 18),
            Column(t("余额（元）", "outstanding (yuan)"), "money", 17),
            Column(t("逾期天数", "days past due"), "count", 10),
            Column(t("现分类", "class now"), "text", 9),
            Column(t("建议不高于", "no better than"), "text", 11),
            Column(t("日志位点", "log offset"), "id", 11),
        ),
        rows=rows,
        note=t("逾期至少关注，逾期90天以上至少次级；由人认定。按最近一次上报。",
               "Overdue: at least 关注; over 90 days: at least 次级. A person decides. By the newest report."),
        empty=t("没有要调整的贷款。", "No loan is concerned."),
    )  # fmt: skip
