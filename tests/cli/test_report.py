"""`xinliu report`: files written, and what is asked for in vain, over an archive that the roles have written."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cli.main import main
from sinks.clickhouse import connect, migrate, target_of
from tests.cli.kit import settings_file
from tests.dashboard.reports import opened
from tests.dashboard.reports.scenario import FORMULA, MINE, THEIRS, archived, settings

Report = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A settings file of an archive with the scenario."""
    folder = tmp_path_factory.mktemp("report")
    given = settings("127.0.0.1:1", folder / "clickhouse")
    db = connect(target_of(given.clickhouse))
    migrate(db)
    archived(db)
    db.close()
    return settings_file(folder, given)


@pytest.fixture
def report(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Report:
    """`report("ledger", …)` → exit code, what was printed. Files go to tmp_path."""
    monkeypatch.setenv("LANG", "en_GB.UTF-8")

    def call(*words: str) -> tuple[int, str]:
        code = main(["--config", str(config), "report", *words, "--out", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return call


def test_the_reports_of_a_bank_are_written_to_a_folder_in_chinese_unless_asked_otherwise(
    report: Report, tmp_path: Path
) -> None:
    code, said = report("ledger", "--bank", "临江", "--week", "2024-01-22")
    path = tmp_path / f"ledger-{MINE.bank_id}-2024-W04.xlsx"
    assert (code, said.strip()) == (0, str(path))
    assert f"'{FORMULA}" in [row["备注"] for row in opened.table(path.read_bytes(), "台账")]
    assert report("month", "2024-02", "--bank", MINE.bank_id, "--lang", "en")[0] == 0
    book = (tmp_path / f"month-{MINE.bank_id}-2024-02.xlsx").read_bytes()
    (lead,) = opened.table(book, "Lead")
    assert (lead["enterprise"], lead["lead in days"], lead["level then"]) == ("E2", 28, "yellow")
    assert '<html lang="en">' in (tmp_path / f"month-{MINE.bank_id}-2024-02.html").read_text(encoding="utf-8")
    case_id = lead["case"]
    code, said = report("case", case_id[:8], "--bank", MINE.bank_id)
    assert (code, said.strip()) == (0, str(tmp_path / f"case-{case_id}.docx"))
    assert "贷后检查报告" in opened.text((tmp_path / f"case-{case_id}.docx").read_bytes())


def test_without_a_bank_they_are_the_supervisors_and_without_a_week_the_last_whole_one(
    report: Report, tmp_path: Path
) -> None:
    assert report("ledger") == (0, f"{tmp_path / 'ledger-supervisor-2024-W10.xlsx'}\n")  # the data end on Friday of W11
    banks = [row["银行"] for row in opened.table((tmp_path / "ledger-supervisor-2024-W10.xlsx").read_bytes(), "台账")]
    assert banks == [THEIRS.name_zh, MINE.name_zh, THEIRS.name_zh]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ledger", "--bank", "nobody"), 2, "[[banks]] has no 'nobody'"),
        (("month", "2024-05"), 1, "2024-05 has not begun: the data of any bank end on 2024-03-15"),
        (("month", "2024-05", "--lang", "zh", "--bank", "临江"), 1, "2024-05 has not begun"),
        (("ledger", "--week", "2024-03-25", "--bank", "临江"), 1, "2024-W13 has not begun"),
        (("case", "0123456789abcdef", "--bank", "临江"), 1, "the cases of Linjiang & Sons begin with 0123456789abcdef"),
    ],
)
def test_what_cannot_be_written_is_one_message_and_no_file(
    report: Report, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    found, text = report(*words)
    assert (found, said in text) == (code, True), text
    assert len(text.splitlines()) == 1
    assert not list(tmp_path.glob("*.*"))


def test_a_case_of_another_bank_is_as_unknown_as_one_that_is_none(report: Report, tmp_path: Path) -> None:
    assert report("month", "2024-01")[0] == 0
    (red,) = opened.table((tmp_path / "month-supervisor-2024-01.xlsx").read_bytes(), "未处置红色")
    code, said = report("case", red["案件编号"], "--bank", MINE.bank_id)
    assert (code, "0 ids in the cases of Linjiang & Sons begin with" in said) == (1, True)
    assert report("case", red["案件编号"], "--bank", THEIRS.bank_id)[0] == 0


@pytest.mark.parametrize(("words", "said"), [
    (("month", "2024-13"), "'2024-13' is no month, as 2025-07"),
    (("ledger", "--week", "2024-02-30"), "'2024-02-30' is no date"),
    (("case", "0123456789abcdef"), "required: --bank"),
])  # fmt: skip
def test_a_wrong_call_is_refused(
    report: Report, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        report(*words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_archive_without_a_closed_day_or_out_of_reach_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    given = settings("127.0.0.1:1", "unused")
    away = msgspec.structs.replace(given.clickhouse, url="clickhouse://default@127.0.0.1:1/xinliu")
    path = settings_file(tmp_path, msgspec.structs.replace(given, clickhouse=away))
    assert main(["--config", str(path), "report", "month", "2024-01", "--out", str(tmp_path)]) == 1
    assert "[clickhouse]: ClickHouse at [clickhouse] url = clickhouse://default@127.0.0.1:1/xinliu does not answer" in (
        capsys.readouterr().err
    )
