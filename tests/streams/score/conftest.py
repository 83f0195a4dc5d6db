"""One broker for all worlds of the commit protocol: each has its own enterprises and its own keys in Redis."""

import pytest

from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from embedded import Kafka
from sinks.artefacts import publish
from sinks.kafka import Outbox
from streams.score import partition
from streams.topics import create_topics
from tests.streams.score.kit import BANK, OTHER_BANK, immediate_rules
from tests.streams.score.processes import PARTITIONS
from tests.streams.score.protocol import World, another_model


@pytest.fixture(scope="package")
def score_outbox(tmp_path_factory):
    """(address of a broker with all topics, the one real outbox of the worlds)."""
    with Kafka(tmp_path_factory.mktemp("kafka"), heap="256m") as kafka:
        settings = Settings(
            kafka=KafkaSettings(bootstrap=kafka.address, log_partitions=1),
            banks=tuple(Bank(bank_id=b, name_zh=b) for b in (BANK, OTHER_BANK)),
        )
        create_topics(settings)
        outbox = Outbox(kafka.address)
        publish(outbox, topics.MODEL, another_model().encode())
        yield kafka.address, outbox


@pytest.fixture(scope="module")
def immediate():
    """Partitions of this process follow the immediate rules of the kit in place of the packaged ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "packaged_rules", immediate_rules)
        yield


@pytest.fixture(params=[1, 500_000], ids=["one_resident", "all_resident"])
def resident_max(request):
    """The number of a world's two enterprises that fit into memory: one or both."""
    return request.param


@pytest.fixture
def make_lazy_world(score_outbox, redis_url):
    """`make_lazy_world()`: a log, two workers, nothing done yet; `via=` for workers with another way to Redis."""
    address, outbox = score_outbox
    return lambda **more: World(address, redis_url, outbox, **more)


@pytest.fixture
def make_world(make_lazy_world, resident_max):
    """Return `make_lazy_world` with one enterprise in memory, and with all."""
    return lambda **more: make_lazy_world(resident_max=resident_max, **more)


@pytest.fixture
def lazy_world(make_lazy_world):
    """Return a world whose workers have one enterprise in memory; they load the other on demand."""
    return make_lazy_world()


@pytest.fixture
def world(make_world):
    """Return a world whose workers reach Redis directly."""
    return make_world()


@pytest.fixture
def stack(empty_kafka, redis_url):
    """Settings of a broker with this test's topics alone."""
    settings = Settings(
        kafka=KafkaSettings(bootstrap=empty_kafka, log_partitions=PARTITIONS, session_timeout_s=6.0),
        redis=RedisSettings(url=redis_url),
        score=ScoreSettings(
            flush_interval_ms=1, flush_slice_values_max=3, batch_records_max=64, enterprises_resident_max=6
        ),
        banks=tuple(Bank(bank_id=b, name_zh=b) for b in (BANK, OTHER_BANK)),
    )
    create_topics(settings)
    return settings
