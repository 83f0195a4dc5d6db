"""The names of the Kafka topics. Their settings are in `config/topics.toml`."""

EVENTS = "events.v1"
CONTROL = "control.v1"
GATEWAY = "gateway.events.v1"
DESK = "desk.events.v1"
SCORE = "score.v1"
INDICATOR = "indicator.v1"
OBSERVATION = "observation.v1"
ALERT_SUPERVISOR = "alert.supervisor.v1"
CASE_SUPERVISOR = "case.supervisor.v1"
ALERT_BACKFILL = "backfill.alert.v1"
DEAD_LETTERS = "dlq.v1"
QUARANTINE = "quarantine.v1"
LATE = "late.v1"
FEED = "feed.v1"
ENTERPRISE = "enterprise.v1"
OWNER = "owner.v1"
ARTEFACT = "artefact.v1"
MODEL = "model.v1"
LEARN = "learn.v1"
MODEL_REPORT = "model.report.v1"
MODEL_REQUEST = "model.request.v1"
AUDIT = "audit.v1"


def bank_events(bank_id: str) -> str:
    """Return the topic that only this bank may write."""
    return f"bank.{bank_id}.events.v1"


def bank_alerts(bank_id: str) -> str:
    """Return the topic that only this bank may read."""
    return f"alert.{bank_id}.v1"


def bank_cases(bank_id: str) -> str:
    """Return the topic of this bank's cases, which only it may read."""
    return f"case.{bank_id}.v1"


def alerted_bank(topic: str) -> str:
    """Return the bank whose alert topic this is: the inverse of `bank_alerts`."""
    return topic[len("alert.") : -len(".v1")]


def is_alert(topic: str) -> bool:
    """Return whether this is a topic of alerts, of a bank or of the supervisor."""
    return topic.startswith("alert.")


def bank_of(topic: str) -> str | None:
    """Return the bank whose events `topic` carries; None where it is no bank's topic."""
    if topic.startswith("bank.") and topic.endswith(".events.v1"):
        return topic[len("bank.") : -len(".events.v1")]
    return None
