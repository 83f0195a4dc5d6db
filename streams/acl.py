"""Rights on the broker, and quotas: those of `config/topics.toml`, and those that Kafka holds.

A principal has what the table names and nothing else. Its name is that of its role; of a bank, `bank.<bank_id>`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from config.errors import SettingsError
from config.secret_file import read_secret
from config.settings import Settings
from streams.topics import POLL_S, TIMEOUT_S, admin_client, table

SCRAM_ITERATIONS = 8_192
EVERY_HOST = EVERYBODY = "*"
_BANK = "bank."  # of principals, also of banks that have left
KINDS: Mapping[str, ResourceType] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
_KIND_OF = {kind: name for name, kind in KINDS.items()}
# Of a right in the table, Kafka's operations. READ and WRITE include DESCRIBE.
_OPERATIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("topic", "writers"): ("WRITE",),
    ("topic", "readers"): ("READ",),
    ("topic", "watchers"): ("DESCRIBE", "DESCRIBE_CONFIGS"),
    ("group", "members"): ("READ",),
    ("group", "watchers"): ("DESCRIBE",),
    ("transactional-id", "writers"): ("WRITE",),
}


class Rule(NamedTuple):
    """One right of a principal: an operation on a resource, named literally or by a prefix."""

    principal: str
    kind: str  # of KINDS
    pattern: str  # literal, prefixed
    name: str
    operation: str
    permission: str = "ALLOW"
    host: str = EVERY_HOST

    def __str__(self) -> str:
        """Return the rule as one line."""
        named = self.name + ("*" if self.pattern == "prefixed" else "")
        at = "" if self.host == EVERY_HOST else f" from {self.host}"
        return f"User:{self.principal} {self.permission} {self.operation} {self.kind} {named}{at}"

    def row(self) -> dict[str, str]:
        """Return the rule by the names of its fields, for JSON."""
        return self._asdict()


class _Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    principals: tuple[str, ...]
    producer_bytes_per_s: int
    consumer_bytes_per_s: int
    request_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of a principal at each broker, under the names that Kafka gives them."""

    principal: str
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Rules that Kafka lacks, and rules that it holds beyond the table about a principal or a name of the table."""

    missing: tuple[Rule, ...]
    surplus: tuple[Rule, ...]


def principal_of(party: str) -> str:
    """Return the principal of a party of the table.

    >>> principal_of("bank Z9000000000001"), principal_of("ingest")
    ('bank.Z9000000000001', 'ingest')
    """
    return party.replace(" ", ".")


def wanted_rules(settings: Settings) -> list[Rule]:
    """Return every right of these settings' principals, sorted."""
    return sorted(set(_rules(settings)))


def principals(settings: Settings) -> list[str]:
    """Return the principals of these settings, sorted."""
    return sorted({rule.principal for rule in wanted_rules(settings)})


def wanted_quotas(settings: Settings) -> list[Quota]:
    """Return the quotas of these settings' principals, by principal. Who is not named has none."""
    found = [
        Quota(
            principal=principal_of(party),
            limits={
                "producer_byte_rate": row.producer_bytes_per_s,
                "consumer_byte_rate": row.consumer_bytes_per_s,
                "request_percentage": row.request_percent,
            },
        )
        for row in msgspec.convert(table()["quotas"], list[_Quota])
        for named in row.principals
        for party in _of_banks(named, settings)
    ]
    return sorted(found, key=lambda quota: quota.principal)


def differences(settings: Settings) -> Differences:
    """Compare the rules that Kafka holds with the wanted ones. Raise KafkaException where it refuses or is silent."""
    wanted, held = wanted_rules(settings), held_rules(settings)
    ours = {EVERYBODY, *(rule.principal for rule in wanted)}
    names = {(rule.kind, rule.name) for rule in wanted}
    beyond = [
        one
        for one in held
        if one.principal in ours or one.principal.startswith(_BANK) or any(_covers(one, *name) for name in names)
    ]
    return Differences(
        missing=tuple(sorted(set(wanted) - set(held))),
        surplus=tuple(sorted(set(beyond) - set(wanted))),
    )


def held_rules(settings: Settings) -> list[Rule]:
    """Return all rules that Kafka holds. Raise KafkaException where it refuses or does not answer."""
    anything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    admin = admin_client(settings)  # held: its future ends with it
    found = sorted(map(_rule, admin.describe_acls(anything, request_timeout=TIMEOUT_S).result()))
    if not found:  # confluent-kafka 2.16 says nothing of a refusal, and returns no rules
        cluster = admin.describe_cluster(include_authorized_operations=True, request_timeout=TIMEOUT_S).result()
        if AclOperation.DESCRIBE not in (cluster.authorized_operations or ()):
            why = f"{settings.kafka.sasl_username or 'this client'} may not list the rules: authorization failed"
            raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, why))
    return found


def add(settings: Settings, rules: Collection[Rule]) -> None:
    """Add rules; return once the broker has them. Raise KafkaException where it refuses one or does not answer."""
    if not rules:
        return
    admin = admin_client(settings)
    for future in admin.create_acls(
        [AclBinding(**_fields(rule)) for rule in rules], request_timeout=TIMEOUT_S
    ).values():
        future.result()
    _wait(lambda: set(rules) <= set(held_rules(settings)), "rules added, but not listed")


def remove(settings: Settings, rules: Collection[Rule]) -> None:
    """Remove rules; return once the broker has none of them. Raise KafkaException as `add` does."""
    if not rules:
        return
    admin = admin_client(settings)
    filters = [AclBindingFilter(**_fields(rule)) for rule in rules]
    for future in admin.delete_acls(filters, request_timeout=TIMEOUT_S).values():
        future.result()
    _wait(lambda: not set(rules) & set(held_rules(settings)), "rules removed, but still listed")


def set_passwords(settings: Settings, folder: Path) -> list[str]:
    """Set the SCRAM-SHA-512 password of each principal that has a file of its name in `folder`; return their names.

    Raise SettingsError where none has one or one cannot be read, and KafkaException where Kafka refuses.
    """
    having = [name for name in principals(settings) if (folder / name).exists()]
    if not having:
        raise SettingsError(
            f"--passwords {folder}: no file is named as a principal ({', '.join(principals(settings))})"
        )
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
    changes = [
        UserScramCredentialUpsertion(name, info, read_secret(f"--passwords {folder}", str(folder / name)).encode())
        for name in having
    ]
    admin = admin_client(settings)
    for future in admin.alter_user_scram_credentials(changes, request_timeout=TIMEOUT_S).values():
        future.result()
    return having


def _rules(settings: Settings) -> Iterator[Rule]:
    for kind in ("topic", "group", "transactional-id"):
        for row in table()[f"{kind.replace('-', '_')}s"]:
            for right in ("writers", "readers", "members", "watchers"):
                for party in row.get(right, ()):
                    yield from _of_row(kind, row["name"], right, party, settings)


def _of_row(kind: str, name: str, right: str, party: str, settings: Settings) -> Iterator[Rule]:
    """Yield the rules of one right: for each bank its own where name or party stands for each bank."""
    of_bank = "{bank_id}" in name + party
    for bank_id in [bank.bank_id for bank in settings.banks] if of_bank else [""]:
        full = name.format(bank_id=bank_id, group_prefix=settings.kafka.group_prefix)
        pattern = "prefixed" if full.endswith("*") else "literal"
        for operation in _OPERATIONS[kind, right]:
            yield Rule(
                principal=principal_of(party.format(bank_id=bank_id)),
                kind=kind,
                pattern=pattern,
                name=full.removesuffix("*"),
                operation=operation,
            )


def _of_banks(party: str, settings: Settings) -> list[str]:
    if "{bank_id}" not in party:
        return [party]
    return [party.format(bank_id=bank.bank_id) for bank in settings.banks]


def _covers(held: Rule, kind: str, name: str) -> bool:
    """Return whether a rule is about a name."""
    if held.kind != kind:
        return False
    return name.startswith(held.name) if held.pattern == "prefixed" else held.name in ("*", name)


def _fields(rule: Rule) -> dict[str, Any]:
    return {
        "restype": KINDS[rule.kind],
        "name": rule.name,
        "resource_pattern_type": ResourcePatternType[rule.pattern.upper()],
        "principal": f"User:{rule.principal}",
        "host": rule.host,
        "operation": AclOperation[rule.operation],
        "permission_type": AclPermissionType[rule.permission],
    }


def _wait(is_so: Callable[[], bool], what: str) -> None:
    """Wait for the broker: the controller answers a moment before the broker knows of it."""
    give_up_s = time.monotonic() + TIMEOUT_S
    while not is_so():
        if time.monotonic() > give_up_s:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, what))
        time.sleep(POLL_S)


def _rule(binding: AclBinding) -> Rule:
    return Rule(
        principal=binding.principal.removeprefix("User:"),
        kind=_KIND_OF.get(binding.restype, binding.restype.name),
        pattern=binding.resource_pattern_type.name.lower(),
        name=binding.name,
        operation=binding.operation.name,
        permission=binding.permission_type.name,
        host=binding.host,
    )
