"""The basis of a report: its bank, its period, and the offsets of the log that it rests on."""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from config.settings import Bank
from dashboard.reports import reading
from dashboard.reports.book import Column, Table
from domain.calendar import date_of, day_of_date
from domain.language import Lang, Words
from sinks.clickhouse import Connection

_NAMED_MAX = 4  # partitions that are named at the foot of each page; beyond, a table has them
_NO_DAY = Words(
    "档案里没有{}的日终：数据流还没有关过一天", "the archive has no closed day of {}: its feed has closed none"
)
_TOO_EARLY = Words("{0} 还没有开始：{2}的数据截至 {1}", "{0} has not begun: the data of {2} end on {1}")
_SUPERVISOR, _ANY = Words("监管", "supervisor"), Words("各家银行", "any bank")


class NoReport(Exception):
    """There is nothing that a report could say; `words` say why."""

    def __init__(self, words: Words) -> None:
        super().__init__(words.en)
        self.words = words


class Period(NamedTuple):
    """Days from `first` to `last`, day numbers, both included. name: as files and messages call it."""

    first: int
    last: int
    name: str

    def holds(self, day: int | None) -> bool:
        """Return whether a day lies in it."""
        return day is not None and self.first <= day <= self.last


def week_of(day: int) -> Period:
    """Return the ISO week of a day, Monday to Sunday."""
    year, week, weekday = date_of(day).isocalendar()
    return Period(day - weekday + 1, day - weekday + 7, f"{year}-W{week:02d}")


def month_of(year: int, month: int) -> Period:
    """Return a calendar month."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return Period(day_of_date(date(year, month, 1)), day_of_date(following) - 1, f"{year}-{month:02d}")


@dataclass(slots=True, kw_only=True)
class Basis:
    """The bank (None: the supervisor), the archive's last closed day of it, and the offsets that were read.

    offsets: by partition of `events.v1`, the highest that a row of the report rests on.
    """

    bank: Bank | None
    lang: Lang
    data_day: int
    offsets: dict[int, int] = field(default_factory=dict)

    @property
    def bank_id(self) -> str:
        """The bank's code as queries take it."""
        return "" if self.bank is None else self.bank.bank_id

    @property
    def whose(self) -> str:
        """The bank or the supervisor, as pages say it."""
        if self.bank is None:
            return _SUPERVISOR.to(self.lang)
        return f"{named(self.bank, self.lang)} {self.bank.bank_id}"

    def at(self, partition: int, offset: int) -> str:
        """Count a row in; return its place in the log as partition:offset."""
        self.offsets[partition] = max(offset, self.offsets.get(partition, offset))
        return f"{partition}:{offset}" if partition >= 0 else f"?:{offset}"

    def t(self, zh: str, en: str) -> str:
        """Return one of the two."""
        return zh if self.lang == "zh" else en

    @property
    def rests_on(self) -> str:
        """The offsets in a line."""
        places = [f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items())]
        if not places:
            return self.t("events.v1 位点：无", "events.v1 offsets: none")
        if len(places) > _NAMED_MAX:
            return self.t(f"events.v1 位点：{len(places)} 个分区，见“依据”",
                          f"events.v1 offsets: {len(places)} partitions, see Basis")  # fmt: skip
        return self.t("events.v1 位点：", "events.v1 offsets: ") + self.t("、", ", ").join(places)

    def period(self, period: Period) -> str:
        """Return the period, and what of it is still missing."""
        first, last = date_of(period.first), date_of(period.last)
        said = self.t(f"{period.name}（{first} 至 {last}）", f"{period.name} ({first} to {last})")
        return said + (self.t("，本期未完", ", not over yet") if period.last > self.data_day else "")

    @property
    def data_date(self) -> str:
        """The last closed day, as pages say it."""
        return self.t(f"数据日期：{date_of(self.data_day)}", f"data date: {date_of(self.data_day)}")

    def table(self) -> Table:
        """Return the offsets as a table."""
        return Table(
            title=self.t("依据", "Basis"),
            columns=(Column(self.t("events.v1 分区", "events.v1 partition"), "count", 18),
                     Column(self.t("最高位点", "highest offset"), "count", 18)),
            rows=sorted(self.offsets.items()),
            note=self.t("各行所依据的日志位点，取每个分区最高者",
                        "the offsets that the rows rest on, the highest of each partition"),
            empty=self.t("没有依据任何记录", "it rests on no record"),
        )  # fmt: skip


def named(bank: Bank, lang: Lang) -> str:
    """Return a bank's name."""
    return bank.name_zh if lang == "zh" or not bank.name_en else bank.name_en


def basis_of(db: Connection, bank: Bank | None, lang: Lang, period: Period | None = None) -> Basis:
    """Return the basis of a report of the bank, of a period.

    Raise NoReport where the archive has no closed day of the bank, or the period begins after it.
    """
    day = reading.closed_up_to(db, "" if bank is None else bank.bank_id)
    whose = _ANY if bank is None else Words(named(bank, "zh"), named(bank, "en"))
    if day is None:
        raise NoReport(Words(_NO_DAY.zh.format(whose.zh), _NO_DAY.en.format(whose.en)))
    if period is not None and period.first > day:
        late = period.name, date_of(day)
        raise NoReport(Words(_TOO_EARLY.zh.format(*late, whose.zh), _TOO_EARLY.en.format(*late, whose.en)))
    return Basis(bank=bank, lang=lang, data_day=day)
