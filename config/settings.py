"""Settings of this process: read once from TOML and the environment, unknown keys refused, relations checked.

Nothing here may change an output of `score`: what can (emission, bands, hysteresis, lateness, grace) is in the log, as
the rules artefact. The environment variable of `[kafka] bootstrap` is XINLIU_KAFKA_BOOTSTRAP, and so on; it overrides
the file. Secrets come from the environment or from files named `*_file`, never from the TOML file. The last part of a
key is its unit: `_ms`, `_s`, `_bytes_max`.
"""

import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from config.errors import SettingsError
from config.limits import FEED_BATCH_BYTES_MAX, UNPACKED_BYTES_MAX
from config.redaction import shown_url, split_url
from domain.ids import BankIdText

PREFIX = "XINLIU_"
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class KafkaSettings(_Table, frozen=True, kw_only=True):
    """Kafka: its address, security, and bounds."""

    bootstrap: str = "127.0.0.1:9092"
    log_partitions: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64  # of events.v1, score.v1 …, fixed at creation
    replication_factor: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    group_prefix: str = "xinliu-"
    parser: Literal["compiled", "reference"] = "compiled"
    security_protocol: Literal["PLAINTEXT", "SASL_SSL", "SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    sasl_username: str | None = None
    sasl_password_file: str | None = None
    ca_file: str | None = None
    session_timeout_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 10.0
    unpacked_bytes_max: Annotated[int, msgspec.Meta(ge=16 << 20, le=1 << 30)] = UNPACKED_BYTES_MAX
    instance_id: str | None = None  # static membership: the same after a restart


class RedisSettings(_Table, frozen=True, kw_only=True):
    """Redis: its address and bounds."""

    url: str = "redis://127.0.0.1:6379/0"  # rediss:// with TLS; redis+cluster:// any server of a Redis Cluster
    password_file: str | None = None  # of the user that the address names, or of the default one
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 5.0
    key_prefix: Annotated[str, msgspec.Meta(pattern="^[a-z0-9]{1,16}$")] = "x"


class ClickHouseSettings(_Table, frozen=True, kw_only=True):
    """The archive: `clickhouse://user@host:9000/db` by the native protocol, or `chdb:///folder` in process."""

    url: str = "clickhouse://default@127.0.0.1:9000/xinliu"
    password_file: str | None = None
    batch_rows_max: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 50_000
    retry_s_max: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30.0


class IngestSettings(_Table, frozen=True, kw_only=True):
    """The ingest role, where records of banks come in."""

    tick_interval_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1_000
    future_tolerance_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 300_000
    align_ms_max: Annotated[int, msgspec.Meta(ge=60_000, le=604_800_000)] = 3 * 86_400_000
    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=86_400_000)] = 0  # by which ticks trail; they record its effect
    token_key_file: str | None = None  # the key of tokens of personal ids, or what opens it; required by a worker
    token_secret_file: str | None = None  # sealed key of tokens, by `xinliu token-key rotate`; empty: as if not set
    unreadable: Literal["pause", "skip"] = "pause"  # a feed at a batch that cannot be read; it is quarantined first
    batch_bytes_max: Annotated[int, msgspec.Meta(ge=12 << 20, le=1 << 30)] = FEED_BATCH_BYTES_MAX  # one batch, unpacked
    quarantine_bytes_max: Annotated[int, msgspec.Meta(ge=0, le=4_194_304)] = 1_048_576  # kept of such a batch
    new_enterprises_max: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 1_000  # a bank and day, then its feed is held
    new_enterprises_first: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 70_000  # of a bank, before its quota counts
    # What a bank's feed may bring in an hour; 0: any. Beyond the first two it waits, beyond the third it is held.
    feed_records_per_hour_max: Annotated[int, msgspec.Meta(ge=0, le=10**12)] = 36_000_000
    feed_bytes_per_hour_max: Annotated[int, msgspec.Meta(ge=0, le=10**15)] = 20_000_000_000  # unpacked
    feed_refused_per_hour_max: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 100_000  # dead letters


class SealSettings(_Table, frozen=True, kw_only=True):
    """The key pair under which ingest seals what it refuses. The private half is for operators: no worker needs it."""

    public_key_file: str | None = None  # required by a worker of ingest
    private_key_file: str | None = None  # of `xinliu dlq`; before the present key, earlier ones may stand in it


class ScoreSettings(_Table, frozen=True, kw_only=True):
    """The score role."""

    flush_interval_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 2_000
    flush_slice_values_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2_000
    batch_records_max: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 32_000
    enterprises_resident_max: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 150_000  # of the process, 20 KB each
    slice_ms: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 50  # of applying, before others get their turn
    delayed_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60  # in the log: then an alert says that it waited


class LearnSettings(_Table, frozen=True, kw_only=True):
    """The learn role."""

    publish: bool = True
    activation: Literal["accepted", "auto"] = "accepted"  # by an operator's word, or by learn where nothing holds it
    switch_days_min: Annotated[int, msgspec.Meta(ge=0, le=3_660)] = 89  # of auto; scores moved: three closes
    labels_per_snapshot_min: Annotated[int, msgspec.Meta(ge=1)] = 50  # new ones, for another candidate
    half_life_months: Annotated[float, msgspec.Meta(ge=0, le=1_200)] = 0  # by then a label weighs half; 0: never
    challengers: tuple[Literal["amf", "arf", "ftrl", "hat", "stumps"], ...] = ("amf", "arf", "ftrl", "hat", "stumps")
    observations_held_max: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 2_000_000  # 0.4 GB each million
    months_retained: Annotated[int, msgspec.Meta(ge=12, le=1_200)] = 60  # of labelled observations, and up to 11 more
    checkpoint_s: Annotated[float, msgspec.Meta(ge=0.1, le=3_600)] = 30.0  # at most what a restart reads again
    begin_in_mid_log: bool = False  # without a checkpoint, where the log's first records are gone
    # What holds a candidate: it is published, and no learn activates it.
    labels_min: Annotated[int, msgspec.Meta(ge=0)] = 100  # fewer in all
    bads_min: Annotated[int, msgspec.Meta(ge=0)] = 10  # fewer of them bad
    weight_move_points_max: Annotated[float, msgspec.Meta(gt=0, le=300)] = 30.0  # a weight moved more
    grades_changed_share_max: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25  # more of the newest observations
    psi_max: Annotated[float, msgspec.Meta(gt=0)] = 0.25  # of an indicator or the score; more is called drift
    # Probabilities go out anew, with the scores as they are, where more or fewer are bad than expected by this share.
    calibration_off_share_max: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.1


class MetricsSettings(_Table, frozen=True, kw_only=True):
    """Prometheus, on the loopback by default. Port 0 takes a free one and logs it, -1 serves none."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=-1, le=65_535)] = 0


class DashboardSettings(_Table, frozen=True, kw_only=True):
    """The pages. There is no sign-in yet, so they listen on the loopback only; port 0 takes a free one."""

    host: Literal["127.0.0.1", "::1"] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8710
    clients_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 64  # open pages


class Bank(_Table, frozen=True, kw_only=True):
    """One bank, and how it delivers."""

    bank_id: BankIdText
    name_zh: str
    name_en: str = ""
    mode: Literal["live", "daily_file"] = "live"
    deadline_hours: Annotated[int, msgspec.Meta(ge=0, le=240)] = 12  # of day D, after its end


class Settings(_Table, frozen=True, kw_only=True):
    """All settings of a worker."""

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    ingest: IngestSettings = IngestSettings()
    seal: SealSettings = SealSettings()
    score: ScoreSettings = ScoreSettings()
    learn: LearnSettings = LearnSettings()
    metrics: MetricsSettings = MetricsSettings()
    dashboard: DashboardSettings = DashboardSettings()
    banks: tuple[Bank, ...] = ()


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings from `path` (TOML; None: defaults alone) and the environment.

    Raise SettingsError, with the key and what is wrong, where one is invalid.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"settings file {path}: {error}") from error
    _apply_environment(document, os.environ if environ is None else environ)
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"settings{f' in {path}' if path else ''}: {_explain(error)}") from error
    _check_addresses(settings)
    _check_relations(settings)
    return settings


def problems(path: Path | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return everything that is wrong with the settings, key by key. Relations are checked once each key is valid."""
    found: list[str] = []
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            found.append(f"settings file {path}: {error}")
    for name, content in document.items():
        parts = [{key: value} for key, value in content.items()] if isinstance(content, dict) else [content]
        for part in parts or [content]:
            try:
                msgspec.convert({name: part}, Settings)
            except msgspec.ValidationError as error:
                found.append(f"{path}: {_explain(error)}")
    for name, text in (os.environ if environ is None else environ).items():
        try:
            _apply_environment({}, {name: text})
        except SettingsError as error:
            found.append(str(error))
    if not found:
        try:
            load(path, environ)
        except SettingsError as error:
            found.append(str(error))
    return found


def _check_addresses(settings: Settings) -> None:
    """Refuse addresses that are none, without quoting what might be a secret in them."""
    if "://" in settings.kafka.bootstrap or "@" in settings.kafka.bootstrap:
        raise SettingsError(
            "[kafka] bootstrap is host:port, or several with commas: without scheme, user and password "
            "(those are security_protocol, sasl_username and sasl_password_file)"
        )
    try:
        scheme = split_url(settings.redis.url).scheme
    except ValueError as error:
        raise SettingsError(f"[redis] url = {shown_url(settings.redis.url)}: {error}") from error
    if scheme not in REDIS_SCHEMES:
        raise SettingsError(f"[redis] url: scheme {scheme!r} is not known; one of {', '.join(REDIS_SCHEMES)}")


def _check_relations(settings: Settings) -> None:
    seen: set[str] = set()
    for bank in settings.banks:
        if bank.bank_id in seen:
            raise SettingsError(f"[[banks]] bank_id {bank.bank_id} stands twice")
        seen.add(bank.bank_id)
    if settings.score.flush_interval_ms > settings.kafka.session_timeout_s * 1000:
        raise SettingsError(
            f"[score] flush_interval_ms = {settings.score.flush_interval_ms} is over [kafka] session_timeout_s = "
            f"{settings.kafka.session_timeout_s}: a takeover would repeat more than a session"
        )
    if settings.kafka.security_protocol.startswith("SASL") and not (
        settings.kafka.sasl_username and settings.kafka.sasl_password_file
    ):
        raise SettingsError(
            f"[kafka] security_protocol = {settings.kafka.security_protocol} needs sasl_username and sasl_password_file"
        )


def _apply_environment(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Overlay XINLIU_<TABLE>_<KEY>. Raise SettingsError for an unknown name under the prefix, as for an unknown key."""
    known = {
        f"{PREFIX}{table.name}_{key.name}".upper(): (table.name, key)
        for table in msgspec.structs.fields(Settings)
        if isinstance(table.type, type) and issubclass(table.type, _Table)
        for key in msgspec.structs.fields(table.type)
    }
    reserved = {
        f"{PREFIX}{name}" for name in ("SEED", "CONFIG", "REQUIRE_REDIS_SERVER", "CACHE", "STATE", "REDIS_SERVER")
    }
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name.startswith(f"{PREFIX}TEST_") or name in reserved:
            continue
        if name not in known:
            raise SettingsError(f"environment variable {name} names no setting")
        table, key = known[name]
        try:
            value = msgspec.convert(text, _plain(key.type), strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(f"environment variable {name}: {error}") from error
        document.setdefault(table, {})[key.name] = value


def _plain(annotation: Any) -> Any:
    """Return `X | None` as X: an environment variable is text, and `null` would otherwise be read as None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return inner[0] if len(inner) == 1 else annotation
    return annotation


def _explain(error: msgspec.ValidationError) -> str:
    """Return msgspec's `… - at `$.kafka.parser`` as operators read it: `[kafka] parser: …`."""
    text, _, where = str(error).partition(" - at `$.")
    if not where:
        return text
    table, _, key = where.rstrip("`").partition(".")
    return f"[{table}] {key}: {text}" if key else f"[{table}]: {text}"
