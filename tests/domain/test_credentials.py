"""The search for secrets in all names of a record at once equals the search one by one."""

import json

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from config.credentials import forbidden
from domain.reject import Rejected
from domain.strict_json import parse
from tests.corpus.cases import bad, good

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


VALUES = st.recursive(
    NAMES | st.sampled_from([None, True, 17, -1.5e30, "-----BEGIN KEY", ":", ",", "{", 'a":', "\\u0061"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.just("-----BEGIN"), inner, max_size=4),
    max_leaves=10,
)
DOCUMENTS = st.builds(
    lambda value, ascii_only, blank: json.dumps(
        value, ensure_ascii=ascii_only, separators=(f",{blank}", f"{blank}:{blank}")
    ).encode(),
    VALUES, st.booleans(), st.sampled_from(["", " ", "\n"]),
)  # fmt: skip


@given(message=DOCUMENTS | st.sampled_from([case.payload or b"" for case in (*good(), *bad())]))
@example(message=b'{"memo":"x\\u0022password\\u0022:1"}')
@example(message=b'["password", ":"]')
@example(message=b'{"-----BEGIN":1}')
def test_fields_show_no_secret_that_the_whole_bytes_do_not_show(message):
    document = parse(message)
    if not isinstance(document, Rejected) and forbidden().find(document) is None:
        assert forbidden().seen_in(message, is_searched=True) == forbidden().seen_in(message)


def test_pem_is_found_wherever_it_stands():
    assert forbidden().find({"memo": ["x", "-----BEGIN KEY"], "account": "a"}) == "memo[1]"
    assert forbidden().seen_in(b"\xff no json -----BEGIN KEY")
