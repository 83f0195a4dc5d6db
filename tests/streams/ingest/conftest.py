"""Ingest's settings on an empty broker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import Settings
from streams.topics import create_topics
from tests.streams.ingest.kit import settings_for


@pytest.fixture
def settings(empty_kafka: str, tmp_path: Path) -> Callable[..., Settings]:
    """`settings(banks=…, unreadable="skip")` of a broker that has the topics and nothing else."""

    def made(**given: object) -> Settings:
        found = settings_for(empty_kafka, tmp_path, **given)  # type: ignore[arg-type]
        create_topics(found)
        return found

    return made
