"""Reports from an archive that the roles have written: each number by hand, each bank apart, the same bytes again."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from config.settings import Bank
from dashboard.reports import reading
from dashboard.reports.basis import NoReport, basis_of, month_of, week_of
from dashboard.reports.check import check
from dashboard.reports.ledger import ledger
from dashboard.reports.letter import letter
from dashboard.reports.month import month
from dashboard.reports.page import page
from dashboard.reports.workbook import workbook
from domain.calendar import day_of_date
from sinks.clickhouse import Connection, migrate
from sinks.clickhouse.case_lives import case_lives
from tests.dashboard.reports import opened
from tests.dashboard.reports.scenario import FORMULA, MACRO, MINE, THEIRS, archived

BANKS = (MINE, THEIRS)
JANUARY, FEBRUARY, MARCH = (month_of(2024, number) for number in (1, 2, 3))
EPOCH = date(1899, 12, 30)  # of a spreadsheet's days


@pytest.fixture(scope="module")
def stored(clickhouse: Connection) -> Iterator[Connection]:
    """The archive of the scenario."""
    clickhouse.execute("DROP DATABASE IF EXISTS xinliu")
    migrate(clickhouse)
    archived(clickhouse)
    return clickhouse


def on(year: int, month_: int, day: int) -> float:
    return float((date(year, month_, day) - EPOCH).days)


def week(stored: Connection, day: date, bank: Bank | None = MINE) -> bytes:
    return workbook(ledger(stored, BANKS, bank, week_of(day_of_date(day)), "zh"))


def monthly(stored: Connection, period: Any, bank: Bank | None = MINE) -> bytes:
    return workbook(month(stored, BANKS, bank, period, "zh"))


def case_of(stored: Connection, enterprise: str, bank: Bank = MINE) -> str:
    (found,) = {
        life.case_id for life in reading.lives(stored, bank.bank_id, 2**31 - 1) if life.enterprise_id == enterprise
    }
    return found


def test_the_weeks_ledger_has_the_banks_cases_as_they_stood_at_its_end(stored: Connection) -> None:
    rows = opened.table(week(stored, date(2024, 1, 10)), "台账")
    assert [row["企业代码"] for row in rows] == ["E1", "E2", "E3"], "the gravest first"
    assert [row["级别"] for row in rows] == ["红", "橙", "黄"]
    assert [row["敞口（元）"] for row in rows] == [1_000_000.01, 1_000_000.02, 1_000_000.03]
    assert [row["首发日"] for row in rows] == [on(2024, 1, 11), on(2024, 1, 9), on(2024, 1, 9)]
    assert [row["状态"] for row in rows] == ["核查中", "待签收", "待签收"]
    assert [row["时限"] for row in rows] == [on(2024, 1, 16), on(2024, 1, 19), None]
    assert {row["信号"] for row in rows} == {"贷款逾期"}
    assert rows[0]["核查"] == "联系 2024-01-12（按期）；核查 未办"
    assert (rows[0]["客户号"], rows[0]["机构"]) == ("'=1+mine-E1", "B1")
    assert rows[0]["责任人"].startswith("'@M1；经办 ")
    assert rows[0]["案件编号"] == case_of(stored, "E1")


def test_the_next_weeks_have_what_was_closed_in_them_and_what_is_past_its_due_day(stored: Connection) -> None:
    first, second, third = opened.table(week(stored, date(2024, 1, 21)), "台账")
    assert (first["企业代码"], first["状态"], first["时限"]) == ("E1", "已处置", None)
    assert first["核查"] == "联系 2024-01-12（按期）；核查 2024-01-17（超期）"
    assert (first["结论"], first["措施"]) == ("属实", f"'{MACRO}")
    assert (second["状态"], third["状态"]) == ("待签收，逾期2天", "待签收")
    second, third = opened.table(week(stored, date(2024, 1, 22)), "台账")
    assert (second["企业代码"], second["状态"]) == ("E2", "待签收，逾期9天，报监管")
    assert (third["企业代码"], third["状态"], third["结论"]) == ("E3", "误报", "误报，至 2024-03-31")


def test_text_that_begins_like_a_formula_is_quoted_and_no_cell_is_one(stored: Connection) -> None:
    body = week(stored, date(2024, 1, 22))
    row = opened.table(body, "台账")[1]
    assert (row["备注"], row["措施"]) == (f"'{FORMULA}", "'@SUM(1)")
    (earlier, *_) = opened.table(week(stored, date(2024, 1, 18)), "台账")
    assert earlier["备注"] == "'-已上门\\u0009核实"
    every = [cell for rows in opened.sheets(body).values() for line in rows for cell in line if isinstance(cell, str)]
    assert not [cell for cell in every if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert "hyperlink" not in "".join(opened.parts(body)).lower()


def test_each_row_has_the_offset_that_it_rests_on_and_the_book_the_highest(stored: Connection) -> None:
    body = week(stored, date(2024, 1, 10))
    query = """SELECT max(log_offset) FROM xinliu.case_record
        WHERE enterprise_id = {e:String} AND bank_id = {b:String} AND as_of <= '2024-01-14 16:00:00'"""
    offsets = [stored.rows(query, {"e": one, "b": MINE.bank_id})[0][0] for one in ("E1", "E2", "E3")]
    assert [row["日志位点"] for row in opened.table(body, "台账")] == [f"0:{offset}" for offset in offsets]
    assert opened.table(body, "依据") == [{"events.v1 分区": 0.0, "最高位点": float(max(offsets))}]
    assert f"events.v1 位点：0:{max(offsets)}" in opened.sheets(body)["台账"][1][0]


def test_a_week_without_cases_says_so(stored: Connection) -> None:
    rows = opened.sheets(week(stored, date(2024, 1, 3)))["台账"]
    assert rows[4][0] == "本期没有案件。"
    assert "events.v1 位点：无" in rows[1][0]


def test_a_sheet_is_ready_to_be_printed(stored: Connection) -> None:
    known = opened.parts(week(stored, date(2024, 1, 10)))
    sheet = known["xl/worksheets/sheet1.xml"]
    assert '<pane xSplit="1" ySplit="4" topLeftCell="B5" activePane="bottomRight" state="frozen"/>' in sheet
    assert 'paperSize="9"' in sheet
    assert 'orientation="landscape"' in sheet
    assert 'fitToHeight="0"' in sheet
    assert (
        "&amp;L临江&amp;&amp;银行 C1010211000012&amp;C风险预警处置台账&amp;R2024-W02（2024-01-08 至 2024-01-14）"
        in sheet
    )
    assert "&amp;L数据日期：2024-03-15&amp;Cevents.v1 位点：0:" in sheet
    assert "$A$4" in known["xl/workbook.xml"] or "$4:$4" in known["xl/workbook.xml"], "the head on each page"
    assert 'width="21.' in sheet
    assert 'formatCode="yyyy-mm-dd"' in known["xl/styles.xml"]


def summary(body: bytes) -> dict[str, float | None]:
    return {row["项目"].strip("　"): row["数值"] for row in opened.table(body, "概要")}


def test_january_by_hand(stored: Connection) -> None:
    body = monthly(stored, JANUARY)
    assert summary(body) == {
        "期初未办结案件": 0, "本月新开案件": 3, "本月办结案件": 2, "期末未办结案件": 1,
        "其中红": 0, "其中橙": 1, "其中黄": 0,
        "期末逾期未办案件": 1, "本月有处置结论的案件": 2, "其中误报": 1,
        "本月新增逾期30天以上客户": 1, "其中事先有预警": 0,
        "其中提前60天以上": 0, "提前天数中位数": None,
    }  # fmt: skip
    moved = {row["期初＼期末"]: row for row in opened.table(body, "迁徙")}
    assert (moved["无案件"]["橙"], moved["无案件"]["已办结"], moved["无案件"]["合计"]) == (1, 2, 3)
    assert all(row["合计"] == 0 for name, row in moved.items() if name != "无案件")
    timely = {(row["环节"], row["级别"]): row for row in opened.table(body, "及时性")}
    shown = ("本月到期", "按期", "超期", "超期并上报", "及时率")
    assert [timely["联系企业", "红"][name] for name in shown] == [1, 1, 0, 0, 1]
    assert [timely["核查并提交", "红"][name] for name in shown] == [
        1,
        0,
        1,
        0,
        0,
    ]  # due on 16 January, done on the 17th
    assert [timely["联系企业", "橙"][name] for name in shown] == [1, 0, 1, 1, 0]
    assert [timely["联系企业", "黄"][name] for name in shown] == [0, 0, 0, 0, None]
    closed = {row["结论"]: row for row in opened.table(body, "误报")}
    assert {name: row["本月办结案件"] for name, row in closed.items() if row["本月办结案件"]} == {"属实": 1, "误报": 1}
    assert closed["误报"]["占有结论的"] == 0.5
    (signal,) = opened.table(body, "误报按信号")
    assert [signal[name] for name in ("信号编号", "有结论的案件", "属实", "误报", "其他", "误报率")] == [
        "EWS35_arrears", 2, 1, 1, 0, 0.5,
    ]  # fmt: skip
    assert opened.sheets(body)["预警提前量"][4][0] == "本月没有事先有预警的新增逾期客户。"
    (missed,) = opened.table(
        body, "漏报"
    )  # 35 days on 11 January: over 30 since the 7th; the case was opened on the 11th
    assert [missed[name] for name in ("企业代码", "借据号", "逾期超30天日", "上报逾期天数")] == [
        "E1", "L-E1-mine", on(2024, 1, 7), 35,
    ]  # fmt: skip
    classes = [
        (row["企业代码"], row["逾期天数"], row["现分类"], row["建议不高于"])
        for row in opened.table(body, "五级分类建议")
    ]
    assert classes == [("E1", 35, "正常", "关注"), ("E2", 12, "正常", "关注")]


def test_february_by_hand(stored: Connection) -> None:
    body = monthly(stored, FEBRUARY)
    assert summary(body) == {
        "期初未办结案件": 1, "本月新开案件": 0, "本月办结案件": 0, "期末未办结案件": 1,
        "其中红": 1, "其中橙": 0, "其中黄": 0,
        "期末逾期未办案件": 1, "本月有处置结论的案件": 0, "其中误报": 0,
        "本月新增逾期30天以上客户": 1, "其中事先有预警": 1,
        "其中提前60天以上": 0, "提前天数中位数": 28,
    }  # fmt: skip
    moved = {row["期初＼期末"]: row for row in opened.table(body, "迁徙")}
    assert (moved["橙"]["红"], sum(row["合计"] for row in moved.values())) == (1, 1), "closed before: no migration"
    (lead,) = opened.table(body, "预警提前量")  # 33 days on 8 February: over 30 since the 6th
    assert [lead[name] for name in ("企业代码", "逾期超30天日", "首次预警日", "当时级别", "提前天数")] == [
        "E2", on(2024, 2, 6), on(2024, 1, 9), "黄", 28,
    ]  # fmt: skip
    assert [lead[name] for name in ("首次橙红日", "橙红提前天数", "案件编号")] == [
        on(2024, 1, 14), 23, case_of(stored, "E2"),
    ]  # fmt: skip
    (place,) = stored.rows("SELECT log_offset FROM xinliu.loan WHERE event_id = 'E2-mine-overdue-38'")[0]
    assert lead["日志位点"] == f"0:{place}"
    timely = {(row["环节"], row["级别"]): row["超期并上报"] for row in opened.table(body, "及时性")}
    assert (timely["联系企业", "红"], timely["核查并提交", "红"], timely["联系企业", "橙"]) == (1, 1, 0)
    assert opened.sheets(body)["漏报"][4][0] == "本月没有漏报。"


def test_the_supervisor_sees_all_banks_with_aggregates_and_undealt_reds(stored: Connection) -> None:
    body = monthly(stored, JANUARY, None)
    by_bank = {row["银行"]: row for row in opened.table(body, "按银行")}
    mine, theirs = by_bank["临江&银行"], by_bank["望海农商银行"]
    assert [mine[name] for name in ("未办结", "红", "橙", "黄", "本月有结论", "其中误报")] == [1, 0, 1, 0, 2, 1]
    assert [theirs[name] for name in ("未办结", "红", "橙", "黄", "本月有结论", "其中误报")] == [2, 1, 1, 0, 0, 0]
    assert (mine["未办结敞口（元）"], theirs["未办结敞口（元）"]) == (1_000_000.02, 2_000_000.05)
    assert theirs["敞口占比"] == pytest.approx(200_000_005 / 300_000_007, abs=1e-6)
    (red,) = opened.table(body, "未处置红色")
    assert (red["银行"], red["企业代码"], red["逾期天数"]) == ("望海农商银行", "E1", 19)  # due on 12 January
    assert [(row["银行"], row["企业代码"]) for row in opened.table(body, "漏报")] == [
        ("临江&银行", "E1"), ("望海农商银行", "E1"),
    ]  # fmt: skip
    (version,) = opened.table(body, "规则与模型版本")
    ((alerts,),) = stored.rows("SELECT count() FROM xinliu.alert FINAL WHERE as_of <= '2024-01-31 16:00:00'")
    assert version["预警条数"] == alerts > 0
    assert {row["银行"] for row in opened.table(week(stored, date(2024, 1, 10), None), "台账")} == set(by_bank)


@pytest.mark.parametrize(("bank", "others"), [(MINE, THEIRS), (THEIRS, MINE)])
def test_a_bank_sees_nothing_of_another(stored: Connection, bank: Bank, others: Bank) -> None:
    books = [ledger(stored, BANKS, bank, week_of(day_of_date(date(2024, 1, 10)) + 7 * n), "zh") for n in range(9)]
    books += [month(stored, BANKS, bank, period, "zh") for period in (JANUARY, FEBRUARY, MARCH)]
    bodies = [*map(workbook, books), *map(page, books)]
    bodies += [letter(check(stored, bank, one, "zh")) for one in reading.case_ids(stored, bank.bank_id)]
    whole = "".join("".join(opened.parts(body).values()) if body[:2] == b"PK" else body.decode() for body in bodies)
    whose = "theirs" if others is THEIRS else "mine"
    foreign = [others.bank_id, others.name_zh, whose, *reading.case_ids(stored, others.bank_id)]
    assert [word for word in foreign if word in whole] == []
    assert case_of(stored, "E1", bank) in whole


def test_the_report_on_a_case_has_what_is_known_and_leaves_the_conclusion_open(stored: Connection) -> None:
    body = letter(check(stored, MINE, case_of(stored, "E2"), "zh"))
    facts = dict(map(tuple, opened.grid(body, 0)))
    assert (facts["客户号"], facts["企业代码"], facts["本行敞口（元）"]) == ("=1+mine-E2", "E2", "1,000,000.02")
    assert (facts["级别"], facts["状态"], facts["首发日"]) == ("红", "待签收，报监管", "2024-01-09")
    assert (facts["联系时限"], facts["现场核查时限"]) == ("2024-02-07", "2024-02-09")
    (loan,) = opened.grid(body, 1)[1:]
    assert [loan[at] for at in (0, 1, 3, 5, 7, 8, 9)] == [
        "L-E2-mine", "K-mine", "1,000,000.02", "2024-12-31", "33", "正常", "保证",
    ]  # fmt: skip
    (warning,) = opened.grid(body, 2)[1:]
    assert warning[:2] == ["2024-02-06", "红"]
    assert "逾期31天（红线30天）" in warning[2]
    history = opened.grid(body, 4 - _transactions_missing(body))
    assert [row[1] for row in history[1:]] == ["新开", "升级", "逾期未办", "逾期未办", "升级", "逾期未办", "逾期未办"]
    said = opened.text(body)
    assert "预警结论：□ 属实" in said
    assert "检查人：＿" in said
    assert "核实逾期原因、还款计划和担保状况" in said
    assert "五级分类" in said


def test_the_newest_claim_that_the_bank_was_told_stands_in_it_with_its_day(stored: Connection) -> None:
    one = case_of(stored, "E3")
    (row,) = stored.rows("SELECT alert_id FROM xinliu.alert_told WHERE case_id = {case:String} LIMIT 1", {"case": one})
    stored.execute(
        f"""INSERT INTO xinliu.alert_told SELECT * REPLACE (250000 AS case_pd_12m_ppm, revision + 7 AS revision)
        FROM (SELECT * FROM xinliu.alert_told FINAL WHERE alert_id = '{row[0]}' AND revision = 1)"""
    )
    assert ["未来12个月逾期30天以上的概率", "25.0%（2024-01-09）"] in opened.grid(
        letter(check(stored, MINE, one, "zh")), 0
    )


def _transactions_missing(body: bytes) -> int:
    return "没有可以说明这些信号的本行流水。" in opened.text(body)


def test_an_action_stands_in_the_report_with_its_text_and_who_did_it(stored: Connection) -> None:
    body = letter(check(stored, MINE, case_of(stored, "E1"), "en"))
    history = opened.grid(body, 4 - ("None explains these signals." in opened.text(body)))[1:]
    assert [row[1] for row in history] == ["opened", "signed", "begun", "submitted", "overdue", "approved"]
    signed, submitted, approved = history[1], history[3], history[5]
    assert submitted[0] == "2024-01-17"
    assert f"confirmed; {MACRO}; -已上门\\u0009核实" in submitted[6]
    assert len(signed[4]) == 16
    assert signed[4] == submitted[4] != approved[5]


def test_the_same_archive_gives_the_same_bytes_however_it_was_written(stored: Connection) -> None:
    def all_of_it() -> list[bytes]:
        one_week = week_of(day_of_date(date(2024, 1, 20)))
        books = [ledger(stored, BANKS, None, one_week, "zh"), month(stored, BANKS, None, FEBRUARY, "en")]
        letters = [letter(check(stored, MINE, case_of(stored, name), "zh")) for name in ("E1", "E3")]
        return [*map(workbook, books), *map(page, books), *letters]

    first = all_of_it()
    archived(stored, piece=7)  # all of it again, in other blocks
    assert all_of_it() == first
    core = opened.parts(first[0])["docProps/core.xml"], opened.parts(first[-1])["docProps/core.xml"]
    assert all("2024-03-15T00:00:00Z" in one for one in core), "the time is that of the data"


def test_the_lives_as_of_the_newest_day_are_those_of_the_view(stored: Connection) -> None:
    query = f"SELECT * FROM ({case_lives('xinliu')}) ORDER BY ALL"
    found = stored.rows(query, {"bank": "", "up_to": 2**31 - 1})
    assert found == stored.rows("SELECT * FROM xinliu.case_life ORDER BY ALL")
    assert len(found) == 5
    assert {row[0] for row in stored.rows(query, {"bank": MINE.bank_id, "up_to": 2**31 - 1})} == {MINE.bank_id}


def test_the_page_has_the_tables_of_the_workbook(stored: Connection) -> None:
    body = page(month(stored, BANKS, MINE, FEBRUARY, "en")).decode()
    assert "<title>xinliu Monthly report on risk warnings</title>" in body
    assert "Linjiang &amp; Sons C1010211000012" in body
    assert f"<td>{case_of(stored, 'E2')}</td><td>2024-01-09</td><td>yellow</td><td class=n>28</td>" in body
    assert "<script" not in body


def test_what_has_not_begun_or_has_no_closed_day_is_refused(stored: Connection) -> None:
    with pytest.raises(NoReport, match="2024-04 has not begun: the data of Linjiang & Sons end on 2024-03-15"):
        month(stored, BANKS, MINE, month_of(2024, 4), "zh")
    nobody = Bank(bank_id="Z9000000000009", name_zh="无数据银行")
    with pytest.raises(NoReport, match="no closed day of 无数据银行"):
        basis_of(stored, nobody, "zh")
    assert "本期未完" in opened.sheets(monthly(stored, MARCH))["概要"][1][0]
