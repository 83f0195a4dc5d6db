"""Models that the log activates: what each changes, and which are refused."""

from collections.abc import Iterator

import msgspec
import pytest

from detectors import scorecard
from detectors.prior import prior_id, prior_snapshot
from detectors.rules.artefact import packaged_rules
from detectors.snapshot import MICRO, V2, WEIGHT_SUM_MILLI, Calibration, Snapshot, SnapshotError, content_id, decode
from domain import topics
from domain.calendar import day_of
from domain.events import Control, LogRecord
from domain.outputs import Observation, Score
from features.indicators import CORE, INDICATORS
from features.indicators.nulls import NULL_NAMES
from streams.score.explain import explain
from streams.score.partition import NEVER, Partition, PartitionState
from tests.detectors.snapshots import wide
from tests.faults import Fault
from tests.streams.score.kit import HEADERS, applied, loan, log_of, no_model, record, txn
from tests.streams.score.test_semantics import of

SWITCH_AT = 0.8  # of the log
_BY_INDICATOR = ("anchors_micro", "levels_micro", "null_levels_micro", "medians_micro", "unknown_at_micro")


class Run:
    """A log with models that it activates one after the other at one place, and what came of it."""

    def __init__(self, seed: int, *bodies: bytes, names: list[str] | None = None) -> None:
        stored = {content_id(body): body for body in bodies}
        stored |= dict(zip(names or [], bodies, strict=True)) if names else {}
        self.partition = Partition(0, lambda name: decode(stored[name], name))
        rows = log_of(seed)
        self.at = int(len(rows) * SWITCH_AT)
        controls = [control(name) for name in names or stored]
        rows[self.at : self.at] = controls
        self.after = self.at + len(controls)
        self.messages = list(applied(self.partition, rows, 1_000))

    def scores(self) -> Iterator[Score]:
        """The scores after the switch, with the offsets that they have without it."""
        for each in of(self.messages, topics.SCORE, Score):
            if each.offset >= self.after:
                yield msgspec.structs.replace(each, offset=each.offset - self.after + self.at)


def control(model_id: str):
    event = Control(
        control_id=model_id[:8], action="activate", artefact="model", artefact_id=model_id, by="op", reason="x"
    )
    return None, msgspec.json.encode(LogRecord(event=event)), HEADERS, 0


@pytest.fixture(scope="module")
def untouched(module_seed: int) -> Run:
    return Run(module_seed)


def without(score: Score, *fields: str) -> dict:
    return {name: value for name, value in msgspec.structs.asdict(score).items() if name not in fields}


def test_a_model_of_other_probabilities_moves_no_score_and_is_no_change_of_model(module_seed, untouched):
    old = prior_snapshot()
    default = Calibration(intercept_micro=-MICRO, slope_micro=9 * MICRO)
    new = msgspec.structs.replace(wide_as_prior(), parent_id=prior_id(), intercept_micro=7 * MICRO, default_12m=default)
    assert new.scores_as(old)
    run = Run(module_seed, new.encode())
    assert run.partition.model_id == content_id(new.encode())
    assert run.partition.saved.model_changed_day == NEVER
    changed = ("p_overdue30_90d_ppm", "pd_12m_ppm", "model_id")
    scores = list(run.scores())
    assert [without(each, *changed) for each in scores] == [without(each, *changed) for each in untouched.scores()]
    p_90d, pd_12m = scorecard.probabilities_ppm(new), scorecard.probabilities_ppm(default)
    assert scores
    for each in scores:
        assert (each.p_overdue30_90d_ppm, each.pd_12m_ppm) == (p_90d[each.score - 400], pd_12m[each.score - 400])
    closed = run.partition.take_tally().days_closed
    assert closed[False] > 0 == closed[True]


def wide_as_prior() -> Snapshot:
    """The prior in format 2."""
    prior = prior_snapshot()
    return msgspec.structs.replace(prior, format=V2, unknown_at_micro=prior.medians_micro)


def test_fault_30_a_model_switched_in_mid_stream_names_itself_in_each_output(module_seed, untouched, fault):
    new = wide()
    run = fault.inject(Run, module_seed, new.encode())
    names = [(each.offset >= run.after, each.model_id) for each in of(run.messages, topics.SCORE, Score)]
    assert set(names) == {(False, prior_id()), (True, content_id(new.encode()))}
    fault(observed=f"switched by a control record at offset {run.at} of {len(names)} scores' log")
    changed_day = run.partition.saved.model_changed_day
    first = next(run.scores())
    assert changed_day == day_of(first.as_of) or abs(changed_day - day_of(first.as_of)) <= 7
    assert [each.score_milli for each in run.scores()] != [each.score_milli for each in untouched.scores()]
    assert {each.pd_12m_ppm for each in run.scores()} == {None}
    closed, before = run.partition.take_tally().days_closed, untouched.partition.take_tally().days_closed
    assert closed.total() == before.total()
    assert closed[True] > 0 == before[True]
    for score in run.scores():
        assert score.score_milli == 400_000 + sum(score.groups_milli.values()) + score.cap_milli


def test_observations_are_whole_and_their_utilities_are_those_of_the_model_in_force(module_seed):
    run = Run(module_seed, wide().encode())
    card, found = scorecard.scorecard(wide()), of(run.messages, topics.OBSERVATION, Observation)
    seen = [each for each in found if each.offset >= run.after]
    assert seen
    for each in seen:
        assert set(each.values_micro) == set(INDICATORS)
        assert each.nulls.keys() == {name for name, value in each.values_micro.items() if value is None}
        assert set(each.nulls.values()) <= set(NULL_NAMES[1:])
        assert set(each.utilities_ppm) == set(CORE)
        for row, name in zip(card.rows, CORE, strict=True):
            if (value := each.values_micro[name]) is not None:
                u = float(scorecard.utility(row, value / MICRO))
                assert each.utilities_ppm[name] == pytest.approx(u * MICRO, abs=50)  # the value is rounded


def test_a_model_that_names_fewer_indicators_scores_them_alone(module_seed):
    named = CORE[:20]
    weights = dict.fromkeys(named, WEIGHT_SUM_MILLI // len(named))
    fewer = msgspec.structs.replace(
        wide(),
        weights_milli=weights,
        **{field: {name: getattr(wide(), field)[name] for name in named} for field in _BY_INDICATOR},
    )
    run = Run(module_seed, fewer.encode())
    assert run.partition.model_id == content_id(fewer.encode())
    for score in run.scores():
        assert {each.indicator for each in score.reason_codes} <= set(named)


def flipped(body: bytes) -> bytes:
    return body[:300] + bytes([body[300] ^ 1]) + body[301:]


def test_fault_29_a_model_that_cannot_be_scored_with_is_refused_by_name_and_the_last_good_one_stays(
    module_seed: int, untouched: Run, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    good = wide()
    anchors, levels = dict(good.anchors_micro), dict(good.levels_micro)
    first = CORE[0]
    bad = {
        "weights sum to 300001": msgspec.structs.replace(
            good, weights_milli={**good.weights_milli, first: good.weights_milli[first] + 1}
        ),
        f"levels of {first} rise and fall": msgspec.structs.replace(
            good, levels_micro={**levels, first: (0, 3, 2, *levels[first][3:])}
        ),
        f"{first} has 17 anchors": msgspec.structs.replace(good, anchors_micro={**anchors, first: tuple(range(17))}),
        f"{first} has no level for history": msgspec.structs.replace(
            good, null_levels_micro={**good.null_levels_micro, first: {"not_applicable": 0}}
        ),
        "it scores dscr_24m_ratio": renamed(good, CORE[-1], "dscr_24m_ratio"),
    }
    bodies = [each.encode() for each in bad.values()]
    bodies += [good.encode().replace(b"xinliu.model/2", b"xinliu.model/9"), flipped(good.encode())]
    names = [content_id(body) for body in bodies[:-1]] + [content_id(good.encode())]
    for body in bodies:
        fault.inject(lambda body=body: body)
    run = Run(module_seed, *bodies, names=names)
    refused = [each.getMessage() for each in caplog.records if each.name == "xinliu.score"]
    assert len(refused) == len(bodies)
    for said, why, name in zip(
        refused, [*bad, "Invalid enum value 'xinliu.model/9'", "its bytes hash to"], names, strict=True
    ):
        assert why in said
        assert said.endswith(f"{prior_id()} stays")
        assert name in said
    assert run.partition.model_id == prior_id()
    assert run.partition.saved.model_changed_day == NEVER
    assert list(run.scores()) == list(untouched.scores())
    fault(observed=f"{len(refused)} models refused by name, {prior_id()[:8]} stays")


def renamed(snapshot: Snapshot, name: str, to: str) -> Snapshot:
    return msgspec.structs.replace(
        snapshot,
        **{
            field: {to if each == name else each: value for each, value in getattr(snapshot, field).items()}
            for field in ("weights_milli", *_BY_INDICATOR)
        },
    )


def test_an_explanation_has_both_probabilities_and_marks_who_is_no_borrower(module_seed: int) -> None:
    default = Calibration(intercept_micro=-MICRO, slope_micro=9 * MICRO)
    model = msgspec.structs.replace(wide(), default_12m=default)
    partition = Run(module_seed, model.encode()).partition
    for name, value in partition.values(partition.residents.rows()):
        found = explain(name, value, partition.saved, model, packaged_rules())
        assert found.pd_12m_ppm == scorecard.probabilities_ppm(default)[found.score - 400]
        assert found.p_overdue30_90d_ppm == scorecard.probabilities_ppm(model)[found.score - 400]
        assert found.extrapolated == (not any(loan.open for loan in found.loans))
        of_all = msgspec.structs.replace(model, population="everybody", default_12m=None)
        other = explain(name, value, partition.saved, of_all, packaged_rules())
        assert (other.extrapolated, other.pd_12m_ppm) == (False, None)
    strangers = Partition(0, no_model)
    list(applied(strangers, [record(txn("t1", "E1", 0)), record(loan("l", "E2", 0)), record(txn("t2", "E2", 1))], 10))
    marks = {
        name: explain(name, value, strangers.saved, prior_snapshot(), packaged_rules()).extrapolated
        for name, value in strangers.values(strangers.residents.rows())
    }
    assert marks == {"E1": True, "E2": False}


def test_a_start_under_a_model_that_this_engine_does_not_compute_stops_by_name() -> None:
    body = renamed(wide(), CORE[-1], "dscr_24m_ratio").encode()
    name = content_id(body)
    with pytest.raises(SnapshotError, match=f"model {name}: it scores dscr_24m_ratio, which this engine does not"):
        Partition(0, lambda model_id: decode(body, model_id), PartitionState(low_offset=5, model_id=name))
