"""The usual decoder agrees with the strict one on its messages, and the strict one reads all others."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.reject import Rejected
from domain.strict_json import _UNUSUAL, _usual, _whole, parse
from tests.corpus.cases import bad, good

PAYLOADS = [case.payload for case in (*good(), *bad()) if case.payload is not None]

digits = st.text("0123456789", min_size=1, max_size=330)
numbers = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-", "+"]), digits, st.sampled_from(["", ".", "e", "E-", "e+"]), st.just("") | digits
    ),
)
texts = st.text(st.sampled_from('ab货\u0301\u2028\x7f\x1f:,{}[]" \\'), max_size=6).map(json.dumps)
scalars = st.sampled_from(["null", "true", "false", "NaN", "-Infinity"]) | numbers | texts
blanks = st.sampled_from(["", "", "", " ", "\n\t", "\u00a0"])


def written(inner):
    pairs = st.tuples(texts | st.sampled_from(['"a"', '"b"']), blanks, inner)
    objects = st.lists(pairs.map(lambda pair: f"{pair[0]}{pair[1]}:{pair[1]}{pair[2]}"), max_size=5)
    return objects.map(lambda items: f"{{{','.join(items)}}}") | st.lists(inner, max_size=4).map(
        lambda items: f"[{', '.join(items)}]"
    )


documents = st.recursive(scalars, written, max_leaves=12).map(str.encode)


@st.composite
def damaged(draw):
    message = draw(documents | st.sampled_from(PAYLOADS))
    at = draw(st.integers(0, len(message)))
    junk = draw(st.binary(max_size=3) | st.sampled_from([b'"', b":", b",", b"{", b"}", b"\\u0061", "货".encode()[:2]]))
    return message[:at] + junk + message[at + draw(st.integers(0, 3)) :]


@given(message=documents | damaged())
@example(message=b'{"a":1,"a":2}')
@example(message=b'{"a" :1,"a":":"}')
@example(message=b'[{"a":1},{"a":2}]')
@example(message=b'{"a":' + b"9" * 308 + b"}")
@example(message=b'{"a":' + b"9" * 309 + b"}")
@example(message=b"[-0, -0.0, 1e308, 5e-324, 18446744073709551616]")
def test_both_readings_agree(message):
    usual, whole = _usual(message), _whole(message)
    assert usual is _UNUSUAL or (repr(usual) == repr(whole) and not isinstance(whole, Rejected))
    assert repr(parse(message)) == repr(whole)


@pytest.mark.parametrize("message", PAYLOADS, ids=range(len(PAYLOADS)))
def test_both_readings_agree_on_the_corpus(message):
    assert repr(parse(message)) == repr(_whole(message))


def test_most_of_what_is_json_is_read_by_the_usual_decoder():
    whole = [message for message in PAYLOADS if not isinstance(_whole(message), Rejected)]
    assert sum(_usual(message) is not _UNUSUAL for message in whole) > 0.9 * len(whole)
