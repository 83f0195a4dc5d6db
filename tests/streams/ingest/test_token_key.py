"""The secret of tokens stays, whichever key opens it, and only the keys of today open it."""

import itertools
import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cli.main import main
from config.errors import SettingsError
from config.settings import IngestSettings
from domain.events import Txn
from domain.topics import bank_events
from streams.ingest import token_key
from streams.ingest.tokens import Tokens
from tests.streams.ingest.guessing import UNKEYED, guessed
from tests.streams.ingest.kit import BANKS, as_bytes, at, committed, log_records, send, txn, worker

OLD = b"k" * 32


@pytest.fixture
def ingest(tmp_path):
    (tmp_path / "key.1").write_bytes(OLD)
    return IngestSettings(token_key_file=str(tmp_path / "key.1"), token_secret_file=str(tmp_path / "secret"))


def using(ingest, name):
    return msgspec.structs.replace(ingest, token_key_file=str(Path(ingest.token_key_file).with_name(name)))


def never_rotated(ingest):
    return msgspec.structs.replace(ingest, token_secret_file=None)


def rotated(ingest, name):
    return token_key.rotate(ingest, Path(ingest.token_key_file).with_name(name), "2026-12-01T00:00:00+00:00")


@hypothesis_settings(max_examples=40)
@given(st.binary(min_size=32, max_size=100), st.text("rn", max_size=8))
def test_all_keys_of_a_window_open_the_same_secret_and_no_other_does(first, steps):
    """rotate and retire in any order: r makes a key and changes to it, n ends the window."""
    with TemporaryDirectory() as folder:
        Path(folder, "key.0").write_bytes(first)
        start = ingest = IngestSettings(token_key_file=f"{folder}/key.0", token_secret_file=f"{folder}/secret")
        numbers, good = itertools.count(1), {0}
        secret = first.strip()
        if len(secret) < 32:
            with pytest.raises(SettingsError, match="at least 32"):
                rotated(ingest, "key.1")
            return
        for step in steps:
            number = next(numbers)
            if step == "r" and len(good) == 1:
                rotated(ingest, f"key.{number}")
                good.add(number)
                ingest = using(ingest, f"key.{number}")
            elif step == "n" and len(good) == 2:
                token_key.retire(ingest)
                good = {max(good)}
            else:
                with pytest.raises(SettingsError, match=r"\[ingest\]"):
                    rotated(ingest, f"key.{number}") if step == "r" else token_key.retire(ingest)
                assert not Path(folder, f"key.{number}").exists()
        if not Path(folder, "secret").exists():
            assert token_key.load(never_rotated(start)).secret == secret
            return
        for number in [int(file.name.split(".")[1]) for file in Path(folder).glob("key.*")]:
            one = using(ingest, f"key.{number}")
            if number in good:
                found = token_key.load(one)
                assert found.secret == secret
                assert found.is_newest is (number == max(good))
                assert Tokens(found.secret).token("account", "1") == Tokens(secret).token("account", "1")
            else:
                with pytest.raises(SettingsError, match=r"token_key_file.* wants"):
                    token_key.load(one)


@given(st.data())
def test_a_changed_byte_of_the_sealed_secret_is_noticed(data):
    sealed = token_key.SealedSecret.under(OLD, b"s" * 40, "now")
    name = data.draw(st.sampled_from(["sealed_at", "nonce", "secret", "key_id"]))
    text = getattr(sealed, name)
    i = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([c for c in "0123456789abcdef" if c != text[i]]))
    assert sealed.opened(OLD) == b"s" * 40
    assert msgspec.structs.replace(sealed, **{name: text[:i] + other + text[i + 1 :]}).opened(OLD) is None
    assert sealed.opened(b"l" * 32) is None


def test_what_is_written_shows_neither_secret_nor_key_and_is_the_owners_alone(ingest):
    rotated(ingest, "key.2")
    for file in (ingest.token_secret_file, using(ingest, "key.2").token_key_file):
        path = Path(file)
        assert path.stat().st_mode & 0o777 == 0o600
        assert OLD not in path.read_bytes()
        assert OLD.hex().encode() not in path.read_bytes()
    one, other = json.loads(Path(ingest.token_secret_file).read_text())["sealed"]
    assert one["nonce"] != other["nonce"]
    assert one["secret"] != other["secret"]


def test_a_key_that_only_opens_is_never_taken_for_the_secret(ingest):
    """Else a worker without the setting of the sealed secret would begin with other tokens, and break every payer."""
    rotated(ingest, "key.2")
    assert token_key.load(never_rotated(ingest)).secret == OLD
    with pytest.raises(SettingsError, match="token_secret_file is not set: the key in"):
        token_key.load(never_rotated(using(ingest, "key.2")))
    Path(ingest.token_secret_file).unlink()
    for do in (token_key.load, lambda given: rotated(given, "key.3")):
        with pytest.raises(SettingsError, match="token_secret_file"):
            do(using(ingest, "key.2"))
    assert not Path(ingest.token_key_file).with_name("key.3").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.write_text("{"), "truncated"),
        (lambda file: file.write_text('{"format": "xinliu.token-secret/2", "sealed": []}'), r"\$.format"),
        (lambda file: file.write_bytes(b"\xff"), "malformed"),
        (lambda file: file.write_text(file.read_text().replace("2026-12-01", "2026-12-02")), "has been changed"),
        (lambda file: file.unlink(), "No such file.*token-key rotate"),
    ],
)
def test_a_damaged_sealed_secret_is_refused_by_the_setting_s_name(ingest, change, words):
    rotated(ingest, "key.2")
    change(Path(ingest.token_secret_file))
    with pytest.raises(SettingsError, match=r"\[ingest\] token_secret_file = .*" + words):
        token_key.load(ingest)


def test_a_missing_or_short_key_is_refused_by_the_setting_s_name(tmp_path):
    short = tmp_path / "short.key"
    short.write_bytes(b" " * 40 + b"k" * 31)
    for path, words in ((None, "not set"), (str(tmp_path / "none"), "No such file"), (str(short), "31 bytes")):
        with pytest.raises(SettingsError, match=r"\[ingest\] token_key_file") as refused:
            token_key.load(IngestSettings(token_key_file=path))
        assert words in str(refused.value)


def test_no_file_is_written_over_and_a_failed_rotation_leaves_the_secret_as_it_was(ingest):
    rotated(ingest, "key.2")
    token_key.retire(using(ingest, "key.2"))
    before = Path(ingest.token_secret_file).read_bytes()
    with pytest.raises(SettingsError, match=r"--new-key-file .*key.1: File exists"):
        rotated(using(ingest, "key.2"), "key.1")
    assert Path(ingest.token_key_file).read_bytes() == OLD
    assert Path(ingest.token_secret_file).read_bytes() == before
    beneath_a_file = msgspec.structs.replace(ingest, token_secret_file=f"{ingest.token_key_file}/secret")
    with pytest.raises(SettingsError, match=r"\[ingest\] token_secret_file = .*/secret: "):
        rotated(beneath_a_file, "key.4")
    assert not Path(ingest.token_key_file).with_name("key.4").exists()


@pytest.mark.parametrize("language", ["C", "zh_CN.UTF-8"])
def test_the_command_rotates_and_says_how_things_stand(tmp_path, capsys, monkeypatch, language):
    monkeypatch.setenv("LC_ALL", language)
    (tmp_path / "key.1").write_bytes(OLD)
    file = tmp_path / "xinliu.toml"

    def call(key, *words):
        lines = "[ingest]", f'token_key_file = "{tmp_path / key}"', f'token_secret_file = "{tmp_path / "secret"}"'
        file.write_text("\n".join(lines if (tmp_path / "secret").exists() or words[0] != "status" else lines[:2]))
        code = main(["--config", str(file), "token-key", *words])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    key_id = Tokens(OLD).key_id
    code, said = call("key.1", "status")
    assert (code, key_id in said, ("never rotated" in said) or ("从未更换" in said)) == (0, True, True)
    assert call("key.1", "rotate")[0] == 2
    code, said = call("key.1", "rotate", "--new-key-file", str(tmp_path / "key.2"))
    assert (code, "token_secret_file" in said, "retire" in said) == (0, True, True)
    assert call("key.1", "status")[0] == call("key.2", "status")[0] == 1
    assert call("key.1", "retire")[0] == 2
    code, said = call("key.2", "retire", "--json")
    row = json.loads(said)
    assert (code, row["token_key_id"], [one["key_id"] for one in row["keys"]]) == (0, key_id, [row["key_id"]])
    assert call("key.2", "status")[0] == 0
    code, said = call("key.1", "status")
    assert (code, f"the key is {key_id}" in said) == (2, True)


def test_a_rotation_while_ingest_runs_changes_no_token_and_no_fingerprint(settings, empty_kafka, tmp_path, eventually):
    """On Kafka: a worker with the old key and one with the new read at once; then the new one alone."""
    broker, old = empty_kafka, settings()
    new_key, secret_file = tmp_path / "key.2", str(tmp_path / "secret")
    rotating = msgspec.structs.replace(old.ingest, token_secret_file=secret_file)
    account = "6222020000000004711"
    sent = Counter()

    def pay(number, event_id, **fields):
        fee = txn(event_id, at(0, 1), bank_id=BANKS[number], account=account, purpose="fee", **fields)
        payment = txn(f"{event_id}-p", at(0, 2), bank_id=BANKS[number], account=account, counterparty_id="张三",
                      counterparty_kind="personal")  # fmt: skip
        send(broker, bank_events(BANKS[number]), map(as_bytes, (fee, payment)))
        sent[number] += 2

    def all_read():
        return all(committed(broker, bank_events(BANKS[number])) == count for number, count in sent.items())

    with worker(old, tmp_path / "log.1") as first:
        pay(0, "a")
        eventually(all_read, 60, "the old key's records are in the log")
        token_key.rotate(rotating, new_key, "now")
        changed = msgspec.structs.replace(rotating, token_key_file=str(new_key))
        with worker(msgspec.structs.replace(old, ingest=changed), tmp_path / "log.2"):
            for number in range(3):
                pay(number, "a" if number == 0 else f"b{number}")
            eventually(all_read, 60, "what came within the window is in the log")
            first.terminate()
            assert first.wait(60) == 0
            token_key.retire(changed)
            pay(0, "a")
            eventually(all_read, 60, "what came after it is in the log")
    assert f"opened by the key {token_key.load(changed).key_id}" in (tmp_path / "log.2").read_text()
    rows = [row for rows in log_records(broker).values() for row in rows if isinstance(row.event, Txn)]
    assert len(rows) == sum(sent.values()) == 10
    assert len({row.event.account for row in rows}) == 1
    assert len({row.event.counterparty_id for row in rows if row.event.counterparty_id}) == 1
    assert len({row.fingerprint for row in rows if row.event.event_id == "a"}) == 1, "a resend is a repeat"
    accounts = [account[:-4] + f"{number:04}" for number in range(10_000)]
    fee = next(row for row in rows if row.event.event_id == "a")
    assert [name for name, hashed in UNKEYED.items() if guessed(fee, accounts, hashed)] == []
