"""The roles by name: the topics that each reads, and how each is built from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from config.settings import Settings
from domain import topics
from sinks.client import aiokafka_settings
from sinks.kafka import MarkedOutbox

if TYPE_CHECKING:
    from streams.worker.role import (
        Role,  # with Faust and numba: too heavy for `xinliu --help`, which asks for the names only
    )


def _ingest(settings: Settings) -> Role:
    from streams.ingest.role import Ingest

    return Ingest(settings)


def _score(settings: Settings) -> Role:
    from streams.score.role import Score

    return Score(settings)


def _learn(settings: Settings) -> Role:
    from streams.learn.role import Learn

    return Learn(settings)


def _archive(settings: Settings) -> Role:
    from streams.archive.role import Archive

    return Archive(settings, MarkedOutbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka)))


# In the order of the data's way. Each imports its role only when it is built: a worker loads what it runs.
ROLES: Mapping[str, Callable[[Settings], Role]] = {
    "ingest": _ingest,
    "score": _score,
    "learn": _learn,
    "archive": _archive,
}


# How long each waits between two fetches, in ms, where few records come and where very many do. A fetch costs broker
# and worker about a millisecond, however little it brings, and so does each partition of which it brings something.
# Alerts wait twice; what the archive stores is looked at by people, and learn learns once a month. Ingest's feeds go on
# together: for them a longer gap is idle time.
FETCH_GAPS_MS: Mapping[str, tuple[int, int]] = {
    "ingest": (60, 60), "score": (60, 250), "learn": (500, 500), "archive": (500, 500),
}  # fmt: skip


# Those of which one worker does all the work, and further ones stand by: learn learns in one order.
ONE_WORKER = frozenset({"learn"})


def build(name: str, settings: Settings) -> Role:
    """Return the role `name`. Raise SettingsError where a setting that it needs is missing."""
    return ROLES[name](settings)


def topics_of(settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """Return, by role, the topics that it reads."""
    from sinks.clickhouse.tables import stored_of

    banks = tuple(topics.bank_events(bank.bank_id) for bank in settings.banks)
    return {
        "ingest": (*banks, topics.GATEWAY, topics.DESK, topics.CONTROL, topics.MODEL_REQUEST),
        "score": (topics.EVENTS,),
        "learn": (topics.EVENTS, topics.OBSERVATION),
        "archive": tuple(stored_of(settings.banks)),
    }
