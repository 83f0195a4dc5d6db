"""Reports of the rooms below are in Chinese where the locale is Chinese."""

import re
from pathlib import Path

import pytest

from cli.progress import Saying, chinese

ROOT = Path(__file__).resolve().parents[2]
REPORTS = re.compile(r'\b(?:_?on_progress|say)\(\s*f?"((?:[^"\\]|\\.)*)"\s*\)')


def reports() -> list[str]:
    """Their texts, with `1` where a value is put in."""
    files = [*(ROOT / "replay").glob("*.py"), *(ROOT / "embedded").glob("*.py")]
    found = [text for file in files for text in REPORTS.findall(file.read_text(encoding="utf-8"))]
    return [re.sub(r"\{[^{}]*\}", "1", text) for text in found]


def test_each_report_has_its_chinese() -> None:
    texts = reports()
    assert len(texts) >= 10, texts
    assert [text for text in texts if chinese(text) == text] == []


@pytest.mark.parametrize(
    ("lang", "said"), [("zh_CN.UTF-8", "Kafka 已应答：127.0.0.1:9"), ("C", "Kafka answers at 127.")]
)
def test_progress_is_reported_in_the_locales_language(
    lang: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", lang)
    Saying()("Kafka answers at 127.0.0.1:9")
    assert said in capsys.readouterr().err
