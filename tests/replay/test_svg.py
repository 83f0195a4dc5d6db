"""Charts as SVG: well-formed, with marks where their values belong."""

from xml.etree import ElementTree

import pytest

from replay.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart

SVG = "{http://www.w3.org/2000/svg}"


def chart(*, is_log: bool = False) -> Chart:
    return Chart(title="a < b", x_label="x", y_label="y", x=(1.0, 100.0), y=(0.0, 1.0), is_log=is_log)


def circles(one: Chart) -> list[tuple[float, float]]:
    found = ElementTree.fromstring(one.text()).iter(f"{SVG}circle")
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in found]


def test_values_stand_where_the_axes_say_and_at_their_ends_beyond_them() -> None:
    one = chart()
    one.dots([(1.0, 0.0), (100.0, 1.0), (1000.0, -5.0)], 0)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    assert circles(one) == [(LEFT, bottom), (right, TOP), (right, bottom)]


def test_a_logarithmic_axis_gives_each_power_the_same_room() -> None:
    one = chart(is_log=True)
    one.dots([(1.0, 0.5), (10.0, 0.5), (100.0, 0.5)], 1)
    (left, _), (middle, _), (right, _) = circles(one)
    assert middle - left == pytest.approx(right - middle)


def test_texts_are_escaped_ticks_are_round_and_labels_stand_once() -> None:
    one = chart()
    one.line([(1.0, 0.2), (50.0, 0.4)], 0, "simulated")
    one.band([(1.0, 0.1), (50.0, 0.2)], [(1.0, 0.3), (50.0, 0.5)], 0)
    one.upright(12.0, 1, "published", dashed=True)
    texts = [each.text for each in ElementTree.fromstring(one.text()).iter(f"{SVG}text")]
    assert {"a < b", "simulated", "published", "20", "100", "0.2", "1"} <= set(texts)
    assert texts.count("simulated") == 1


def test_the_same_marks_give_the_same_text() -> None:
    one, other = chart(), chart()
    for each in (one, other):
        each.line([(1.0, 1 / 3), (99.0, 2 / 3)], 2, "a")
    assert one.text() == other.text()
