"""Write the reports of a desk from the archive: the week's ledger, a case, a month.

ledger  the ledger of warnings and what was done about them, a week (XLSX)
case    a prefilled report on the check of one case (DOCX); the officer concludes
month   migration, timeliness, false alarms, lead from alert to arrears, missed defaults (XLSX and HTML)

With --bank a report has the rows of that bank and of no other; without it, ledger and month are the supervisor's.
Each row has the offset of events.v1 that it rests on. The same archive gives the same bytes. Documents are in Chinese;
--lang en has them in English.

Example: xinliu report ledger --bank 示例银行1 --week 2026-06-29 --out reports
         xinliu report month 2026-06 --out reports

Exit codes: 0 written, 1 nothing to write, or ClickHouse does not answer, 2 wrong call or setting.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cli.banks import bank_named
from cli.deciding import NotDecided, guarded, one_of
from cli.numbers import date_of, month_of
from cli.words import reason_of, say
from config.settings import Bank, Settings
from config.whole_file import write_whole
from domain.calendar import date_of as date_of_day
from domain.calendar import day_of_date
from domain.language import LANGS, Lang
from domain.printable import printable

if TYPE_CHECKING:
    from sinks.clickhouse import Connection

ZH = """从档案生成报表：每周台账、单个案件、月报。

ledger  一周的风险预警处置台账（XLSX）
case    一个案件的贷后检查报告，已预填（DOCX），结论由检查人填写
month   迁徙、及时性、误报、预警提前量、漏报（XLSX 与 HTML）

带 --bank 只含该行的数据；不带时 ledger 和 month 是监管的。每一行注明所依据的 events.v1 位点。同样的档案生成的文件逐字节
相同。文件用中文，--lang en 用英文。

例：xinliu report ledger --bank 示例银行1 --week 2026-06-29 --out reports
    xinliu report month 2026-06 --out reports

退出码：0 已写出；1 没有可写的，或 ClickHouse 没有应答；2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the reports."""
    kinds = parser.add_subparsers(dest="action", required=True, metavar="ledger|case|month")
    ledger = kinds.add_parser("ledger", help=say("每周台账", "the week's ledger"))
    ledger.add_argument(
        "--week",
        type=date_of,
        metavar="YYYY-MM-DD",
        help=say(
            "这一天所在的周（缺省：数据里最近完整的一周）",
            "the week of this day (default: the last whole one of the data)",
        ),
    )
    case = kinds.add_parser("case", help=say("贷后检查报告", "a report on a check"))
    case.add_argument("case", metavar=say("案件", "CASE"), help=say("编号或其开头", "its id, or how it begins"))
    month = kinds.add_parser("month", help=say("月报", "the month's report"))
    month.add_argument("month", type=month_of, metavar="YYYY-MM")
    for kind in (ledger, case, month):
        kind.add_argument("--bank", required=kind is case, metavar=say("编码或名称", "CODE-or-NAME"))
        kind.add_argument(
            "--lang", choices=LANGS, default="zh", help=say("文件的语言（缺省 zh）", "of the documents (zh)")
        )
        kind.add_argument(
            "--out",
            type=Path,
            default=Path(),
            metavar="DIR",
            help=say("写到此文件夹（缺省：当前）", "a folder (default: this one)"),
        )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the report."""
    bank = None if args.bank is None else bank_named(settings, args.bank)
    return guarded("report", lambda: _run(args, settings, bank))


def _run(args: argparse.Namespace, settings: Settings, bank: Bank | None) -> int:
    from dashboard.reports.basis import NoReport
    from sinks.clickhouse import Refused, Unavailable, connect, target_of

    make = {"ledger": _ledger, "case": _case, "month": _month}[args.action]
    try:
        with closing(connect(target_of(settings.clickhouse))) as db:
            files = make(args, settings, db, bank)
    except (Refused, Unavailable) as error:
        raise NotDecided(f"[clickhouse]: {reason_of(error)}") from error
    except NoReport as error:
        raise NotDecided(say(*error.words)) from error
    for name, body in files.items():
        try:
            write_whole(args.out / name, body)
        except OSError as error:
            raise NotDecided(f"{error.filename}: {error.strerror}") from error
        print(printable(str(args.out / name)))
    return 0


def _ledger(args: argparse.Namespace, settings: Settings, db: Connection, bank: Bank | None) -> dict[str, bytes]:
    from dashboard.reports.basis import basis_of, week_of
    from dashboard.reports.ledger import ledger
    from dashboard.reports.workbook import workbook

    if args.week is None:
        closed = basis_of(db, bank, args.lang).data_day
        period = week_of(closed - date_of_day(closed).isoweekday() % 7)  # of the last Sunday that is closed
    else:
        period = week_of(day_of_date(args.week))
    return {f"ledger-{_owner(bank)}-{period.name}.xlsx": workbook(ledger(db, settings.banks, bank, period, args.lang))}


def _case(args: argparse.Namespace, _settings: Settings, db: Connection, bank: Bank | None) -> dict[str, bytes]:
    from dashboard.reports.check import check
    from dashboard.reports.letter import letter
    from dashboard.reports.reading import case_ids

    assert bank is not None
    where = say(f"{bank.name_zh}的案件", f"the cases of {bank.name_en or bank.name_zh}")
    case_id = one_of(case_ids(db, bank.bank_id), args.case, where)
    lang: Lang = args.lang
    return {f"case-{case_id}.docx": letter(check(db, bank, case_id, lang))}


def _month(args: argparse.Namespace, settings: Settings, db: Connection, bank: Bank | None) -> dict[str, bytes]:
    from dashboard.reports.basis import month_of as period_of
    from dashboard.reports.month import month
    from dashboard.reports.page import page
    from dashboard.reports.workbook import workbook

    book = month(db, settings.banks, bank, period_of(args.month.year, args.month.month), args.lang)
    name = f"month-{_owner(bank)}-{args.month:%Y-%m}"
    return {f"{name}.xlsx": workbook(book), f"{name}.html": page(book)}


def _owner(bank: Bank | None) -> str:
    return "supervisor" if bank is None else bank.bank_id
