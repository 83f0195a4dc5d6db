"""`xinliu model`: candidates are listed, shown, compared and decided on; what cannot be is refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli import artefact
from cli.words import time_text
from config.settings import KafkaSettings, LearnSettings, Settings
from detectors.prior import prior_id
from domain import topics
from domain.outputs import Figure, ModelDifference, ModelMetrics, MonthReport, Observation
from sinks.artefacts import publish
from sinks.kafka import Outbox
from streams import control_log
from streams.model_decisions import Deciding
from streams.model_history import read_history
from tests.cli.kit import settings_file
from tests.reading import read
from tests.streams.learn.candidates import PRIOR, anew, id_of, learned, snapshot
from tests.streams.learn.test_publishing import NAMES, run

SIGNED = ("--by", "张三", "--reason", "已验证")
ONE, TWO, HELD = snapshot(1), snapshot(2), snapshot(3)
FIGURE = Figure(value_micro=-10_000, low_micro=-20_000, high_micro=-1_000)
STATISTICS = ("auc", "ks", "gini", "log_loss", "brier")


def metrics(model: str) -> ModelMetrics:
    figures = {name: Figure(value_micro=800_000, low_micro=1, high_micro=2) for name in STATISTICS}
    return ModelMetrics(model=model, window="12m", n=480, bad=31, silent=0, roc_ppm=(), bins=(), **figures)


@pytest.fixture
def settings(kafka: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an engine with empty topics; operators accept."""
    for name in (*NAMES, "OBSERVATION"):
        monkeypatch.setattr(topics, name, make_topic(name.lower(), **{"message.timestamp.type": "LogAppendTime"}))
    of_this_engine = replace(artefact.KINDS["model"], topic=topics.MODEL)  # the table took its names at its import
    monkeypatch.setattr(artefact, "KINDS", {**artefact.KINDS, "model": of_this_engine})
    return Settings(kafka=KafkaSettings(bootstrap=kafka, log_partitions=1))


@pytest.fixture
def model(settings: Settings, tmp_path: Path, answered: Callable[..., Any]) -> Callable[..., Any]:
    """Return a caller of `xinliu model …`."""
    file = settings_file(tmp_path, settings)
    return lambda *words, **more: answered("--config", file, "model", *words, **more)


@pytest.fixture
def proposed(settings: Settings) -> Settings:
    """Two candidates that nothing holds, and one that is held."""
    run(settings, learned(1, ONE), learned(2, TWO), learned(3, HELD, drift=("psi of score is 0.31",)))
    return settings


def words_of(settings: Settings) -> list[tuple[str, str | None, str]]:
    return [(one.action, one.artefact_id, one.by) for one in control_log.read(settings).controls]


def test_candidates_are_listed_with_their_standing_and_why(proposed: Settings, model: Callable[..., Any]) -> None:
    code, out, err = model("list")
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")][:4] == [
        one[:12] for one in (prior_id(), id_of(ONE), id_of(TWO), id_of(HELD))
    ]
    assert lines[0].endswith("in force, packaged")
    assert lines[1].endswith("500/40  proposed")
    assert lines[4] == f"{'':14}drift: drift is called: psi of score is 0.31"
    assert lines[5].startswith("candidates come into force by a person's word")
    assert model("accept", id_of(ONE)[:8], *SIGNED)[0] == 0
    rows = {row["id"]: row for row in json.loads(model("list", "--json")[1])}
    assert {one: rows[one]["standing"] for one in rows} == {
        prior_id(): "superseded", id_of(ONE): "in_force", id_of(TWO): "proposed", id_of(HELD): "held",
    }  # fmt: skip
    first = rows[id_of(ONE)]
    assert (first["by"], first["reason"], first["labels"], first["bad"]) == ("张三", "已验证", 500, 40)
    assert [one["code"] for one in rows[id_of(HELD)]["reasons"]] == ["drift"]
    (record,) = read(proposed.kafka.bootstrap, topics.CONTROL)
    assert first["control_offset"] == record.offset
    code, out, _ = model("list", lang="zh_CN.UTF-8")
    assert "在用，自 " in out
    assert "暂缓" in out
    assert "因切换被抑制的天数占" in out


def test_a_model_is_shown_in_its_groups_and_as_json(proposed: Settings, model: Callable[..., Any]) -> None:
    code, out, err = model("show", id_of(HELD)[:6])
    assert code == 0, err
    assert out.splitlines()[0] == f"{id_of(HELD)}  held"
    assert "drift: drift is called" in out
    assert "500 labels, 40 bad, for borrowers" in out
    weight = HELD.weights_milli["dpd_max_days"] / 1_000
    assert f"{weight:.3f}  dpd_max_days  5 anchors" in out
    found = json.loads(model("show", id_of(HELD), "--json")[1])
    assert found["snapshot"]["weights_milli"] == HELD.weights_milli
    assert model("show", "prior")[0] == 0


def test_two_models_are_compared(proposed: Settings, model: Callable[..., Any]) -> None:
    code, out, err = model("diff", "prior", id_of(ONE)[:8])
    assert code == 0, err
    assert f"A {prior_id()}\nB {id_of(ONE)}\n" in out
    before, after = (one.weights_milli["dpd_max_days"] / 1_000 for one in (PRIOR, ONE))
    assert f"weight    +0.100  {before:.3f} → {after:.3f}  dpd_max_days" in out
    assert "of 40 enterprises observed in 2024-11, " in out
    assert "their scores are the same" not in out
    assert "they are the same" in model("diff", "prior")[1], "B is the one in force"
    code, _, err = model("diff", "prior", id_of(ONE)[:8], "--observed")
    assert (code, "no observation of a month's close" in err) == (1, True)
    outbox = Outbox(proposed.kafka.bootstrap)
    for n in range(3):
        outbox.send(topics.OBSERVATION, msgspec.json.encode(observation(n)))
    for body in (b"\xff", b'{"observation_id":"\xff"}', b"{}"):
        outbox.send(topics.OBSERVATION, body)
    outbox.drain()
    code, out, err = model("diff", "prior", id_of(ONE)[:8], "--observed")
    assert code == 0, err
    assert "of 2 enterprises observed on 2024-11-30, 0 have another grade" in out
    assert f"3 observations cannot be read and are left out; the first: {topics.OBSERVATION}[0]@3: " in err


def observation(n: int) -> Observation:
    return Observation(
        observation_id=f"o{n}", enterprise_id=f"E{n % 2}", kind="month", loan_id=None, day=learned(1).day, as_of=0,
        score_milli=0, p_overdue30_90d_ppm=0, utilities_ppm={}, values_micro={}, model_id="m", offset=n, seq=0,
    )  # fmt: skip


def test_accept_writes_one_signed_word_and_refuses_by_name(proposed: Settings, model: Callable[..., Any]) -> None:
    outbox = Outbox(proposed.kafka.bootstrap)
    damaged = "ab" * 32
    outbox.send(topics.MODEL, ONE.encode(), key=damaged.encode())
    outbox.drain()
    for words, told in (
        (("accept", "0" * 64, *SIGNED), "0 ids"),
        (("accept", id_of(ONE)[:5], *SIGNED), "6 digits or more"),
        (("accept", damaged, *SIGNED), "it is damaged"),
        (("accept", prior_id(), *SIGNED), "is in force already (prior)"),
        (("accept", id_of(ONE)), "--by is needed"),
        (("accept", id_of(HELD), *SIGNED), "--despite drift"),
        (("accept", id_of(HELD), "--despite", "few_bads", *SIGNED), "is not held for few_bads"),
        (("accept", id_of(HELD), "--despite", "drift", "--by", "z", "--reason", "x" * 250), "≤ 256"),
        (("rollback", *SIGNED), "none before"),
        (("resume", *SIGNED), "nothing to resume"),
        (("show", damaged[:10]), "it is damaged"),
        (("card", "f" * 8), "0 ids"),
    ):
        code, out, err = model(*words)
        assert (code, out) == (1, ""), words
        assert told in err, (words, err)
        assert "Traceback" not in err
    assert words_of(proposed) == []
    assert model("accept", id_of(ONE)[:8], *SIGNED)[0] == 0
    code, _, err = model("accept", id_of(ONE)[:8], *SIGNED)
    assert (code, "is in force already (control" in err) == (1, True), err
    assert model("accept", id_of(HELD)[:8], "--despite", "drift", *SIGNED)[0] == 0
    assert words_of(proposed) == [("activate", id_of(one), "张三") for one in (ONE, HELD)]
    assert control_log.read(proposed).controls[-1].reason == "已验证 [despite drift]"


def test_a_model_that_this_engine_cannot_score_with_is_refused(settings: Settings, model: Callable[..., Any]) -> None:
    weights = {("no_such" if name == "runway_30d_days" else name): milli for name, milli in ONE.weights_milli.items()}
    odd = msgspec.structs.replace(ONE, weights_milli=weights)
    fields = {name: {**getattr(odd, name), "no_such": getattr(odd, name)["runway_30d_days"]}
              for name in ("anchors_micro", "levels_micro", "null_levels_micro", "medians_micro")}  # fmt: skip
    odd = msgspec.structs.replace(odd, **fields)
    publish(Outbox(settings.kafka.bootstrap), topics.MODEL, odd.encode())
    code, _, err = model("accept", id_of(odd)[:8], *SIGNED)
    assert (code, "no_such" in err) == (1, True), err
    assert words_of(settings) == []


def test_probabilities_made_anew_supersede_no_candidate(proposed: Settings, model: Callable[..., Any]) -> None:
    model("accept", id_of(ONE)[:8], *SIGNED)
    run(proposed, anew(3, ONE), anew(4, ONE))
    first, late = (id_of(anew(n, ONE).snapshot) for n in (3, 4))
    assert model("accept", first[:8], *SIGNED)[0] == 0
    standing = {row["id"]: row["standing"] for row in json.loads(model("list", "--json")[1])}
    assert (standing[first], standing[id_of(TWO)], standing[id_of(HELD)]) == ("in_force", "proposed", "held")
    assert model("accept", id_of(TWO)[:8], *SIGNED)[0] == 0
    code, _, err = model("accept", late[:8], *SIGNED)
    assert (code, "is in force no more" in err) == (1, True), err


def test_a_rollback_goes_back_one_by_one_and_holds_until_resume(proposed: Settings, model: Callable[..., Any]) -> None:
    for one in (ONE, TWO):
        assert model("accept", id_of(one)[:8], *SIGNED)[0] == 0
    code, _, err = model("rollback", id_of(HELD)[:8], "--by", "z", "--reason", "r")
    assert (code, "xinliu model accept" in err) == (1, True), err
    assert model("rollback", *SIGNED)[0] == 0
    assert read_history(proposed.kafka).in_force_id == id_of(ONE)
    code, _, err = model("accept", "prior", *SIGNED)
    assert (code, "0 ids" in err or "rollback" in err) == (1, True), err
    assert model("rollback", *SIGNED)[0] == 0
    history = read_history(proposed.kafka)
    assert history.in_force_id == prior_id()
    assert history.paused_by is not None
    assert model("rollback", *SIGNED)[0] == 1, "the packaged one is the first"
    assert model("resume", *SIGNED)[0] == 0
    assert model("resume", *SIGNED)[0] == 1
    assert read_history(proposed.kafka).paused_by is None
    assert [word[:2] for word in words_of(proposed)][-3:] == [
        ("activate", id_of(ONE)), ("activate", prior_id()), ("model_resume", None),
    ]  # fmt: skip


def test_an_operator_who_names_an_earlier_model_jumps_there(proposed: Settings, model: Callable[..., Any]) -> None:
    for one in (ONE, TWO):
        model("accept", id_of(one)[:8], *SIGNED)
    assert model("rollback", "prior", *SIGNED)[0] == 0
    history = read_history(proposed.kafka)
    assert history.in_force_id == prior_id()
    assert history.models[prior_id()] == PRIOR.encode(), "a later engine, with another packaged model, finds it"


def test_artefact_activate_of_an_earlier_model_is_a_rollback_too(
    proposed: Settings, model: Callable[..., Any], answered: Callable[..., Any], tmp_path: Path
) -> None:
    for one in (ONE, TWO):
        code, _, err = model("accept", id_of(one)[:8], *SIGNED)
        assert code == 0, err
    file = settings_file(tmp_path, proposed)
    code, _, err = answered("--config", file, "artefact", "activate", "model", id_of(ONE)[:8], *SIGNED)
    assert code == 0, err
    assert read_history(proposed.kafka).paused_by is not None
    automatic = msgspec.structs.replace(proposed, learn=LearnSettings(activation="auto"))
    out = answered("--config", settings_file(tmp_path, automatic), "model", "list")[1]
    assert "learn activates none by itself since 张三 went back to an earlier model (已验证)" in out


def test_of_two_who_accept_at_once_one_is_told_and_writes_nothing(
    proposed: Settings, model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = Deciding.write

    def overtaken(self: Deciding, control: Any) -> None:
        monkeypatch.setattr(Deciding, "write", wrote)
        Deciding(proposed.kafka).write(msgspec.structs.replace(control, artefact_id=id_of(TWO), by="李四"))
        wrote(self, control)

    monkeypatch.setattr(Deciding, "write", overtaken)
    code, out, err = model("accept", id_of(ONE)[:8], *SIGNED)
    assert (code, out) == (1, "")
    assert "somebody else decides at this moment: nothing was written" in err
    assert words_of(proposed) == [("activate", id_of(TWO), "李四")]


def test_promote_shows_the_evidence_and_refuses_a_challenger(proposed: Settings, model: Callable[..., Any]) -> None:
    month = MonthReport(
        month=learned(2).month, model_id=id_of(ONE), labels={}, weights_milli={}, grades=(), scores=(), psi_micro={},
        concept_drift=False, drift=(), models=tuple(metrics(name) for name in ("champion", "arf")),
        differences=tuple(
            ModelDifference(model=name, n=n, bad=31, auc=FIGURE, log_loss=FIGURE)
            for name, n in (("prior", 481), ("as_scored", 480), ("arf", 470))
        ),
    )  # fmt: skip
    outbox = Outbox(proposed.kafka.bootstrap)
    outbox.send(topics.MODEL_REPORT, msgspec.json.encode(month))
    outbox.drain()
    code, out, err = model("promote", "arf", *SIGNED)
    assert (code, out) == (1, "")
    assert "challenger in shadow" in err
    assert "no form as a snapshot" in err
    code, out, err = model("promote", id_of(TWO)[:8])
    assert (code, "--by is needed" in err) == (1, True), "the evidence comes first"
    assert "on 480 labels (31 bad)" in out
    assert "log loss -0.0100 [-0.0200, -0.0010]" in out
    assert "so: better" in out
    assert "in shadow, arf: AUC 0.800" in out
    less = "on 470 labels (31 bad): AUC -0.010 [-0.020, -0.001], log loss -0.0100 [-0.0200, -0.0010]"
    assert f"learn's model less arf, {less}" in out
    assert "481" not in out
    assert model("promote", id_of(TWO)[:8], *SIGNED)[0] == 0
    assert words_of(proposed) == [("activate", id_of(TWO), "张三")]
    code, out, _ = model("promote", id_of(HELD)[:8], *SIGNED, lang="zh_CN.UTF-8")
    assert code == 1
    assert "暂缓：drift" in out
    assert "没有当月的逐月预测记录" in out


def test_promote_shows_no_figures_of_learns_own_models_for_probabilities_made_anew(
    proposed: Settings, model: Callable[..., Any]
) -> None:
    model("accept", id_of(ONE)[:8], *SIGNED)
    run(proposed, calibrated := anew(3, ONE))
    month = MonthReport(
        month=calibrated.month, model_id=id_of(ONE), labels={}, weights_milli={}, grades=(), scores=(), psi_micro={},
        concept_drift=False, drift=(), models=(metrics("champion"),),
        differences=(ModelDifference(model="as_scored", n=480, bad=31, auc=FIGURE, log_loss=FIGURE),),
    )  # fmt: skip
    outbox = Outbox(proposed.kafka.bootstrap)
    outbox.send(topics.MODEL_REPORT, msgspec.json.encode(month))
    outbox.drain()
    code, out, err = model("promote", id_of(calibrated.snapshot)[:8], *SIGNED)
    assert code == 0, err
    assert "480" not in out
    assert f"it makes the probabilities of {id_of(ONE)[:12]} anew and moves no score" in out


def test_a_card_traces_training_decisions_deployment_and_exit(
    proposed: Settings, model: Callable[..., Any], tmp_path: Path
) -> None:
    for one in (ONE, TWO):
        model("accept", id_of(one)[:8], "--by", "张三", "--reason", "复核 <b>|`通过`")
    code, out, err = model("card", id_of(ONE)[:8])
    assert code == 0, err
    assert out.startswith(f"# Model card {id_of(ONE)}\n")
    trained = f"| trained at | {time_text(read_history(proposed.kafka).candidates[id_of(ONE)].at_ms)} |"
    for told in (
        "## Training", "| labels | 500 |", "trained on events.v1:0 up to offset | 1,000", "| operator | learn |",
        "## Iterations", prior_id(), "## Deployment and exit", "| in force |", "| exit |", id_of(TWO), "张三",
        "复核 \\<b>\\|\\`通过\\`", "extrapolation", "no reject inference", trained,
    ):  # fmt: skip
        assert told in out, told
    page = tmp_path / "card.html"
    code, out, err = model("card", id_of(ONE)[:8], "--out", str(page), lang="zh_CN.UTF-8")
    assert code == 0, err
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "复核 &lt;b&gt;|`通过`" in text
    assert "<h2>上线与退出</h2>" in text
    assert "http" not in text, "it opens offline"


def test_hostile_names_reach_no_terminal_raw(proposed: Settings, model: Callable[..., Any]) -> None:
    hostile = "张\x1b[2J\u202e"
    assert model("accept", id_of(ONE)[:8], "--by", hostile, "--reason", hostile)[0] == 0
    for words in (("list",), ("show", id_of(ONE)[:8]), ("card", id_of(ONE)[:8]), ("list", "--json")):
        _, out, err = model(*words)
        assert not set("\x1b\u202e") & set(out + err), words
