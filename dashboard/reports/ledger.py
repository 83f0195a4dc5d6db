"""The weekly ledger of warnings and what was done about them (风险预警处置台账): a row a case."""

from collections.abc import Mapping, Sequence

from config.settings import Bank
from config.wordings import signal_names
from dashboard.reports import reading
from dashboard.reports.basis import Basis, Period, basis_of, named
from dashboard.reports.book import Book, Cell, Column, Table
from dashboard.reports.reading import NOBODY, Borrower, Customer, Life, LifeKey
from detectors.wording.desk import DISPOSITIONS, ESCALATIONS, STATES
from domain.calendar import date_of
from domain.language import Lang
from domain.outputs import SEVERITIES
from sinks.clickhouse import Connection

Told = Mapping[LifeKey, Sequence[str]]  # the signals that a bank was told of, by life of a case


def ledger(db: Connection, banks: Sequence[Bank], bank: Bank | None, period: Period, lang: Lang) -> Book:
    """Return the ledger of a week: the cases that were open in it, as they stood at its end, the gravest first.

    bank: whose cases; None: every bank's, for the supervisor. Raise NoReport, and what ClickHouse raises.
    """
    basis = basis_of(db, bank, lang, period)
    found = [
        life
        for life in reading.lives(db, basis.bank_id, period.last)
        if life.is_open or period.holds(life.closed)
    ]  # fmt: skip
    known, told = (
        reading.customers(db, basis.bank_id, period.last),
        reading.signals_told(db, basis.bank_id, period.last),
    )
    names = {each.bank_id: named(each, lang) for each in banks}
    rows = [_row(life, basis, period, known, told, names) for life in sorted(found, key=_gravest_first)]
    tables = [_cases(basis, rows)]
    if bank is None:
        tables.append(_by_bank(basis, found, names))
    return Book(
        lang=lang,
        title=basis.t("风险预警处置台账", "Ledger of risk warnings and their disposal"),
        whose=basis.whose,
        period=basis.period(period),
        data_date=basis.data_date,
        rests_on=basis.rests_on,
        made_on=basis.data_day,
        tables=(*tables, basis.table()),
    )


def open_at_end(found: Sequence[Life]) -> list[Life]:
    """Return the lives that are open."""
    return [life for life in found if life.is_open]


def overdue_days(life: Life, day: int) -> int | None:
    """Return by how many days a case is past its due day on a day; None where it is not."""
    return day - life.due if life.is_open and life.due is not None and life.due < day else None


def signals_of(life: Life, told: Told, lang: Lang) -> str:
    """Return the names of the signals that a bank was told of in a life of a case."""
    of_life, names = told.get(life.life_key, ()), signal_names()
    return ("、" if lang == "zh" else ", ").join(names[name].to(lang) if name in names else name for name in of_life)


def _gravest_first(life: Life) -> tuple[int, int, str, str, int]:
    level = -1 if life.severity is None else SEVERITIES.index(life.severity)
    return -level, -life.exposure_minor, life.bank_id, life.case_id, life.opened_ms


def _cases(basis: Basis, rows: Sequence[Sequence[Cell]]) -> Table:
    t = basis.t
    columns = [
        Column(t("案件编号", "case"), "id", 18),
        Column(t("银行", "bank"), "text", 16),
        Column(t("客户号", "customer no."), "id", 14),
        Column(t("企业代码", "enterprise"), "id", 21),
        Column(t("敞口（元）", "exposure (yuan)"), "money", 17),
        Column(t("信号", "signals"), "text", 24),
        Column(t("首发日", "opened"), "day", 11),
        Column(t("级别", "level"), "level", 7),
        Column(t("核查", "check"), "text", 24),
        Column(t("结论", "conclusion"), "text", 14),
        Column(t("措施", "measure"), "text", 22),
        Column(t("备注", "remark"), "text", 22),
        Column(t("机构", "branch"), "id", 9),
        Column(t("责任人", "responsible"), "text", 20),
        Column(t("时限", "due"), "day", 11),
        Column(t("状态", "state"), "text", 14),
        Column(t("日志位点", "log offset"), "id", 11),
    ]
    if basis.bank is not None:
        del columns[1]
    return Table(
        title=t("台账", "Ledger"),
        columns=columns,
        rows=rows,
        note=t("本期内未办结或在本期办结的案件，状态截至期末。责任人：客户经理；经办、复核为工号的散列值。",
               "Cases open in the period, or closed in it, as they stood at its end. Responsible: the account manager; "
               "maker and checker are hashes of staff numbers."),
        empty=t("本期没有案件。", "There was no case in this period."),
    )  # fmt: skip


def _row(
    life: Life, basis: Basis, period: Period, known: Mapping[Borrower, Customer], told: Told, names: Mapping[str, str]
) -> list[Cell]:
    lang, customer = basis.lang, known.get(life.borrower, NOBODY)
    row: list[Cell] = [
        life.case_id,
        names.get(life.bank_id, life.bank_id),
        customer.customer_no,
        life.enterprise_id,
        life.exposure_minor,
        signals_of(life, told, lang),
        life.opened,
        life.severity,
        _check(life, basis),
        _conclusion(life, basis),
        life.measure,
        life.remark,
        customer.branch_code,
        _responsible(life, customer, basis),
        life.due,
        _state(life, min(period.last, basis.data_day), basis),
        basis.at(customer.partition, life.offset),
    ]
    if basis.bank is not None:
        del row[1]
    return row


def _check(life: Life, basis: Basis) -> str:
    """Say when the check began and its conclusion was submitted, and whether in time."""

    def step(name: str, day: int | None, kept: bool | None) -> str:
        verdict = {True: basis.t("按期", "in time"), False: basis.t("超期", "late"), None: ""}[kept]
        when = basis.t("未办", "not done") if day is None else str(date_of(day))
        return f"{name} {when}" + (basis.t(f"（{verdict}）", f" ({verdict})") if verdict else "")

    parts = (
        step(basis.t("联系", "contact"), life.begun, life.contact_kept),
        step(basis.t("核查", "check"), life.submitted, life.visit_kept),
    )
    return basis.t("；", "; ").join(parts)


def _conclusion(life: Life, basis: Basis) -> str | None:
    if life.disposition is None:
        return None
    said = DISPOSITIONS[life.disposition].to(basis.lang)
    return said if life.until is None else said + basis.t("，至 ", ", until ") + str(date_of(life.until))


def _responsible(life: Life, customer: Customer, basis: Basis) -> str | None:
    parts = (
        customer.manager_no,
        life.maker and basis.t("经办 ", "maker ") + life.maker,
        life.checker and basis.t("复核 ", "checker ") + life.checker,
    )
    return basis.t("；", "; ").join(part for part in parts if part) or None


def _state(life: Life, day: int, basis: Basis) -> str:
    late = overdue_days(life, day)
    parts = [
        STATES[life.state].to(basis.lang),
        "" if late is None else basis.t(f"逾期{late}天", f"{late} days overdue"),
        ESCALATIONS[life.escalation].to(basis.lang) if life.is_open else "",
    ]
    return basis.t("，", ", ").join(part for part in parts if part)


def _by_bank(basis: Basis, found: Sequence[Life], names: Mapping[str, str]) -> Table:
    """Count the cases of each bank, for the supervisor."""
    t, standing = basis.t, open_at_end(found)
    rows: list[list[Cell]] = []
    for bank_id in sorted({life.bank_id for life in found}):
        own = [life for life in standing if life.bank_id == bank_id]
        levels = [sum(life.severity == level for life in own) for level in reversed(SEVERITIES)]
        rows.append([
            bank_id, names.get(bank_id, bank_id), len(own), *levels,
            sum(life.escalation != "desk" for life in own),
            sum(life.bank_id == bank_id and not life.is_open for life in found),
            sum({life.borrower: life.exposure_minor for life in own}.values()),
        ])  # fmt: skip
    counts = (t("未办结", "open"), t("红", "red"), t("橙", "orange"), t("黄", "yellow"), t("已上报", "escalated"),
              t("本期办结", "closed in the period"))  # fmt: skip
    return Table(
        title=t("按银行", "By bank"),
        columns=(
            Column(t("银行编码", "bank code"), "id", 18),
            Column(t("银行", "bank"), "text", 24),
            *(Column(head, "count", 12) for head in counts),
            Column(t("未办结敞口（元）", "exposure of open cases (yuan)"), "money", 20),
        ),
        rows=rows,
        empty=t("本期没有案件。", "There was no case in this period."),
    )
