"""The scores at the grants against the outcomes of the loans."""

from hypothesis import given
from hypothesis import strategies as st

from replay.judging import Label, judge

LOANS: st.SearchStrategy[dict[str, tuple[Label, int | None]]] = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.tuples(st.sampled_from(("good", "bad")), st.none() | st.integers(400_000, 700_000)),
    max_size=20,
)


@given(LOANS)
def test_every_loan_is_in_one_band_and_the_auc_is_that_of_all_pairs(
    loans: dict[str, tuple[Label, int | None]],
) -> None:
    outcomes = {name: label for name, (label, _) in loans.items()}
    scores = {name: milli for name, (_, milli) in loans.items() if milli is not None}
    found = judge(outcomes, scores)
    for band in found.bands:
        within = [
            label
            for label, milli in loans.values()
            if (milli is None and band.from_points is None)
            or (
                milli is not None
                and band.from_points is not None
                and band.to_points is not None
                and band.from_points * 1000 <= min(milli, 699_999) < band.to_points * 1000
            )
        ]
        assert (band.good, band.bad) == (within.count("good"), within.count("bad"))
    pairs = [
        (good > bad) + (good == bad) / 2
        for label, good in loans.values()
        for other, bad in loans.values()
        if label == "good" and other == "bad" and good is not None and bad is not None
    ]
    assert (found.auc is None) == (not pairs)
    if found.auc is not None:
        assert abs(found.auc - sum(pairs) / len(pairs)) < 1e-9


def test_a_score_of_a_loan_without_outcome_counts_nowhere() -> None:
    found = judge({"a": "good"}, {"a": 500_000, "b": 700_000})
    assert sum(band.good + band.bad for band in found.bands) == 1
