"""Text from outside on a terminal: nothing that it obeys, and nothing lost."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from domain.printable import printable


def test_usual_text_stays_unchanged():
    for text in ("", "江西某某有限公司", "全角　空格", "[red]x[/red]", "é | \\u0041 = +1"):
        assert printable(text) == text


def test_control_characters_of_a_terminal_are_escaped():
    assert printable("\x1b[2J\u202e\x00\x9b\n\U000e0041") == r"\u001b[2J\u202e\u0000\u009b\u000a\udb40\udc41"


@given(st.text())
def test_no_control_or_unseen_character_is_left(text):
    assert all(one == "\u3000" or one.isprintable() for one in printable(text))
    assert not any(unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp") for one in printable(text))


@given(st.text())
def test_a_json_document_stays_the_same_document(text):
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text
