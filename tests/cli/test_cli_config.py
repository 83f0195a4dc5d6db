"""`xinliu config`: every wrong key by name, and nothing secret shown."""

from pathlib import Path

import pytest

from cli.main import main


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("XINLIU_"):
            monkeypatch.delenv(name)


def test_every_wrong_key_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "xinliu.toml"
    file.write_text(
        '[kafka]\nbootsrap = "a:1"\nlog_partitions = 0\n[redis]\ntimeout_s = "soon"\n[nothing]\n'
        '[[banks]]\nbank_id = "?"\nname_zh = "x"\n'
    )
    monkeypatch.setenv("XINLIU_SCORE_FLUSH", "1")
    assert main(["--config", str(file), "config", "check"]) == 2
    said = capsys.readouterr().err
    for name in ("bootsrap", "log_partitions", "timeout_s", "nothing", "bank", "XINLIU_SCORE_FLUSH"):
        assert name in said, name
    assert len(said.strip().splitlines()) == 6


def test_a_table_that_is_none_is_named_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "xinliu.toml"
    file.write_text("nonsense = 1\n")
    for words in (["config", "check"], ["topics", "check"]):
        assert main(["--config", str(file), *words]) == 2
        said = capsys.readouterr().err
        assert str(file) in said
        assert "nonsense" in said


def test_a_relation_is_checked_once_each_key_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "xinliu.toml"
    file.write_text("[score]\nflush_interval_ms = 9000\n[kafka]\nsession_timeout_s = 6.0\n")
    assert main(["--config", str(file), "config", "check"]) == 2
    said = capsys.readouterr().err
    assert "flush_interval_ms" in said
    assert "session_timeout_s" in said


def test_right_settings_are_shown_without_secrets_and_so_is_an_address_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINLIU_REDIS_URL", "redis://xinliu:hunter2@cache:6379/0")
    file = tmp_path / "xinliu.toml"
    file.write_text('[ingest]\ntoken_key_file = "/run/token"\n')
    assert main(["--config", str(file), "config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert "redis://xinliu:(redacted)@cache:6379/0" in shown
    assert 'token_key_file = "/run/token"' in shown
    assert main(["--config", str(file), "config", "check"]) == 0
    monkeypatch.setenv("XINLIU_REDIS_URL", "redis://127.0.0.1:1/0?password=hunter2")
    assert main(["--config", str(file), "config", "show"]) == 0
    assert "redis://127.0.0.1:1/0?password=(redacted)" in capsys.readouterr().out
    assert main(["--config", str(file), "status", "--json"]) == 2
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err
    assert "redis://127.0.0.1:1/0" in said.err
