"""`xinliu dlq` on a real broker."""

import json
import re
from argparse import ArgumentParser

import msgspec
import pytest

from cli import dlq
from domain import topics
from domain.reject import Reason, Rejected
from sinks.batch import encode_headers
from sinks.kafka import Outbox
from streams.dead_letters import PAYLOAD_BYTES_MAX, to_dead_letter
from streams.topics import create_topics
from streams.transport.chunk import Row
from streams.worker.role import TP
from tests.reading import read
from tests.streams.ingest.kit import BANKS, HEADERS, settings_for

BANK = topics.bank_events(BANKS[0])
HOSTILE = "币种\x1b[2J\x9b\u202e\n\x7f"
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")  # but the end of a line


@pytest.fixture
def settings(empty_kafka, tmp_path):
    """A broker with five dead letters."""
    found = settings_for(empty_kafka, tmp_path)
    create_topics(found)
    rows = [
        (BANK, 3, Reason.UNKNOWN_CURRENCY, b'{"currency":"XXX"}'),
        (BANK, 5, Reason.UNKNOWN_CURRENCY, b'{"currency":"YYY\x1b[2J"}'),
        (BANK, 7, Reason.CREDENTIALS, b'{"password":"hunter2"}'),
        (BANK, 9, Reason.OVERSIZED, b"x" * (PAYLOAD_BYTES_MAX + 1)),
        (topics.EVENTS, 1, Reason.CONFLICT, b"{}"),
    ]
    outbox = Outbox(found.kafka.bootstrap)
    for topic, offset, reason, payload in rows:
        row = Row(offset, 0, b"\xffkey", payload, encode_headers(HEADERS))
        letter = to_dead_letter(TP(topic, 0), row, Rejected(reason=reason, field=HOSTILE, detail=HOSTILE), False)
        outbox.send(topics.DEAD_LETTERS, msgspec.json.encode(letter))
    outbox.drain()
    return found


def run(settings, capsys, *words):
    parser = ArgumentParser()
    dlq.add_arguments(parser)
    code = dlq.run(parser.parse_args(words), settings)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_dead_letters_are_listed_shown_and_sent_again(settings, capsys):
    code, out, _ = run(settings, capsys, "list", "--json")
    assert code == 0
    assert {(row["topic"], row["reason"]): row["count"] for row in json.loads(out)} == {
        (BANK, "unknown_currency"): 2, (BANK, "credentials"): 1, (BANK, "oversized"): 1, ("events.v1", "conflict"): 1,
    }  # fmt: skip
    _, out, _ = run(settings, capsys, "list", "--reason", "unknown_currency", "--topic", BANK)
    assert out.split() == ["2", "unknown_currency", BANK, "2", "in", "all"]
    _, out, _ = run(settings, capsys, "list", "--each")
    assert len(out.splitlines()) == 5

    # A terminal obeys control characters: they are shown, not sent to it.
    code, out, _ = run(settings, capsys, "show", BANK, "0", "5")
    assert code == 0
    assert "YYY\\x1b[2J" in out
    assert "\x1b" not in out
    _, out, _ = run(settings, capsys, "show", BANK, "0", "7")
    assert "hunter2" not in out
    assert "not held" in out
    code, _, err = run(settings, capsys, "show", BANK, "0", "8")
    assert (code, "no dead letter" in err) == (1, True)

    # Without a word of the operator nothing is sent; with it, what is held whole and came from an input.
    code, _, err = run(settings, capsys, "retry", "--reason", "unknown_currency")
    assert (code, "2 dead letters would be sent" in err) == (1, True)
    assert read(settings.kafka.bootstrap, BANK) == []
    code, out, _ = run(settings, capsys, "retry", "--yes", "--json")
    answer = json.loads(out)
    assert (code, answer["sent"]) == (0, 2)
    assert [row["letter"].split()[:2] for row in answer["refused"]] == [
        [f"{BANK}[0]@7", "credentials"], [f"{BANK}[0]@9", "oversized"], ["events.v1[0]@1", "conflict"],
    ]  # fmt: skip
    again = read(settings.kafka.bootstrap, BANK)
    assert [record.value for record in again] == [b'{"currency":"XXX"}', b'{"currency":"YYY\x1b[2J"}']
    assert [record.key for record in again] == [b"\xffkey"] * 2
    assert [record.headers for record in again] == [HEADERS] * 2
    assert read(settings.kafka.bootstrap, topics.EVENTS) == []
    code, out, _ = run(settings, capsys, "retry", "--topic", BANK, "--offset", "5", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 sent, 0 refused")
    assert len(read(settings.kafka.bootstrap, BANK)) == 3


def test_fault_15_nothing_of_a_dead_letter_reaches_the_terminal_raw(settings, capsys, fault):
    calls = [
        ("list",), ("list", "--each"), ("list", "--each", "--json"), ("show", BANK, "0", "5"),
        ("show", BANK, "0", "5", "--json"), ("retry", "--topic", "events.v1", "--yes"),
        ("retry", "--topic", "events.v1", "--yes", "--json"),
    ]  # fmt: skip
    for words in calls:
        code, out, err = run(settings, capsys, *words)
        assert code == 0
        assert UNSEEN.search(out + err) is None, words
        assert words == ("list",) or "\\u001b[2J\\u009b\\u202e" in out.replace("\\\\", "\\")
    _, out, _ = run(settings, capsys, "show", BANK, "0", "5", "--json")
    assert json.loads(out)["detail"] == HOSTILE, "a program reads what was there"
    fault(injected=len(calls), observed=f"{len(UNSEEN.findall(HOSTILE))} characters of each field and detail escaped")
