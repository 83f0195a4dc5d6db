"""Spelled numbers of persons in the log, of which few stay in clear; ordinary texts, of which few are masked.

Shares are floors by kind. The corpora are tests/corpus/personal_numbers.tsv and payment_texts.py.
"""

import time
import unicodedata
from collections import Counter

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.events import Gov, Loan, LogRecord, Profile, Txn
from domain.personal import fold, is_organisation
from streams.ingest.forwarding import Forwarder
from streams.ingest.masking import masked
from streams.worker.role import TP
from tests.corpus.cases import good
from tests.corpus.payment_texts import texts
from tests.corpus.personal_numbers import spellings
from tests.streams.ingest.test_fast_path import FULL, SEALER, TOKENS, as_sent, becomes, both_agree, canonical, taken

SPELLINGS, TEXTS = spellings(), list(texts())
BEFORE, BEHIND = "货款 ", "，谢谢"
LEFT_MAX = 4  # digits of a number that may stay: the country's code
# Of the spellings of a kind, in percent: those that are masked within a text.
FOUND = {
    "resident id 18": 96, "resident id 15": 95, "mobile": 93, "passport": 92, "permit": 97, "Hong Kong id": 100,
    "card": 95, "account": 92,
}  # fmt: skip
# Of 10,000 texts of a kind, those of which something is masked by mistake; 0 for all others.
MASKED_BY_MISTAKE = {"serial": 14, "utility": 40, "waybill": 14}


def digits_in(text):
    """Digits of whatever script, Chinese ones too."""
    return sum(unicodedata.numeric(character, None) is not None for character in text)


def memos_of(rows):
    return [msgspec.json.decode(value, type=LogRecord).event.memo for (_, value), _ in rows]


def record(**fields):
    return canonical(**{name: value for name, value in FULL.items() if name != "seq"} | fields)


@pytest.fixture(scope="module")
def logged():
    """The memos of the spellings in `events.v1`."""
    return memos_of(both_agree(as_sent(*(record(memo=BEFORE + one.text + BEHIND) for one in SPELLINGS)), at_once=500))


def test_the_corpora_are_large_enough():
    assert len(SPELLINGS) >= 300
    assert len(TEXTS) >= 10_000
    assert {one.kind for one in SPELLINGS} == FOUND.keys()


def test_of_each_kind_of_number_at_least_this_share_is_masked_in_the_log(logged):
    counts, found = Counter(one.kind for one in SPELLINGS), Counter()
    for one, memo in zip(SPELLINGS, logged, strict=True):
        assert memo.startswith(BEFORE)
        assert memo.endswith(BEHIND)
        found[one.kind] += digits_in(memo) <= LEFT_MAX
    shares = {kind: 100 * found[kind] / counts[kind] for kind in counts}
    print(shares, found.total() / counts.total())
    assert all(shares[kind] >= FOUND[kind] for kind in FOUND), shares
    assert found.total() >= 0.94 * counts.total()


def test_no_spelling_reaches_the_log_as_a_party_s_id():
    """As a counterparty of either path, and as a guarantor, a payee and a related party."""
    ids = [one.text for one in SPELLINGS if len(one.text) <= 64 and one.text.isprintable()]  # others are refused
    assert len(ids) > 400
    found = both_agree(as_sent(*(record(counterparty_id=text) for text in ids)), at_once=500)
    values = [value for (_, value), _ in found]
    loan = msgspec.json.decode(next(case.payload for case in good() if case.name == "loan"), type=Loan)
    profile = msgspec.json.decode(next(case.payload for case in good() if case.name == "profile"), type=Profile)
    for text, value in zip(ids, values, strict=True):
        token = TOKENS.token("person", text)
        assert msgspec.json.decode(value, type=LogRecord).event.counterparty_id == token
        one = TOKENS.pseudonymous(msgspec.structs.replace(loan, guarantors=(text,), entrusted_payee_id=text))
        assert (*one.guarantors, one.entrusted_payee_id) == (token, token)
        assert TOKENS.pseudonymous(msgspec.structs.replace(profile, related_party_ids=(text,))).related_party_ids == (
            token,
        )


def test_ordinary_texts_stay_as_they_are_but_for_these():
    values = [record(memo=text) for _, text in TEXTS]
    memos = memos_of(becomes(as_sent(*values), compiled=True, at_once=500))
    counts = Counter(kind for kind, _ in TEXTS)
    wrong = Counter(kind for (kind, text), memo in zip(TEXTS, memos, strict=True) if memo != text)
    print(wrong, wrong.total() / len(TEXTS))
    assert all(10_000 * wrong[kind] <= MASKED_BY_MISTAKE.get(kind, 0) * counts[kind] for kind in counts), wrong
    assert wrong.total() <= 0.001 * len(TEXTS)
    # Nine of ten take the fast path; their numbers are no reason to leave it.
    assert sum(taken(as_sent(*values[:2_000]))) >= 0.93 * 2_000


def test_both_paths_agree_on_ordinary_texts():
    both_agree(as_sent(*(record(memo=text) for _, text in TEXTS[:2_000])), at_once=500)


FRAGMENTS = st.sampled_from(
    [one.text for one in SPELLINGS]
    + [text for _, text in TEXTS[:200]]
    + ["账号", "卡号:", "护照", "通行证", "手机", "ACC", "ＣＡＲＤ", "NO", "TEL", "X", "x", "E", "HM", "元", "付"]
    + ["62", "86", "1", "138", "0013", "8000", "12", "８", "*", "(", ")", ".", "-", "_", "－", "．"]
    + [" ", "  ", "\t", "11010519491231002", "6222020200112345679"]
)
mixed = st.lists(FRAGMENTS | st.text("0123456789 -xE*号", max_size=12), max_size=6).map("".join)
ACCOUNTS = ["6222020200112345679", "0012-0000123-01", "ABC", "１２３４５６７８９", ""]


@given(text=mixed, accounts=st.lists(st.sampled_from(ACCOUNTS), max_size=2))
@example(text="11010519491231002X13800138000", accounts=[])
@example(text="13800138000.12 345678", accounts=["12345678"])
@example(text="账号" + "1 2 3 4 " * 12 + "13800138000", accounts=[])
def test_masking_again_changes_nothing_and_each_character_keeps_its_place(text, accounts):
    once = masked(text, accounts)
    assert masked(once, accounts) == once
    assert len(once) == len(text)
    folded = fold(text)
    for before, after, plain in zip(text, once, folded, strict=True):
        assert after == before or (after == "*" and plain.isascii() and plain.isalnum())


@given(
    memo=mixed.filter(lambda text: len(text) <= 256),
    account=st.sampled_from([*ACCOUNTS[:4], "a"]),
    other=st.sampled_from([None, *ACCOUNTS[:4]]),
)
@example(memo="退 0012 0000123 01", account="a", other="0012-0000123-01")
def test_both_paths_mask_alike(memo, account, other):
    both_agree(as_sent(record(memo=memo, account=account, counterparty_account=other)))


CODE = st.text("0123456789", min_size=18, max_size=18) | st.text("09AX", min_size=18, max_size=18)
CODES = (
    "91350100M000100Y43", "91110108551385082Q", "911101085923662400", "911101085923662401", "11010519491231002X",
    "91450100SIM0000001", "110105194912310021", "C1010211000012", "张三", "513101198001010017",
)  # fmt: skip
HEADS = st.sampled_from(["91", "9144", "N1", "51", "19", "A"])
ids = st.sampled_from(CODES) | st.builds(lambda code, head: head + code[len(head) :], CODE, HEADS) | CODE


@given(text=ids)
@example(text="51131119800101001X")
def test_the_fast_path_keeps_a_credit_code_and_no_other_party_in_clear(text):
    (((_, value), _),) = both_agree(as_sent(record(counterparty_id=text)))
    kept = msgspec.json.decode(value, type=LogRecord).event.counterparty_id == text
    assert kept is is_organisation(text)


ENTERPRISES = st.sampled_from([one.text for one in SPELLINGS if one.text.isascii() and len(one.text) <= 32])


@given(
    text=ENTERPRISES | st.text("0123456789X-_EH", min_size=7, max_size=20) | CODE,
    prefix=st.sampled_from(["", "E", "62", "1101051949"]),
)
@example(text="6-222020200112345", prefix="")
def test_both_paths_refuse_the_same_enterprises(text, prefix):
    both_agree(as_sent(record(enterprise_id=(prefix + text)[:32])))


def test_the_record_s_own_accounts_are_masked_in_its_memo():
    event = msgspec.convert(
        msgspec.json.decode(
            record(
                memo="从 0012 0000123 01 转 7788-9900-11", account="0012-0000123-01", counterparty_account="7788990011"
            )
        ),
        Txn,
    )
    assert TOKENS.pseudonymous(event).memo == "从 **** ******* ** 转 ****-****-**"


@pytest.mark.parametrize("name", ["memo", "return_reason"])
def test_free_text_of_a_transaction_is_masked(name):
    event = msgspec.convert(msgspec.json.decode(record()), Txn)
    assert (
        getattr(TOKENS.pseudonymous(msgspec.structs.replace(event, **{name: "找13800138000"})), name) == "找***********"
    )


def test_free_text_of_other_events_is_masked():
    kinds = {Loan: ("declared_use", "customer_name", "reason"), Gov: ("item", "value"), Profile: ("name_masked",)}
    for kind, names in kinds.items():
        case = next(case for case in good() if case.name == kind.__struct_config__.tag)
        event = msgspec.structs.replace(
            msgspec.json.decode(case.payload, type=kind), **dict.fromkeys(names, "找13800138000")
        )
        _, value = Forwarder(TOKENS, SEALER).forwarded(TP("t", 0), 0, event)
        kept = msgspec.json.decode(value, type=LogRecord).event
        assert [getattr(kept, name) for name in names] == ["找***********"] * len(names)


def test_the_spellings_of_a_person_and_of_a_card_are_one_party():
    persons = [
        "11010519491231002X",
        "11010519491231002x",
        "110105 19491231 002X",
        "１１０１０５１９４９１２３１００２Ｘ",
        "110105491231002",
    ]
    assert len({TOKENS.token("person", text) for text in persons}) == 1
    cards = [
        "6222020200112345679",
        "6222 0202 0011 2345 679",
        "6222-0202-0011-2345-679",
        "６２２２０２０２００１１２３４５６７９",
    ]
    assert len({TOKENS.token("account", text) for text in cards}) == 1


def test_a_text_made_to_be_slow_takes_a_few_milliseconds_at_most():
    for text in ("1 2 3 4 5 6 7 8 9 " * 14, "1-" * 128, "6 2 " * 64, "账号 " * 60 + "1" * 70, "E1" * 128):
        begin_s = time.thread_time()
        for _ in range(10):
            masked(text, ACCOUNTS)
        assert time.thread_time() - begin_s < 0.2
