"""The query for the lives of cases as they stood at the end of a day: the view `case_life`, cut to what was known then.

It is made of the text of the view, so that the two cannot differ.
"""

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from sinks.clickhouse.migrations import scripts, statements

_VIEW = "CREATE VIEW IF NOT EXISTS {database}.case_life AS\n"
_RECORDS = "{database}.case_record FINAL"
OF_BANK = "({bank:String} = '' OR bank_id = {bank:String})"


def day_before(time: str) -> str:
    """Return the day number of the millisecond before a column of times: of `as_of`, `opened_at`."""
    return f"intDiv(toUnixTimestamp64Milli({time}) - 1 + {ZONE_OFFSET_MS}, {DAY_MS})"


def case_lives(database: str) -> str:
    """Return a query for the rows of `case_life`, of the records up to a day.

    Its parameters: bank String, whose cases (empty: every bank's); up_to Int32, a day number. Raise ValueError where
    the view reads anything but each case record once.
    """
    *_, text = (one for _, _, body in scripts() for one in statements(body) if one.startswith(_VIEW))
    query = text.removeprefix(_VIEW)
    if query.count("{database}") != 1 or query.count(_RECORDS) != 1:
        raise ValueError("the view case_life does not read case_record once")
    cut = f"{_RECORDS} WHERE {OF_BANK} AND {day_before('as_of')} <= {{up_to:Int32}}"
    return query.replace(_RECORDS, cut).replace("{database}", database)
