"""The settings of clients that reach the broker: those of librdkafka, and aiokafka's."""

import ssl
from typing import Any

from config.secret_file import read_secret
from config.settings import KafkaSettings

# A librdkafka client opens its first connection only after half of this, else of 100 ms: its first question would wait.
QUICK_START = {"reconnect.backoff.ms": "20"}


def client_settings(kafka: KafkaSettings) -> dict[str, str]:
    """Return the settings of a librdkafka client: how soon it connects, and its security.

    Raise SettingsError where the password file cannot be read.
    """
    found: dict[str, str] = {**QUICK_START, "security.protocol": kafka.security_protocol}
    if kafka.ca_file is not None:
        found["ssl.ca.location"] = kafka.ca_file
    if kafka.security_protocol.startswith("SASL"):
        found |= {
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": kafka.sasl_username or "",
            "sasl.password": read_secret("[kafka] sasl_password_file", kafka.sasl_password_file),
        }
    return found


def aiokafka_settings(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the same for a client of aiokafka. Raise SettingsError where a file cannot be read."""
    if kafka.security_protocol == "PLAINTEXT":
        return {}
    found: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if "SSL" in kafka.security_protocol.removeprefix("SASL_"):
        found["ssl_context"] = ssl.create_default_context(cafile=kafka.ca_file)
    if kafka.security_protocol.startswith("SASL"):
        secret = client_settings(kafka)
        found |= {
            "sasl_mechanism": secret["sasl.mechanism"],
            "sasl_plain_username": secret["sasl.username"],
            "sasl_plain_password": secret["sasl.password"],
        }
    return found
