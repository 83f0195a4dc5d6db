"""`xinliu model queue`: what the checkpoint says, in both languages and as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from config.settings import KafkaSettings, Settings
from domain import topics
from sinks.checkpoint_topic import CheckpointTopic
from streams.learn.checkpoint import Memory
from streams.topics import create_topics
from tests.streams.learn.test_checkpoint import SETTINGS, go_on, learn_due, learner, steps_of
from tests.streams.learn.test_role import PARTITIONS, made_log


def test_it_shows_the_newest_checkpoint_and_says_where_there_is_none(
    empty_kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(Settings(kafka=KafkaSettings(bootstrap=empty_kafka, log_partitions=PARTITIONS)))
    path = tmp_path / "xinliu.toml"
    path.write_text(f'[kafka]\nbootstrap = "{empty_kafka}"\nlog_partitions = {PARTITIONS}\n')

    def told(*words: str) -> tuple[int, Any]:
        code = main(["--config", str(path), "model", "queue", *words])
        return code, capsys.readouterr()

    code, said = told()
    assert (code, said.out) == (1, "")
    assert said.err.startswith("xinliu model queue: ")
    memory = Memory(learner=learner())
    for step in steps_of(made_log(1, months=5, enterprises=10)):
        go_on(memory, step)
    learn_due(memory)
    draft = memory.take(SETTINGS, "score: events.v1[0] is applied up to 7, month 650 ends at 9")
    store = CheckpointTopic(empty_kafka, topics.LEARN, writer="test", holder="host:1")
    store.claim()
    store.commit(draft.puts, draft.drops, draft.state)
    store.verify()  # it can be read: Kafka answers a commit before it has ended it
    code, said = told("--json")
    found, ledger = json.loads(said.out), memory.learner.ledger
    assert code == 0
    assert (found["held"], found["labels"]) == (ledger.held_count, dict(ledger.labels))
    assert (found["holder"], found["waits_for"][:5], found["retained"]) == ("host:1", "score", len(ledger.retained))
    assert found["places"]["events.v1:0"] == {"next": memory.positions["events.v1:0"], "end": 0}
    for language, words in (
        ("zh_CN.UTF-8", ("待到期观测", "由谁持有")),
        ("en_US.UTF-8", ("observations held", "held by")),
    ):
        monkeypatch.setenv("LC_ALL", language)
        code, said = told()
        assert code == 0
        assert all(word in said.out for word in words)
        assert f"{ledger.held_count:,} / 2,000,000" in said.out
        assert "host:1" in said.out
