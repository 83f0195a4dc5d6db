"""Settings are parsed once; an error has the setting's name, and nothing starts."""

import os
import subprocess
import sys

import pytest

from config.errors import SettingsError
from config.settings import Settings, load
from tests.patience import patience_s

GOOD = """
[kafka]
bootstrap = "broker:9092"
log_partitions = 8
[[banks]]
bank_id = "C1010211000012"
name_zh = "工商银行"
mode = "daily_file"
"""
WRONG = [
    ("[kafka]\nbotstrap = 'x'", {}, r"botstrap"),
    ("[kafkaa]\nbootstrap = 'x'", {}, r"kafkaa"),
    ("[kafka]\nlog_partitions = 'many'", {}, r"\[kafka\] log_partitions"),
    ("[kafka]\nlog_partitions = 0", {}, r"\[kafka\] log_partitions"),
    ("[kafka]\nparser = 'fast'", {}, r"\[kafka\] parser: Invalid enum value 'fast'"),
    ("[kafka]\nbootstrap = ", {}, r"settings file .*xinliu\.toml"),
    ("[[banks]]\nbank_id = 'ICBC'\nname_zh = 'x'", {}, r"banks"),
    ("[[banks]]\nbank_id = 'C1010211000012'\nname_zh = 'x'\ncolour = 1", {}, r"colour"),
    (GOOD + GOOD[GOOD.index("[[banks]]") :], {}, r"bank_id C1010211000012 stands twice"),
    ("[score]\nflush_interval_ms = 30000", {}, r"flush_interval_ms = 30000.*session_timeout_s = 10"),
    ("[kafka]\nsecurity_protocol = 'SASL_SSL'", {}, r"security_protocol = SASL_SSL needs sasl_username"),
    ("", {"XINLIU_KAFKA_BOTSTRAP": "x"}, r"XINLIU_KAFKA_BOTSTRAP names no setting"),
    ("", {"XINLIU_KAFKA_LOG_PARTITIONS": "many"}, r"XINLIU_KAFKA_LOG_PARTITIONS"),
]


def written(tmp_path, text):
    path = tmp_path / "xinliu.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_environment_wins_over_the_file_and_defaults_fill_the_rest(tmp_path):
    settings = load(written(tmp_path, GOOD), {"XINLIU_KAFKA_LOG_PARTITIONS": "16", "HOME": "/x"})
    assert settings.kafka.log_partitions == 16
    assert settings.kafka.bootstrap == "broker:9092"
    assert settings.redis == Settings().redis
    assert settings.banks[0].mode == "daily_file"


@pytest.mark.parametrize(("text", "environ", "said"), WRONG)
def test_fault_31_a_wrong_setting_is_refused_by_name(tmp_path, text, environ, said, fault):
    with pytest.raises(SettingsError, match=said) as refused:
        fault.inject(load, written(tmp_path, text), environ)
    fault(observed=f"refused: {str(refused.value).replace(str(tmp_path), '')[:60]!a}")


def test_fault_31_a_worker_refuses_to_start_and_exits_with_2(tmp_path, fault):
    path = written(tmp_path, "[kafka]\nbotstrap = 'x'")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("XINLIU_")}
    done = fault.inject(
        subprocess.run, [sys.executable, "-m", "cli.main", "--config", str(path), "worker", "score"],
        capture_output=True, text=True, timeout=patience_s(60), check=False, env=clean,
    )  # fmt: skip
    assert done.returncode == 2
    assert "botstrap" in done.stderr
    assert "Traceback" not in done.stderr
    fault(observed=f"exit code {done.returncode}, the key named")


def test_a_missing_settings_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {})
