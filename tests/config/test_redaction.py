"""Settings as they are shown: every form of address that has a place for a secret, and the ones that are refused."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import SettingsError
from config.redaction import shown_setting, shown_url
from config.settings import ClickHouseSettings, Settings, load
from sinks.clickhouse import target_of

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://user:hunter2@cache:6379/0", "redis://user:(redacted)@cache:6379/0"),
        ("redis://:hunter2@cache/0", "redis://:(redacted)@cache/0"),
        ("redis://u:a@hunter2@cache/0", "redis://u:(redacted)@cache/0"),
        ("redis+cluster://u:hunter2@[::1]:7000", "redis+cluster://u:(redacted)@[::1]:7000"),
        ("redis://cache/0?password=hunter2", "redis://cache/0?password=(redacted)"),
        ("redis://cache/0?password=a%40hunter2", "redis://cache/0?password=(redacted)"),
        ("redis://cache/0?db=1&passphrase=hunter2", "redis://cache/0?db=1&(redacted)"),
        ("rediss://cache?ssl_password=hunter2&ssl_ca_certs=/ca.pem", "rediss://cache?ssl_password=(redacted)&ssl_ca_certs=/ca.pem"),
        ("redis://cache/0?password=a&hunter2&hunter2=b", "redis://cache/0?password=(redacted)&(redacted)&(redacted)"),
        ("unix:///run/redis@1.sock?db=0&password=hunter2", "unix:///run/redis@1.sock?db=0&password=(redacted)"),
        ("clickhouse://default:hunter2@host:9000/x?access_token=hunter2", "clickhouse://default:(redacted)@host:9000/x?(redacted)"),
        ("chdb:///var/lib/x@1?database=y", "chdb:///var/lib/x@1?database=y"),
        # Characters that should have been percent-encoded: which part the password is cannot be told.
        ("redis://u:12/hunter2@cache/0", "(redacted)"),
        ("redis://u:hunter2/x@cache/0", "(redacted)"),
        ("redis://u:12?hunter2@cache/0", "(redacted)"),
        ("redis://u:12?db=hunter2@cache/0", "(redacted)"),
        ("redis://u:12#hunter2@cache/0", "(redacted)"),
        ("redis://u:[hunter2@cache/0", "(redacted)"),
        ("user:hunter2@cache:6379", "(redacted)"),
        ("u:hunter2@cache://x", "(redacted)"),
        ("redis://u:hunter2", "(redacted)"),
        ("redis://cache/0?password=a@hunter2", "(redacted)"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert SECRET not in shown


_AROUND = st.text(st.sampled_from("ab1:@/?#=&[]%. \n;\uff03\u2100"), max_size=6)


@given(
    before=_AROUND,
    after=_AROUND,
    template=st.sampled_from(["redis://u:{}@h:1/0", "redis://:{}@h", "redis://h/0?password={}"]),
)
def test_no_character_in_a_password_brings_it_out(before: str, after: str, template: str) -> None:
    assert SECRET not in shown_url(template.format(before + SECRET + after))


def test_a_secret_is_not_shown_and_its_file_is() -> None:
    assert shown_setting("sasl_password", SECRET) == "(redacted)"
    assert shown_setting("sasl_password_file", "/run/secret") == "/run/secret"
    assert shown_setting("port", 1) == 1


@pytest.mark.parametrize(
    ("table", "url"),
    [
        ("redis", "redis://u:12/hunter2@cache:6379/0"),
        ("redis", "redis://u:hunter2/x@cache:6379/0"),
        ("redis", "redis://u:12#hunter2@cache:6379/0"),
        ("redis", "cache:hunter2@6379"),
        ("redis", "https://u:hunter2@cache"),
        ("clickhouse", "clickhouse://host/x?password=hunter2"),
        ("clickhouse", "clickhouse://:9000/x?password=hunter2"),
        ("clickhouse", "clickhouse://u:12/hunter2@host/x"),
        ("clickhouse", "clickhouse://u:hunter2/x@host/x"),
        ("clickhouse", "u:hunter2@host"),
        ("clickhouse", "chdb:///folder?password=hunter2"),
        ("clickhouse", "chdb://u:hunter2@folder"),
        ("kafka", "kafka://u:hunter2@broker:9092"),
        ("kafka", "u:hunter2@broker:9092"),
    ],
)
def test_an_address_that_is_none_is_refused_by_its_setting_without_what_it_holds(
    table: str, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "xinliu.toml"
    file.write_text(f'[{table}]\n{"bootstrap" if table == "kafka" else "url"} = "{url}"\n')
    with pytest.raises(SettingsError, match=rf"\[{table}\] (url|bootstrap)") as raised:
        target_of(load(file, {}).clickhouse)
    seen: BaseException | None = raised.value
    while seen is not None:
        assert SECRET not in str(seen)
        seen = None if seen.__suppress_context__ and seen.__cause__ is None else seen.__cause__ or seen.__context__


def test_addresses_of_every_kind_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "xinliu.toml"
    for url in (
        "redis://u:p%2Fq@h:6379/0?socket_timeout=2", "rediss://h", "unix:///run/x.sock?db=0", "redis+cluster://h:7000",
        "rediss+cluster://u:p@h:7000",
    ):  # fmt: skip
        file.write_text(f'[redis]\nurl = "{url}"\n')
        assert load(file, {}) == msgspec.structs.replace(Settings(), redis=load(file, {}).redis)
    assert str(target_of(ClickHouseSettings(url="clickhouse://u@h/x"))) == "clickhouse://u@h:9000/x"
