"""How librdkafka clients reach the broker, from the settings."""

from pathlib import Path

from config.settings import KafkaSettings, SettingsError


def client_settings(kafka: KafkaSettings) -> dict[str, str]:
    """The settings of a librdkafka client for security; SettingsError where the password file cannot be read."""
    found: dict[str, str] = {"security.protocol": kafka.security_protocol}
    if kafka.ca_file is not None:
        found["ssl.ca.location"] = kafka.ca_file
    if kafka.security_protocol.startswith("SASL"):
        found |= {
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": kafka.sasl_username or "",
            "sasl.password": _secret("[kafka] sasl_password_file", kafka.sasl_password_file),
        }
    return found


def _secret(name: str, path: str | None) -> str:
    if path is None:
        raise SettingsError(f"{name} is not set")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} = {path}: {error}") from error
