"""The secret scan of slow-path records agrees with the reference."""

from hypothesis import example, given
from hypothesis import strategies as st

from config.credentials import forbidden
from domain.reject import Rejected
from domain.strict_json import parse
from kernels.json_bytes import quoted
from streams.ingest.fast_path import secret_scan
from tests.corpus.cases import bad, good
from tests.domain.test_credentials import DOCUMENTS
from tests.streams.ingest.test_fast_path import FULL, as_sent, canonical, chunk, damaged


def scanned(*messages):
    """Return whether each is harmless."""
    return secret_scan.harmless(chunk(as_sent(*messages)), range(len(messages)))


@given(message=DOCUMENTS | damaged(DOCUMENTS) | st.sampled_from([case.payload or b"" for case in (*good(), *bad())]))
@example(message=b'{"memo":"x\\u0022password\\u0022:1"}')
@example(message=b'{"memo":"a""pin" \xe3\x80\x80:1}')
@example(message=b'"type"pin":')
@example(message=b'{"memo":"-----BEGIN KEY"}')
@example(message=b'{"-----BEGIN":1}')
def test_harmless_records_hold_no_secret(message):
    if scanned(message) == [True]:
        assert not forbidden().seen_in(message)
        document = parse(message)
        assert isinstance(document, Rejected) or forbidden().find(document) is None


def test_our_records_are_harmless_however_many_kinds_there_are():
    messages = [case.payload for case in good() if b"\\" not in case.payload and b"--" not in case.payload]
    assert scanned(*messages) == [True] * len(messages)


def test_the_names_are_no_part_of_what_is_compiled(monkeypatch):
    assert scanned(canonical(**FULL)) == [True]
    monkeypatch.setattr(secret_scan, "_NAMES", quoted(name for name in ("type", *FULL) if name != "memo"))
    assert scanned(canonical(**FULL)) == [False]
