"""The scores of past closes: a fall is measured against the same day until the next close."""

from features.layout import allocate
from features.state import past_scores


def test_the_score_30_days_before_is_the_same_before_and_after_the_close():
    e = allocate(1)[0]
    for day in range(20_000, 20_100):
        e["closed_day"] = day
        expected = (400 + day - 20_030, 2) if day >= 20_030 else (past_scores.NONE, past_scores.NONE)
        e["published_grade"] = 2
        assert past_scores.thirty_days_before(e, day) == expected
        past_scores.note(e, day, 400 + day - 20_000)
        assert past_scores.thirty_days_before(e, day) == expected, "as a record sees it that comes late for the day"
