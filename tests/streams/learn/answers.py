"""Ingest's part in an activation, alone: requests are answered in a thread, and its group commits what is answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from config.settings import Settings
from domain import topics
from domain.reject import Rejected
from sinks.artefacts import messages
from streams.ingest.model_requests import answered
from streams.model_decisions import Contended
from streams.transport.chunk import chunk_of
from tests.reading import commit, committed

PAUSE_S = 0.02


@contextmanager
def answering(settings: Settings) -> Iterator[list[Rejected | None]]:
    """Answer what is asked, under these settings, until the block ends; the list grows with each answer."""
    answers: list[Rejected | None] = []
    failed: list[BaseException] = []
    ends = threading.Event()

    def answer() -> None:
        try:
            while not ends.wait(PAUSE_S):
                answers.extend(answer_next(settings))
        except BaseException as error:  # noqa: BLE001  raised below
            failed.append(error)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        ends.set()
        thread.join()
    if failed:
        raise failed[0]


def answer_next(settings: Settings) -> list[Rejected | None]:
    """Answer the next requests and commit; return the answers. Where an operator decides meanwhile: none yet."""
    bootstrap, group = settings.kafka.bootstrap, f"{settings.kafka.group_prefix}ingest"
    at = committed(bootstrap, group, topics.MODEL_REQUEST).get(0, 0)
    asked = [one for one in messages(bootstrap, topics.MODEL_REQUEST, 30.0) if (one.offset() or 0) >= at]
    if not asked:
        return []
    records = [(one.key(), one.value(), one.headers() or [], one.timestamp()[1]) for one in asked]
    chunk = chunk_of(topics.MODEL_REQUEST, 0, at, records)
    try:
        found = answered(settings, chunk.rows(range(len(chunk))))
    except Contended:
        return []
    commit(bootstrap, group, {(topics.MODEL_REQUEST, 0): at + len(found)})
    return found
