"""The backfill around a replay of history, on a real broker."""

from confluent_kafka.admin import AdminClient, NewTopic

from config.settings import KafkaSettings, Settings
from domain import topics
from domain.events import Control
from replay.history import History
from streams import control_log
from tests import brokers


def test_a_backfill_is_opened_and_closed_once_however_often_a_replay_goes_on(empty_kafka: str) -> None:
    brokers.make_topics(AdminClient({"bootstrap.servers": empty_kafka}), NewTopic(topics.CONTROL, 1, 1))
    settings = Settings(kafka=KafkaSettings(bootstrap=empty_kafka))

    def said() -> list[str]:
        return [control.action for control in control_log.read(settings).controls]

    history = History(settings=settings, by="replay", reason="all of it is history")
    assert not history.close(), "there is nothing to close"
    history.open()
    History(settings=settings, by="replay", reason="all of it is history").open()
    assert (said(), history.is_over) == (["backfill_open"], False)
    switch = Control(control_id="m", action="activate", artefact="model", artefact_id="m1", by="learn", reason="new")
    control_log.write(settings, switch)
    assert history.close()
    assert not history.close()
    history.open()
    assert (said(), history.is_over) == (["backfill_open", "activate", "backfill_close"], True)
