"""The tables of a month's report for the supervisor alone: aggregates and concentration, undealt reds, versions."""

from collections.abc import Callable

from dashboard.reports import reading
from dashboard.reports.basis import Basis, Period
from dashboard.reports.book import Cell, Column, Table
from dashboard.reports.ledger import open_at_end, overdue_days, signals_of
from dashboard.reports.month_found import Found, bank_cell, bank_column, judged_in, share
from dashboard.reports.reading import NOBODY, Life
from detectors.wording.desk import LEVELS
from domain.outputs import SEVERITIES
from sinks.clickhouse import Connection


def for_supervisor(db: Connection, basis: Basis, period: Period, found: Found) -> list[Table]:
    """Return aggregates by bank, industry and region with their shares of exposure, undealt reds, and versions."""
    t, profiles = basis.t, reading.profiles(db)
    unknown = t("未登记", "not registered")

    def group(title: str, head: str, name_of: Callable[[Life], str]) -> Table:
        names = {life.key: name_of(life) for life in found.after}
        standing = open_at_end(found.after)
        whole = sum({life.borrower: life.exposure_minor for life in standing}.values())
        rows: list[list[Cell]] = []
        for name in sorted(set(names.values())):
            own = [life for life in standing if names[life.key] == name]
            judged = [life for life in judged_in(found, period) if names[life.key] == name]
            exposure = sum({life.borrower: life.exposure_minor for life in own}.values())
            rows.append([
                name, len(own), *(sum(life.severity == level for life in own) for level in reversed(SEVERITIES)),
                len(judged), sum(life.disposition == "false_alarm" for life in judged), exposure,
                share(exposure, whole),
            ])  # fmt: skip
        counts = (t("未办结", "open"), *(LEVELS[level].to(basis.lang) for level in reversed(SEVERITIES)),
                  t("本月有结论", "disposed of"), t("其中误报", "false alarms"))  # fmt: skip
        return Table(
            title=title,
            columns=(
                Column(head, "text", 26),
                *(Column(count, "count", 11) for count in counts),
                Column(t("未办结敞口（元）", "exposure of open cases (yuan)"), "money", 20),
                Column(t("敞口占比", "share of exposure"), "share", 12),
            ),
            rows=rows,
            empty=t("没有案件。", "No case."),
        )

    reds = [
        life for life in open_at_end(found.after) if life.severity == "red" and life.state in ("awaiting", "signed")
    ]
    day = min(period.last, basis.data_day)
    undealt = Table(
        title=t("未处置红色", "Undealt reds"),
        columns=(
            Column(t("案件编号", "case"), "id", 18),
            *bank_column(basis),
            Column(t("企业代码", "enterprise"), "id", 21),
            Column(t("敞口（元）", "exposure (yuan)"), "money", 17),
            Column(t("信号", "signals"), "text", 26),
            Column(t("首发日", "opened"), "day", 11),
            Column(t("时限", "due"), "day", 11),
            Column(t("逾期天数", "days overdue"), "count", 10),
            Column(t("日志位点", "log offset"), "id", 11),
        ),
        rows=[
            [life.case_id, *bank_cell(basis, found, life.bank_id), life.enterprise_id, life.exposure_minor,
             signals_of(life, found.told, basis.lang), life.opened, life.due, overdue_days(life, day),
             basis.at(found.known.get(life.borrower, NOBODY).partition, life.offset)]
            for life in sorted(reds, key=lambda one: (-one.exposure_minor, one.case_id))
        ],
        empty=t("没有。", "None."),
    )  # fmt: skip
    used = Table(
        title=t("规则与模型版本", "Rules and models"),
        columns=(
            Column(t("规则", "rules"), "id", 36),
            Column(t("模型", "model"), "id", 36),
            Column(t("预警条数", "alerts"), "count", 12),
            Column(t("首日", "first day"), "day", 12),
            Column(t("末日", "last day"), "day", 12),
        ),
        rows=reading.versions(db, period.first, period.last),
        empty=t("本月没有预警。", "No alert in this month."),
    )
    return [
        group(t("按银行", "By bank"), t("银行", "bank"), lambda life: found.names.get(life.bank_id, life.bank_id)),
        group(t("按行业", "By industry"), t("行业门类", "industry"),
              lambda life: profiles.get(life.enterprise_id, (unknown, ""))[0]),
        group(t("按地区", "By region"), t("行政区划", "region"),
              lambda life: profiles.get(life.enterprise_id, ("", unknown))[1]),
        undealt,
        used,
    ]  # fmt: skip
