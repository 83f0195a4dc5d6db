"""Damaged records: ingest's compiled readers have the outcomes of the reference."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.reject import Reason
from tests.mutating import in_processes
from tests.streams.ingest.record_mutations import check, chunk_of_damaged, originals
from tests.streams.ingest.test_fast_path import ANY_MS, NOW_MS

ORIGINALS = originals()


@given(seed=st.integers(0, 2**64), last_ms=st.sampled_from([ANY_MS, NOW_MS - 1]))
@settings(max_examples=30)
def test_of_damaged_records_both_make_the_same(seed, last_ms):
    check(chunk_of_damaged(random.Random(seed), ORIGINALS), last_ms)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3_600)
def test_a_million_damaged_records(seed, capsys):
    """No crash, no hundred records that take a second of CPU, no memory above the bound, and both agree on each."""
    found = in_processes("tests.streams.ingest.record_mutations", seed, 1_000_000, timeout_s=3 * 3_600)
    with capsys.disabled():
        print(f"\n{found}")
    assert found["count"] >= 999_000
    of_score = {Reason.CONFLICT, Reason.LATE, *(reason for reason in Reason if reason.name.startswith("CASE_"))}
    of_ingest = {reason.value for reason in set(Reason) - of_score}
    assert {"forwarded", *of_ingest} - found["seen"].keys() <= {"oversized"}
