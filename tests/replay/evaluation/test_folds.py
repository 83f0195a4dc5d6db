"""Cross-validation by borrower: nobody is predicted by a model that has learned him, and too little is said so."""

import numpy as np
import pytest

from detectors.learning.examples import EXAMPLE, Examples
from detectors.learning.prequential import CHAMPION
from replay.evaluation import folds
from replay.evaluation.champion import Scored
from replay.evaluation.folds import FOLDS, REPEATS, judge, out_of_fold, splits


def examples_of(n: int, bad: int, borrowers: int | None = None, seed: int = 1) -> Examples:
    rows = np.zeros(n, EXAMPLE)
    rows["enterprise"] = np.arange(n) % (borrowers or n)
    rows["bad"][:bad] = True
    rows["matured_on"] = np.random.default_rng(seed).permutation(n)
    rows["value"][:, 0] = rows["bad"] + np.random.default_rng(seed).normal(size=n)
    return rows


def by_value(_train: Examples, test: Examples) -> Scored:
    p = 1 / (1 + np.exp(-test["value"][:, 0]))
    return Scored(np.full(len(test), 500_000), p)


def silent(_train: Examples, test: Examples) -> Scored:
    return Scored(np.zeros(len(test), np.int64), np.full(len(test), np.nan))


def hush(_text: str) -> None:
    pass


def test_no_borrower_is_learned_and_predicted_by_the_same_model() -> None:
    examples, predicted = examples_of(60, 20, borrowers=30), list[tuple[set[int], set[int]]]()

    def spy(train: Examples, test: Examples) -> Scored:
        predicted.append((set(train["enterprise"].tolist()), set(test["enterprise"].tolist())))
        assert (np.diff(train["matured_on"]) >= 0).all(), "in the order of learning"
        return by_value(train, test)

    out_of_fold(spy, examples)
    assert len(predicted) == FOLDS * REPEATS
    assert all(not learned & seen for learned, seen in predicted)
    assert all(learned | seen == set(range(30)) for learned, seen in predicted)


def test_bad_ones_are_spread_evenly_and_the_seed_decides() -> None:
    examples = examples_of(103, 17)
    for fold in splits(examples["enterprise"], examples["bad"]):
        bads = np.bincount(fold[examples["bad"]], minlength=FOLDS)
        assert bads.max() - bads.min() <= 1
        assert np.ptp(np.bincount(fold)) <= 1
    first, second = (np.array(list(splits(examples["enterprise"], examples["bad"], seed))) for seed in (1, 2))
    assert (first != second).any()
    assert (np.array(list(splits(examples["enterprise"], examples["bad"], 1))) == first).all()


def test_figures_have_an_interval_and_a_silent_model_is_said_to_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "RESAMPLES", 50)
    examples = examples_of(80, 20)
    figures, said = judge("grant", examples, {CHAMPION: by_value, "hat": silent}, {"other": by_value}, hush)
    champion, hat = figures.models
    assert (champion.n, champion.bad, champion.silent, hat.n, hat.silent) == (80, 20, 0, 0, 80)
    auc = champion.auc
    assert auc.value_micro is not None
    assert auc.low_micro is not None
    assert auc.high_micro is not None
    assert 500_000 < auc.low_micro < auc.value_micro < auc.high_micro <= 1_000_000
    assert hat.auc.value_micro is None
    (row,) = figures.ablation
    assert (row.auc, row.less.value_micro) == (auc, 0)
    assert sum(one.good + one.bad for one in figures.scores) == 80
    assert said is not None
    assert said.p.shape == (REPEATS, 80)
    again, _ = judge("grant", examples, {CHAMPION: by_value, "hat": silent}, {"other": by_value}, hush)
    assert again == figures


@pytest.mark.parametrize(
    ("n", "bad", "said"),
    [
        (0, 0, "nothing with a label"),
        (40, 9, "9 are bad, fewer than 10"),
        (40, 0, "all 40 are good"),
        (12, 12, "one class"),
    ],
)
def test_too_little_gives_no_auc_and_says_so(n: int, bad: int, said: str) -> None:
    figures, predicted = judge("grant", examples_of(n, bad), {CHAMPION: by_value}, {}, hush)
    assert said in figures.silent_reason
    assert (figures.n, figures.bad, figures.models, predicted) == (n, bad, [], None)
