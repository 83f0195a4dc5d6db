"""Subscriptions: what is delivered of a bank's alerts, and the errors of a file that is wrong."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.catalogue import signals
from config.errors import SettingsError
from domain.outputs import SEVERITIES, Alert, CaseLine, LoanOfAlert, LoansMore
from sinks import routing
from sinks.routing import Handler, Router, load

SIGNALS = [row.id for row in signals()]
FINDINGS = {"decline": ("EWS01_inflow_collapse", "EWS06_credit_count_fall"), "arrears": ("EWS35_arrears",)}
ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000


def alert(number: int = 1, **fields: Any) -> Alert:
    """Return alert `number`, of the case of that number."""
    given: dict[str, Any] = {
        "alert_id": f"a{number}", "episode_id": f"a{number}", "case_id": f"c{number}", "case_severity": "orange",
        "revision": 1, "enterprise_id": "E", "signal": "EWS01_inflow_collapse", "severity": "orange",
        "state": "raised", "stock": False, "opened_at": 0, "as_of": 0, "score": 450, "score_before": 500,
        "evidence": [], "event_ids": [], "loans": [], "banks": [], "title_zh": "", "text_zh": "",
        "suggested_action_zh": "", "model_id": "", "rules_id": "", "offset": 5, "seq": 0,
    }  # fmt: skip
    return Alert(**given | fields)


def router(tmp_path: Path, text: str) -> Router:
    file = tmp_path / "desk.toml"
    file.write_text(text if "[[subscription]]" in text else f'[[subscription]]\nname = "one"\n{text}')
    return Router(load(file, SIGNALS, FINDINGS))


LOANS = [LoanOfAlert(loan_id="L1", outstanding_minor=60_000_00, dpd=None)]
LINES = [CaseLine(name="EWS35_arrears", finding="", severity="red", opened_at=0, stale=False, points_milli=1)]


@pytest.mark.parametrize(
    ("keys", "delivered", "held"),
    [
        ('signals = ["EWS01"]', [{}], [{"signal": "EWS35_arrears"}]),
        ('signals = ["EWS35_arrears"]', [{"signal": "EWS35_arrears"}, {"case_lines": LINES}], [{}]),
        ('findings = ["decline"]', [{}], [{"signal": "EWS35_arrears"}]),
        ('signals = ["EWS35"]\nfindings = ["decline"]', [{}, {"signal": "EWS35_arrears"}],
         [{"signal": "EWS03_three_falling_months"}]),
        ('severity_from = "orange"', [{}, {"severity": "red"}], [{"severity": "yellow"}]),
        ('case_severity_from = "red"', [{"case_severity": "red"}], [{}]),
        ("pd_12m_from = 0.05", [{"case_pd_12m_ppm": 50_000}, {}], [{"case_pd_12m_ppm": 49_999}]),
        ("score_to = 450", [{}], [{"score": 451}]),
        ("outstanding_from_cny = 60000",
         [{"loans": LOANS}, {}, {"loans_more": LoansMore(count=1, outstanding_minor=60_000_00, dpd=None)}],
         [{"loans": [msgspec.structs.replace(LOANS[0], outstanding_minor=59_999_99)]}]),
        ('kinds = ["new", "graver"]',
         [{}, {"state": "upgraded", "revision": 2}, {"state": "downgraded", "case_state": "graver"},
          {"state": "cleared", "case_state": "opened"}],
         [{"state": "downgraded"}, {"stock": True}, {"stock": True, "case_state": "opened"},
          {"state": "raised", "revision": 2}, {"state": "stale"}, {"state": "cleared"}, {"offset": -1},
          {"case_state": "eased"}, {"case_state": "resolved"}, {"state": "closed", "case_state": "graver"}]),
        ('kinds = ["list", "notice"]', [{"stock": True}, {"offset": -1}], [{}, {"offset": -1, "state": "closed"}]),
    ],
)  # fmt: skip
def test_an_alert_is_delivered_where_it_meets_every_key(
    tmp_path: Path, keys: str, delivered: list[dict[str, Any]], held: list[dict[str, Any]]
) -> None:
    for expected, cases in ((True, delivered), (False, held)):
        for fields in cases:
            verdict = router(tmp_path, keys).decide(alert(**fields))
            assert verdict == ((True, "one") if expected else (False, "not_subscribed")), fields


def test_branches_and_managers_count_where_they_are_known(tmp_path: Path) -> None:
    for keys in ('branches = ["0012"]', 'managers = ["m7"]'):
        its = Handler("0012", "m7")
        others = Handler("0099", "m8")
        one = router(tmp_path, keys)
        assert one.asks_handlers
        assert one.decide(alert(1), [others, its]).delivered
        assert not one.decide(alert(2), [others]).delivered
        assert one.decide(alert(3)).delivered, "nobody has said who looks after the loan"
        assert one.decide(alert(4), [Handler(None, None)]).delivered


def test_one_of_several_subscriptions_is_enough(tmp_path: Path) -> None:
    one = router(tmp_path, """
        [[subscription]]
        name = "red"
        case_severity_from = "red"
        [[subscription]]
        name = "arrears"
        signals = ["EWS35"]
    """)  # fmt: skip
    assert one.decide(alert(1, case_severity="red")).why == "red"
    assert one.decide(alert(2, signal="EWS35_arrears")).why == "arrears"
    assert one.decide(alert(3)).why == "not_subscribed"
    assert one.counts == {"red": 1, "arrears": 1, "not_subscribed": 1}
    assert one.held == {"not_subscribed": 1, "quiet": 0}


@pytest.mark.parametrize(
    "end",
    [
        {"state": "cleared"}, {"state": "ended"}, {"state": "retracted"}, {"state": "closed"},
        {"alert_id": "another", "state": "raised", "case_state": "resolved"},
        {"state": "retracted", "case_state": "eased"},
    ],
)  # fmt: skip
def test_the_end_of_what_was_delivered_is_never_held_back(tmp_path: Path, end: dict[str, Any]) -> None:
    keys = 'kinds = ["new"]\nseverity_from = "red"'
    of_one = alert(**{"severity": "yellow", "case_severity": "yellow", "revision": 2} | end)
    told = router(tmp_path, f"quiet_days = 9\n[[subscription]]\nname = 'one'\n{keys}")
    assert told.decide(alert(1, severity="red")).delivered
    assert told.decide(of_one) == (True, routing.FOLLOW_UP)
    untold = router(tmp_path, keys)
    assert not untold.decide(alert(1)).delivered
    assert not untold.decide(of_one).delivered, "nobody was told of it"


def test_an_easing_of_what_was_delivered_comes_where_easings_are_asked_for(tmp_path: Path) -> None:
    eased = alert(1, severity="yellow", case_severity="yellow", case_state="eased", revision=2)
    for kinds, comes in (("", True), ('kinds = ["new", "eased"]', True), ('kinds = ["new"]', False)):
        one = router(tmp_path, f'case_severity_from = "red"\n{kinds}')
        assert one.decide(alert(1, case_severity="red")).delivered
        assert one.decide(eased).delivered is comes


def test_a_case_is_quiet_for_a_while_unless_it_becomes_graver(tmp_path: Path) -> None:
    def of_day(day: int, severity: str, **fields: Any) -> Alert:
        return alert(**{"alert_id": f"a{day}", "as_of": day * DAY_MS, "case_severity": severity} | fields)

    one = router(tmp_path, "quiet_days = 7\n[[subscription]]\nname = 'one'")
    said = [
        (of_day(0, "yellow"), True),
        (of_day(6, "yellow"), False),
        (of_day(6, "orange"), True),
        (of_day(7, "yellow"), False),
        (of_day(8, "orange"), False),
        (of_day(8, "orange", case_id="c2"), True),
        (of_day(9, "red"), True),
        (of_day(15, "red"), False),
        (of_day(16, "red"), True),
        (of_day(17, "red", alert_id="a16", state="cleared"), True),
        (of_day(17, "red", offset=-1, alert_id="n"), True),
        (of_day(18, "red", offset=-1, alert_id="n", revision=2), False),
        (of_day(18, "red", case_state="resolved"), True),
        (of_day(19, "yellow", case_id="c3"), True),
    ]
    assert [one.decide(given).delivered for given, _ in said] == [delivered for _, delivered in said]
    assert one.held == {"not_subscribed": 0, "quiet": 5}


def test_alerts_without_a_case_are_no_repeats_of_each_other(tmp_path: Path) -> None:
    one = router(tmp_path, "quiet_days = 7\n[[subscription]]\nname = 'one'")
    listed = {"stock": True, "case_id": "", "case_severity": None}
    assert one.decide(alert(1, **listed)).delivered
    assert one.decide(alert(2, **listed)).delivered
    assert one.decide(alert(1, revision=2, **listed)).why == "quiet"


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "REMEMBERED_MAX", 4)
    one = router(tmp_path, 'kinds = ["new"]')
    for number in (1, 2, 3):
        assert one.decide(alert(number)).delivered
    ends = [one.decide(alert(number, state="cleared", revision=2)).delivered for number in (1, 2, 3)]
    assert ends == [False, True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"missing required field `subscription`"),
        ("subscription = []", "subscription"),
        ("[[subscription]", r"desk\.toml: .*line 1"),
        ("[[subscription]]\nname = ''", r"\[\[subscription\]\] 1 name: "),
        ("[[subscription]]\nname = 'a'\n[[subscription]]\nname = 'a'", r"\[\[subscription\]\] 2 \(a\) name: "),
        ("[[subscription]]\nname = 'quiet'", r"1 \(quiet\) name: it is taken"),
        ("[[subscription]]\nname = 'a'\nsevere = 'red'", r"\[\[subscription\]\] 1: .*`severe`"),
        ("[[subscription]]\nname = 'a'\nseverity_from = 'blue'", r"\[\[subscription\]\] 1 severity_from: .*'blue'"),
        ("[[subscription]]\nname = 'a'\nkinds = ['neu']", r"\[\[subscription\]\] 1 kinds\[0\]: .*'neu'"),
        ("[[subscription]]\nname = 'a'\nkinds = []", r"\[\[subscription\]\] 1 kinds: "),
        ("[[subscription]]\nname = 'a'\npd_12m_from = 5", r"\[\[subscription\]\] 1 pd_12m_from: "),
        ("[[subscription]]\nname = 'a'\nsignals = ['EWS1']", r"1 \(a\) signals: there is no 'EWS1'; close to it: EWS"),
        ("[[subscription]]\nname = 'a'\nfindings = ['fall']", r"1 \(a\) findings: there is no 'fall'"),
        ("quiet_days = -1\n[[subscription]]\nname = 'a'", r"quiet_days: "),
    ],
)
def test_an_error_names_the_file_and_the_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(file, SIGNALS, FINDINGS)
    message = str(refused.value)
    assert message.startswith(f"subscription file {file}: ")
    assert re.search(said, message), message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"subscription file .*none\.toml: .*No such file"):
        load(tmp_path / "none.toml", SIGNALS, FINDINGS)


def test_the_example_is_a_file_that_is_read(tmp_path: Path) -> None:
    given = load(ROOT / "config" / "ops" / "subscription.toml", SIGNALS, FINDINGS)
    assert [SEVERITIES.index(one.case_severity_from or "yellow") for one in given.subscription] == [2, 1, 0]
    one = Router(given)
    assert one.decide(alert(1, case_severity="red")).delivered
    assert not one.decide(alert(2, case_severity="yellow"), [Handler("0012", None)]).delivered
