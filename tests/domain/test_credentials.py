"""Secrets are looked for in all names of a record at once: that finds what one by one would."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from config.credentials import forbidden

NAMES = st.one_of(
    st.sampled_from(sorted(forbidden().names) + sorted(forbidden().parts) + sorted(forbidden().harmless)),
    st.text("pasword_- .\"'pinPINcv2密码\n", max_size=14),
    st.text(max_size=12),
)


@given(names=st.lists(NAMES, max_size=12, unique=True))
def test_the_first_secret_name_is_found_among_others(names):
    expected = next((name[:64] for name in names if forbidden().names_secret(name)), None)
    assert forbidden().find(dict.fromkeys(names, 1)) == expected
    assert forbidden().find({"memo": [dict.fromkeys(names, "x")]}) == (expected and f"memo[0].{expected}")


@given(names=st.lists(NAMES, max_size=8, unique=True))
def test_a_payload_that_names_a_secret_is_seen_to(names):
    plain = [name for name in names if name and '"' not in name and "\\" not in msgspec.json.encode(name).decode()]
    secret = any(forbidden().names_secret(name) for name in plain)
    assert forbidden().seen_in(msgspec.json.encode(dict.fromkeys(plain, 1))) == secret


def test_pem_is_found_wherever_it_stands():
    assert forbidden().find({"memo": ["x", "-----BEGIN KEY"], "account": "a"}) == "memo[1]"
    assert forbidden().seen_in(b"\xff no json -----BEGIN KEY")
