"""The report on the models: built from months alone, a page that loads and runs nothing, in both languages."""

import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from detectors.prior import prior_id, prior_snapshot
from detectors.snapshot import Reference
from domain.outputs import ModelMessage, MonthReport
from replay.model_report.page import html
from replay.model_report.report import Report, build, population_lines, summary
from tests.model_months import FIRST_MONTH, months

MONTHS = months(5, each=600, moved=(0, 0, 0, 0, 2.0))


class Seen(HTMLParser):
    """Tags, texts and addresses of a page. Unbalanced tags are an error."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("chinese", [True, False])
def test_the_page_loads_nothing_runs_nothing_and_shows_every_curve(chinese: bool) -> None:
    page = html(build(MONTHS), chinese=chinese).decode()
    seen = Seen(page)
    assert not {"script", "img", "link", "iframe", "object"} & set(seen.tags)
    assert seen.addresses == []
    assert "default-src 'none'" in page
    assert seen.tags.count("svg") == 7, "ROC, KS, reliability, scores; AUC, PSI and weights over time"
    for picture in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + picture.split("</svg>")[0] + "</svg>")
    text = " ".join(seen.texts)
    for words in ("冠军模型", "漂移", "按等级") if chinese else ("champion", "Drift is called", "By grade"):
        assert words in text
    assert "2023-09" in text
    assert page == html(build(MONTHS), chinese=chinese).decode(), "the same report gives the same bytes"


def test_every_number_of_the_newest_month_stands_in_the_page() -> None:
    page = html(build(MONTHS), chinese=False).decode()
    for one in MONTHS[-1].models:
        if one.auc.value_micro is not None:
            assert f"{one.auc.value_micro / 10**6:.4f}<small>" in page
    worst = max(MONTHS[-1].psi_micro.values())
    assert f"{worst / 10**6:.3f}" in page


@pytest.mark.parametrize("chinese", [False, True])
def test_what_has_moved_against_the_model_in_force_is_told_beside_drift(chinese: bool) -> None:
    moved = msgspec.structs.replace(MONTHS[0], psi_in_force_micro={"score": 987_000}, moved=("score",), drift=())
    report, name = build([moved]), "评分" if chinese else "score"
    page = html(report, chinese=chinese).decode()
    told = re.search(r'<section class="verdict none">(.*?)</section>', page, re.S)
    assert told, page[:2_000]
    assert told[1].count(name) == 1
    assert "0.987" in page
    words = ("在用模型" if chinese else "model in force",)
    assert any(word in line and "score" in line for word in words for line in summary(report, chinese=chinese))
    assert "0.987" not in html(build(MONTHS), chinese=chinese).decode()


def test_what_comes_from_outside_stays_text() -> None:
    odd = msgspec.structs.replace(MONTHS[-1], drift=("<script>alert(1)</script>",), labels={"<b>": 1})
    assert "<script" not in html(build([odd]), chinese=False).decode()
    assert "<b>" not in html(build([odd]), chinese=True).decode()


def test_of_two_records_of_a_month_the_later_one_counts_and_their_order_is_the_months() -> None:
    again = msgspec.structs.replace(MONTHS[2], labels={"good": 7})
    report = build([*reversed(MONTHS), again])
    assert [one.month for one in report.months] == ["2023-05", "2023-06", "2023-07", "2023-08", "2023-09"]
    assert report.months[2].labels == {"good": 7}
    assert report.newest == MONTHS[-1]


def test_models_have_their_training_where_their_snapshot_is_there() -> None:
    other = msgspec.structs.replace(MONTHS[-1], month=FIRST_MONTH + 9, model_id="f" * 64)
    learned = msgspec.structs.replace(
        prior_snapshot(), prior=False, trained_labels_count=900, trained_bad_count=9, trained_until_day=19_722
    )
    first, second = build([*MONTHS, other], {"f" * 64: learned}).models
    assert (first.model_id, first.prior, first.labels, len(first.months)) == (prior_id(), True, None, 5)
    assert (second.labels, second.bad, second.trained_until, second.prior) == (900, 9, "2023-12-31", False)


def test_without_any_month_the_report_says_so() -> None:
    empty = build([])
    assert "No month has been learned" in html(empty, chinese=False).decode()
    assert list(summary(empty, chinese=True)) == ["还没有学习过任何月份。"]


def test_months_without_any_outcome_have_no_curve_and_fail_nothing() -> None:
    (bare,) = months(1, each=0)
    assert "Too few outcomes" in html(build([bare]), chinese=False).decode()


def test_the_summary_has_a_line_a_model_and_the_report_is_json() -> None:
    report = build(MONTHS)
    lines = list(summary(report, chinese=False))
    assert [line.split()[0] for line in lines[2:-1]] == ["champion", "prior", "as_scored", "amf", "hat"]
    assert lines[-1].startswith("Drift is called: PSI over 0.25")
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_month_is_a_message_of_its_topic_and_small() -> None:
    for one in MONTHS:
        body = msgspec.json.encode(one)
        assert isinstance(msgspec.json.decode(body, type=ModelMessage), MonthReport)
        assert len(body) < 100_000


def test_the_scores_of_others_are_compared_with_the_population_of_training() -> None:
    reference = Reference(edges_micro=(500, 600), shares_ppm=(250_000, 500_000, 250_000), null_ppm=0)
    alike, apart, none = population_lines(
        {"borrowers": (25, 50, 25), "others": (0, 0, 10), "nobody": (0, 0, 0)}, reference
    )
    assert (alike.enterprises, alike.psi_micro) == (100, 0)
    expected = sum((a - e) * math.log(a / e) for a, e in ((1e-4, 0.25), (1e-4, 0.5), (1.0, 0.25)))
    assert apart.psi_micro == pytest.approx(1_000_000 * expected, abs=1)
    assert none.psi_micro is None
    report = build(MONTHS, populations=(alike, apart))
    assert "PSI of scores, others (10): 7.253" in "\n".join(summary(report, chinese=False))
    assert "外推" in html(report, chinese=True).decode()
    assert "外推" not in html(build(MONTHS), chinese=True).decode()
