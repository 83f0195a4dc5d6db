"""The data sets: a small one in the form of Berka through all of it, and the real ones' labels where they are."""

import csv
import io
import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from config.settings import LearnSettings
from replay.evaluation import datasets, folds
from replay.evaluation.recording import Recorded, compared
from replay.log_file import LogFile
from replay.source_log import write_log
from tests.replay.test_berka import CASH_IN, CASH_OUT, Row, write_loans, write_rows

BESIDE_THE_REPOSITORY = Path(__file__).parents[4] / "shared" / "data"
DATA = Path(os.environ.get("XINLIU_DATA") or BESIDE_THE_REPOSITORY)
LOANS, BADS = 30, 12


def small_berka(folder: Path) -> Path:
    """Accounts with forty rows each before the loan; the bad ones hold next to nothing. Six loans have no status."""
    rows: list[Row] = []
    loans = []
    for account in range(1, LOANS + 7):
        is_bad, granted, balance = account <= BADS, date(1994, 3, 1) + timedelta(days=account), 0.0
        for number in range(40):
            day = granted - timedelta(days=2 * (40 - number))
            amount = 900.0 + 7 * ((account * number) % 11)
            drawn = amount - 1.0 if is_bad else 0.4 * amount
            for kind, moved in ((CASH_IN, amount), (CASH_OUT, -drawn)):
                balance += moved
                rows.append((len(rows) + 1, account, day.isoformat(), abs(moved), round(balance, 2), kind))
        status = "" if account > LOANS else "B" if is_bad else "A"
        loans.append(f"{account},{account},{granted.isoformat()},{12_000 + account},12,1000.0,{status}")
    write_rows(folder, rows)
    write_loans(folder, loans)
    return folder


def hush(_text: str) -> None:
    pass


def test_a_small_data_set_gives_figures_and_a_prediction_of_each_loan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "RESAMPLES", 30)
    monkeypatch.setattr(folds, "REPEATS", 1)
    data_set = datasets.open_data_set("berka", small_berka(tmp_path))
    path = tmp_path / "events.log"
    datasets.demand_all_accepted(write_log(data_set.source, path))
    found = datasets.evaluate(data_set, LogFile(path), None, hush, LearnSettings(), 1)
    report = found.evaluation
    assert report.outcomes == {"read": LOANS + 6, "with_status": LOANS, "bad": BADS}
    (judged,) = report.judged
    assert (judged.n, judged.bad, judged.silent_reason) == (LOANS, BADS, "")
    aucs = {one.model: one.auc.value_micro for one in judged.models}
    assert aucs["champion"] is not None
    assert aucs["champion"] > 900_000, "who holds nothing is told from who does"
    assert {"prior", "amf", "arf", "ftrl", "hat", "stumps", "logistic", "lightgbm", "stumps_offline"} < set(aucs)
    assert report.as_known is not None
    assert (report.as_known.labels_by_1997, report.as_known.bad_by_1997) == (LOANS, BADS)
    rows = list(csv.DictReader(io.StringIO(found.files["berka_predictions.csv"].decode())))
    assert [row["loan_id"] for row in rows] == [str(number) for number in range(1, LOANS + 7)]
    assert all(400 <= float(row["score"]) <= 700 and 0 < float(row["p_bad"]) < 1 for row in rows)
    later = [float(row["p_bad"]) for row in rows[LOANS:]]
    assert max(later) < sum(float(row["p_bad"]) for row in rows[:BADS]) / BADS, "those hold much: their outcome is open"


def test_other_bytes_are_named_by_topic_and_partition() -> None:
    live = Recorded(sums={(0, "score.v1"): "a", (1, "score.v1"): "b"}, messages={"score.v1": 5})
    assert compared(live, {(0, "score.v1"): "a", (1, "score.v1"): "b"}).same
    found = compared(live, {(0, "score.v1"): "a", (1, "score.v1"): "c", (0, "observation.v1"): "d"})
    assert (found.same, found.different) == (False, ["observation.v1[0]", "score.v1[1]"])


@pytest.mark.skipif(not DATA.exists(), reason=f"the data sets are not at {DATA} (set XINLIU_DATA)")
def test_the_labels_of_the_real_data_sets() -> None:
    berka = datasets.open_data_set("berka", DATA / "berka")
    with_status = [one for one in berka.loans if one.status]
    assert (len(berka.loans), len(with_status), sum(one.status in "BD" for one in with_status)) == (682, 328, 46)
    cumcm = datasets.open_data_set("cumcm2020c", DATA / "cumcm2020c")
    assert (len(cumcm.bad), sum(cumcm.bad.values())) == (123, 27)
