"""Dispositions, counted by the labels that they came with."""

from detectors.learning.dispositions import Dispositions


def test_a_disposition_is_counted_by_the_label_of_its_observation_once() -> None:
    one = Dispositions()
    one.observe(b"a", ("confirmed", "false_alarm"))
    one.observe(b"b", ("confirmed",))
    one.observe(b"c", ())
    one.label(b"a", "bad")
    before = one.taken()
    again = Dispositions.from_bytes(one.to_bytes())
    for each in (again, one):
        for _ in range(2):
            each.label(b"b", "already_bad")
        each.label(b"c", "good")
        assert each.counts == {"confirmed": {"bad": 1, "already_bad": 1}, "false_alarm": {"bad": 1}}
        assert each.since(before) == {"confirmed": {"already_bad": 1}}
        assert each.waiting == {}
    assert Dispositions().counts == {}
