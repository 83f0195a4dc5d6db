"""`xinliu dlq` on a real broker."""

import base64
import hashlib
import json
import re
from argparse import ArgumentParser
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from cli import dlq
from config.errors import SettingsError
from config.settings import SealSettings
from domain import topics
from domain.reject import Reason, Rejected
from sinks.batch import encode_headers
from sinks.kafka import Outbox
from streams.dead_letters import PAYLOAD_BYTES_MAX, to_dead_letters, to_sealed_letter
from streams.seal import key_files, load_opener, load_sealer
from streams.topics import create_topics
from streams.transport.chunk import Row, chunk_of
from streams.worker.role import TP
from tests.reading import read
from tests.streams.ingest.kit import BANKS, HEADERS, settings_for
from tests.streams.score.kit import record, txn

BANK = topics.bank_events(BANKS[0])
SENT, KEY = 10, b"\xffkey"  # what the bank has sent before anything is sent again
HOSTILE = "币种\x1b[2J\x9b\u202e\n\x7f"
SIGNED = ("--by", "张三", "--reason", "银行询问")
LOGGED = record(txn("e1", "E1", 0))
OLD = (
    b'{"topic":"%s","partition":0,"offset":2,"reason":"unknown_enum","field":"purpose","detail":"","key_base64":null,'
    b'"headers":[["schema","xinliu.event/1"]],"payload_sha256":"%s","payload_bytes":7,"payload_base64":"eyJhIjoxfQ=="}'
) % (BANK.encode(), hashlib.sha256(b'{"a":1}').hexdigest().encode())
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")  # but the end of a line


def sealed(sealer, topic, offset, reason, payload):
    row = Row(offset, 0, KEY, payload, encode_headers(HEADERS))
    return to_sealed_letter(sealer, TP(topic, 0), row, Rejected(reason=reason, field=HOSTILE, detail=HOSTILE), False)


@pytest.fixture
def settings(empty_kafka, tmp_path):
    """A broker with what a bank has sent, five dead letters, and one of before they were sealed."""
    found = settings_for(empty_kafka, tmp_path)
    create_topics(found)
    rows = [
        (BANK, 3, Reason.UNKNOWN_CURRENCY, b'{"currency":"XXX"}'),
        (BANK, 5, Reason.UNKNOWN_CURRENCY, b'{"currency":"YYY\x1b[2J"}'),
        (BANK, 7, Reason.CREDENTIALS, b'{"password":"hunter2"}'),
        (BANK, 9, Reason.OVERSIZED, b"x" * (PAYLOAD_BYTES_MAX + 1)),
    ]
    outbox, sealer = Outbox(found.kafka.bootstrap), load_sealer(found.seal.public_key_file)
    at = {offset: payload for _, offset, _, payload in rows}
    for offset in range(SENT):
        outbox.send(BANK, at.get(offset, b"{}")[: PAYLOAD_BYTES_MAX // 2], key=KEY, headers=HEADERS, partition=0)
    letters = [sealed(sealer, *row) for row in rows]
    outbox.send(topics.EVENTS, LOGGED[1], key=LOGGED[0], partition=0)
    conflict = chunk_of(topics.EVENTS, 0, 0, [LOGGED])
    letters += to_dead_letters(conflict, [0], [Rejected(reason=Reason.CONFLICT, field=HOSTILE, detail=HOSTILE)])
    for value in (*map(msgspec.json.encode, letters), OLD):
        outbox.send(topics.DEAD_LETTERS, value)
    outbox.drain()
    return found


def sent_again(settings):
    return [one for one in read(settings.kafka.bootstrap, BANK) if one.offset >= SENT]


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
        (BANK, "unknown_enum"): 1,
    }  # fmt: skip
    _, out, _ = run(settings, capsys, "list", "--reason", "unknown_currency", "--topic", BANK)
    assert out.split() == ["2", "unknown_currency", BANK, "2", "in", "all"]
    _, out, _ = run(settings, capsys, "list", "--each")
    assert len(out.splitlines()) == 6

    # A terminal obeys control characters: they are shown, not sent to it.
    code, out, _ = run(settings, capsys, "show", BANK, "0", "5", *SIGNED)
    assert code == 0
    assert "YYY\\x1b[2J" in out
    assert "\x1b" not in out
    assert "xinliu.event/1" in out
    _, out, _ = run(settings, capsys, "show", BANK, "0", "7", *SIGNED)
    assert "hunter2" not in out
    assert "not held" in out
    _, out, _ = run(settings, capsys, "show", BANK, "0", "2", *SIGNED)
    assert '{"a":1}' in out
    _, out, _ = run(settings, capsys, "show", "events.v1", "0", "0", *SIGNED)
    assert LOGGED[1].decode() in out, "a record of our own topics is read where it stands"
    code, _, err = run(settings, capsys, "show", BANK, "0", "8", *SIGNED)
    assert (code, "no dead letter" in err) == (1, True)

    # Without a word of the operator nothing is sent; with it, what is held whole and came from an input.
    code, _, err = run(settings, capsys, "retry", "--reason", "unknown_currency")
    assert (code, "2 dead letters would be sent" in err) == (1, True)
    assert sent_again(settings) == []
    code, out, _ = run(settings, capsys, "retry", "--yes", "--json")
    answer = json.loads(out)
    assert (code, answer["sent"]) == (0, 2)
    assert [(*row["letter"].split()[:2], row["why"].split(":")[0]) for row in answer["refused"]] == [
        (f"{BANK}[0]@7", "credentials", "it is not held whole"), (f"{BANK}[0]@9", "oversized", "it is not held whole"),
        ("events.v1[0]@0", "conflict", "its topic is no feed"), (f"{BANK}[0]@2", "unknown_enum", "it is not sealed"),
    ]  # fmt: skip
    again = sent_again(settings)
    assert [one.value for one in again] == [b'{"currency":"XXX"}', b'{"currency":"YYY\x1b[2J"}']
    assert [one.key for one in again] == [KEY] * 2
    assert [one.headers for one in again] == [HEADERS] * 2
    assert len(read(settings.kafka.bootstrap, topics.EVENTS)) == 1
    code, out, _ = run(settings, capsys, "retry", "--topic", BANK, "--offset", "5", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 sent, 0 refused")
    assert len(sent_again(settings)) == 3


FORGED = {
    "control.v1": (topics.CONTROL, 0, b'{"type":"control","action":"activate","principal":"operators"}'),
    "no feed": (topics.SCORE, 0, b'{"score":700}'),
    "no bank": (topics.bank_events("C9999999999999"), 0, b'{"amount":1}'),
    "another record": (BANK, 3, b'{"currency":"CNY"}'),
    "a record to come": (BANK, SENT + 5, b'{"currency":"CNY"}'),
    "of no partition": (BANK, 3, b'{"currency":"XXX"}'),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_letter_that_a_role_has_forged_is_sent_nowhere(settings, capsys, how):
    """Score, learn and archive may write dlq.v1, and the public key that seals is no secret."""
    topic, offset, payload = FORGED[how]
    letter = sealed(load_sealer(settings.seal.public_key_file), topic, offset, Reason.UNKNOWN_ENUM, payload)
    if how == "of no partition":
        letter = msgspec.structs.replace(letter, partition=7)
    outbox = Outbox(settings.kafka.bootstrap)
    outbox.send(topics.DEAD_LETTERS, msgspec.json.encode(letter))
    outbox.drain()
    chosen = "retry", "--topic", topic, "--offset", str(offset), "--reason", "unknown_enum", "--yes"
    for words in ((), ("--source-gone", "按旧信", "--by", "张三")):
        code, out, _ = run(settings, capsys, *chosen, *words)
        assert (code, out.splitlines()[-1]) == (0, "0 sent, 1 refused")
    if topic in (topics.CONTROL, topics.SCORE):
        assert read(settings.kafka.bootstrap, topic) == []
    assert sent_again(settings) == read(settings.kafka.bootstrap, topics.AUDIT) == []


def test_a_letter_with_other_headers_or_key_than_its_source_is_not_sent(settings, capsys):
    sealer, outbox = load_sealer(settings.seal.public_key_file), Outbox(settings.kafka.bootstrap)
    for key, headers in ((b"other", HEADERS), (KEY, [("schema", b"xinliu.event/2")]), (KEY, [])):
        row = Row(4, 0, key, b"{}", encode_headers(headers))
        letter = to_sealed_letter(sealer, TP(BANK, 0), row, Rejected(reason=Reason.NOT_JSON, detail=""), False)
        outbox.send(topics.DEAD_LETTERS, msgspec.json.encode(letter))
    outbox.drain()
    _, out, _ = run(settings, capsys, "retry", "--offset", "4", "--yes")
    assert out.splitlines()[-1] == "0 sent, 3 refused"
    assert sent_again(settings) == []


def test_a_letter_whose_source_is_past_retention_is_sent_by_a_word_that_the_audit_keeps(settings, capsys):
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    (cut,) = admin.delete_records([TopicPartition(BANK, 0, 5)]).values()
    cut.result(20)
    _, out, _ = run(settings, capsys, "retry", "--offset", "3", "--yes")
    assert "past retention" in out
    assert out.splitlines()[-1] == "0 sent, 1 refused"
    for words in (("--source-gone", "核对过银行的文件"), ("--source-gone", " ", "--by", "张三")):
        code, out, err = run(settings, capsys, "retry", "--offset", "3", "--yes", *words)
        assert (code, out, "is needed" in err) == (1, "", True)
    assert sent_again(settings) == read(settings.kafka.bootstrap, topics.AUDIT) == []
    words = "--source-gone", "核对过银行的文件", "--by", "张三"
    _, out, _ = run(settings, capsys, "retry", "--reason", "unknown_currency", "--yes", *words)
    assert out.splitlines()[-1] == "2 sent, 0 refused"
    assert sorted(one.value for one in sent_again(settings)) == [b'{"currency":"XXX"}', b'{"currency":"YYY\x1b[2J"}']
    (said,) = [json.loads(one.value) for one in read(settings.kafka.bootstrap, topics.AUDIT)]
    assert said.pop("at") > 0
    assert said == {
        "type": "resent", "topic": BANK, "partition": 0, "offset": 3, "reason_refused": "unknown_currency",
        "by": "张三", "reason": "核对过银行的文件",
    }, "of the other one the source is there"  # fmt: skip
    assert "sent without its source  张三: 核对过银行的文件" in run(settings, capsys, "opened")[1]


def test_who_opens_a_letter_says_why_and_it_is_written_before_anything_is_shown(settings, capsys, tmp_path):
    for words in ((), ("--by", "张三"), ("--reason", "x")):
        code, out, err = run(settings, capsys, "show", BANK, "0", "3", *words)
        assert (code, out, "is needed" in err) == (1, "", True)
    without = msgspec.structs.replace(settings, seal=SealSettings())
    with pytest.raises(SettingsError, match="private_key_file is not set"):
        run(without, capsys, "show", BANK, "0", "3", *SIGNED)
    of_others = key_files(tmp_path / "others")
    other = msgspec.structs.replace(settings, seal=SealSettings(private_key_file=str(of_others["private_key_file"])))
    code, out, err = run(other, capsys, "show", BANK, "0", "3", *SIGNED)
    assert (code, out, "it is sealed for key" in err) == (1, "", True)
    code, out, _ = run(other, capsys, "retry", "--offset", "3", "--yes")
    assert "0 sent, 1 refused" in out
    assert read(settings.kafka.bootstrap, topics.AUDIT) == [], "nobody has opened anything"
    code, out, _ = run(settings, capsys, "show", BANK, "0", "3", *SIGNED, "--json")
    shown = json.loads(out)
    assert (code, base64.b64decode(shown["record"]["payload_base64"])) == (0, b'{"currency":"XXX"}')
    _, out, _ = run(settings, capsys, "opened", "--json")
    opened = json.loads(out)
    assert (opened["topic"], opened["offset"], opened["by"], opened["reason"]) == (BANK, 3, "张三", "银行询问")
    assert "张三: 银行询问" in run(settings, capsys, "opened")[1]


def test_a_pair_of_keys_is_made_once_and_its_private_half_is_for_its_owner(settings, capsys, tmp_path):
    code, out, _ = run(settings, capsys, "keys", str(tmp_path / "pair"))
    public, private = (Path(line.split(" = ")[1].strip("'")) for line in out.splitlines())
    assert (code, private.stat().st_mode & 0o777) == (0, 0o600)
    before = private.read_bytes()
    assert run(settings, capsys, "keys", str(tmp_path / "pair"))[:2] == (0, out)
    assert private.read_bytes() == before
    with pytest.raises(SettingsError, match="private half"):
        load_sealer(str(private))
    public.chmod(0o640)
    with pytest.raises(SettingsError, match="private keys of X25519 alone"):
        load_opener(str(public))
    public.write_text("6222021234567890123\n")
    with pytest.raises(SettingsError, match="public_key_file"):
        load_sealer(str(public))
    private.chmod(0o644)
    with pytest.raises(SettingsError, match="open to every user"):
        load_opener(str(private))


def test_fault_15_nothing_of_a_dead_letter_reaches_the_terminal_raw(settings, capsys, fault):
    calls = [
        ("list",), ("list", "--each"), ("list", "--each", "--json"), ("show", BANK, "0", "5", *SIGNED),
        ("show", BANK, "0", "5", *SIGNED, "--json"), ("retry", "--topic", "events.v1", "--yes"),
        ("retry", "--topic", "events.v1", "--yes", "--json"),
    ]  # fmt: skip
    for words in calls:
        code, out, err = run(settings, capsys, *words)
        assert code == 0
        assert UNSEEN.search(out + err) is None, words
        assert words == ("list",) or "\\u001b[2J\\u009b\\u202e" in out.replace("\\\\", "\\")
    _, out, _ = run(settings, capsys, "show", BANK, "0", "5", *SIGNED, "--json")
    assert json.loads(out)["detail"] == HOSTILE, "a program reads what was there"
    fault(injected=len(calls), observed=f"{len(UNSEEN.findall(HOSTILE))} characters of each field and detail escaped")
