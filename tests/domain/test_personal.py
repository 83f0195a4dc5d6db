"""Numbers of persons, whole: check digits by published examples, and what is taken for what."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.personal import (
    canonical,
    compact,
    credit_check,
    fold,
    is_card,
    is_credit_code,
    is_hong_kong,
    is_organisation,
    kind_of,
    luhn,
    resident_check,
)
from tests.corpus.personal_numbers import spellings

# GB 11643-1999 and GB 32100-2015 (annexes), ISO/IEC 7812-1 (annex B), Hong Kong's identity card as its office shows it.
RESIDENTS = ("11010519491231002X", "440524188001010014")
CREDIT_CODES = ("91350100M000100Y43", "91110108551385082Q", "911101085923662400")
CARDS = ("4111111111111111", "5555555555554444")


def test_check_digits_are_those_of_published_examples():
    assert all(resident_check(one) == one[17] for one in RESIDENTS)
    assert all(credit_check(one) == one[17] for one in CREDIT_CODES)
    assert [luhn(one) for one in CARDS] == [0, 0]
    assert is_hong_kong("A1234563")
    assert is_hong_kong("AB9876543")
    assert not is_hong_kong("A1234564")


@pytest.mark.parametrize(
    "text",
    [RESIDENTS[0], "110105491231002", "13800138000", "8613800138000", "E12845678", "H12845678", "A1234563", CARDS[0]],
)
def test_one_other_digit_is_another_number_and_of_what_has_a_check_digit_none(text):
    kind, rnd = kind_of(text), random.Random(7)
    assert kind is not None
    found = 0
    for at in range(len(text)):
        if text[at].isdigit():
            other = text[:at] + rnd.choice("0123456789".replace(text[at], "")) + text[at + 1 :]
            found += kind_of(other) == kind
    assert found == 0 if kind in ("card", "hong_kong_id") or len(text) == 18 else found > 0


@pytest.mark.parametrize("code", CREDIT_CODES)
def test_a_credit_code_is_no_person_and_may_stand_in_clear(code):
    assert is_organisation(code)
    assert kind_of(code) is None


@pytest.mark.parametrize(
    "text",
    ["911101085923662401", "91110108551385082q", " 91110108551385082Q", "C1010211000012", "A00297", "张三", "",
     "9111010855138508QQ9", "621700 0010 1234 5678", *RESIDENTS, *CARDS],
)  # fmt: skip
def test_what_is_no_credit_code_may_not(text):
    assert not is_organisation(text)


def test_of_real_looking_credit_codes_none_is_refused_as_a_person():
    """A hundred thousand of digits alone, as those of before 2015 are, with districts that look like centuries."""
    rnd, taken = random.Random(5), 0
    for _ in range(100_000):
        first = rnd.choice(("91", "91", "91", "92", "93", "12", "52"))
        body = (
            f"{first}{rnd.choice((1101, 4403, 4501, 3301))}{rnd.choice((19, 20, 8, 5, 82)):02}{rnd.randrange(10**9):09}"
        )
        code = body + credit_check(body)
        assert is_credit_code(code)
        taken += kind_of(code) is not None
        assert first[0] != "9" or kind_of(code) is None
    assert taken < 30


def test_the_spellings_of_a_number_are_one():
    for text in (
        "11010519491231002X",
        "１１０１０５１９４９１２３１００２ｘ",
        "110105-19491231-002X",
        "110105 491231 002",
    ):
        assert canonical(text) == RESIDENTS[0]
    for text in ("A123456(3)", "a 123456 (3)", "Ａ123456-3"):
        assert canonical(text) == "A1234563"
    for text in ("13800138000", "+86 138-0013-8000", "0086138 0013 8000", "138.0013.8000", "1\u200b3800138000"):
        assert canonical(text) == "13800138000"
    assert canonical("张三") is canonical("客户 1234") is None


@given(st.text(max_size=40) | st.sampled_from([one.text for one in spellings()]))
def test_folding_keeps_each_character_s_place_and_does_so_once(text):
    folded = fold(text)
    assert len(folded) == len(text)
    assert fold(folded) == folded
    assert compact(folded) == compact(text) == compact(compact(text))


@given(st.sampled_from([one.text for one in spellings()]))
def test_a_canonical_spelling_is_its_own(text):
    one = canonical(text)
    assert one is None or canonical(one) == one


def test_a_card_needs_an_issuer():
    assert not is_card("1234567812345670")
    assert luhn("1234567812345670") == 0
