"""Alerts folded to episodes, and the differences that count."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.calendar import day_of_text, day_start_ms
from domain.outputs import Alert
from replay.episodes import Episode, differences, episodes, read, write

BANK = "Z9000000000001"


def alert(revision: int, state: str, severity: str = "yellow", day: str = "2024-05-07", **changes: Any) -> Alert:
    close_ms = day_start_ms(day_of_text(day) + 1)  # the close of that day
    return msgspec.convert(
        {
            "alert_id": "a1", "episode_id": "a1", "case_id": "c1", "case_severity": "red",
            "revision": revision, "enterprise_id": "E1", "signal": "EWS01",
            "severity": severity, "state": state, "stock": False, "opened_at": day_start_ms(day_of_text("2024-05-02")),
            "as_of": close_ms, "score": 500, "score_before": 510, "evidence": [], "event_ids": [], "loans": [],
            "banks": [], "title_zh": "", "text_zh": "", "suggested_action_zh": "", "model_id": "m", "rules_id": "r",
            "offset": 1, "seq": 0, **changes,
        },
        Alert,
    )  # fmt: skip


RISING = [
    (None, alert(1, "raised", day="2024-05-01")),
    (BANK, alert(1, "raised", day="2024-05-01")),
    (None, alert(3, "cleared")),
    (None, alert(2, "upgraded", "red", "2024-05-03")),
]


def test_an_episode_keeps_its_days_its_highest_severity_and_its_recipients() -> None:
    assert episodes(RISING) == [
        Episode(
            enterprise_id="E1",
            signal="EWS01",
            opened_on="2024-05-01",
            severity="red",
            end_state="cleared",
            ended_on="2024-05-07",
            banks=(BANK,),
        )
    ]


def test_the_order_of_alerts_and_repeats_change_nothing() -> None:
    assert episodes(reversed(RISING + RISING)) == episodes(RISING)


def test_an_open_episode_has_no_end() -> None:
    (found,) = episodes(RISING[:1])
    assert (found.end_state, found.ended_on, found.banks) == (None, None, ())


def test_written_episodes_are_read_unchanged_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "expected.jsonl"
    write(path, episodes(RISING))
    assert read(path) == episodes(RISING)
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(ValueError, match=r"expected\.jsonl:2: "):
        read(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"severity": "orange"}, "severity orange, expected red"),
        ({"opened_on": "2024-05-02"}, "opened_on 2024-05-02, expected 2024-05-01"),
        ({"end_state": None, "ended_on": None}, "end_state None, expected cleared"),
    ],
)
def test_every_difference_is_reported(change: dict[str, Any], said: str) -> None:
    expected = episodes(RISING)
    found = [msgspec.structs.replace(expected[0], **change)]
    assert differences(expected, expected) == []
    assert any(said in line for line in differences(expected, found))


def test_a_missing_and_a_surplus_episode_are_differences() -> None:
    expected = episodes(RISING)
    assert differences(expected, []) == ["E1 EWS01: 1 episodes expected, 0 found 2024-05-01 →"]
    assert differences([], expected) == ["E1 EWS01: 0 episodes expected, 1 found → 2024-05-01"]
