"""The rights that follow from the table and the settings; what Kafka makes of them: tests/cli/test_acl.py."""

from config.settings import Bank, KafkaSettings, LearnSettings, Settings
from domain import topics
from streams import acl
from streams.worker.roles import ROLES

BANKS = ("Z9000000000001", "Z9000000000002")
SITE = Settings(
    kafka=KafkaSettings(group_prefix="site-"), banks=tuple(Bank(bank_id=bank_id, name_zh="示例") for bank_id in BANKS)
)


def rights(settings: Settings, principal: str) -> set[tuple[str, str, str]]:
    return {(one.kind, one.name, one.operation) for one in acl.wanted_rules(settings) if one.principal == principal}


def test_control_records_are_the_operators_and_what_ingest_grants_whoever_activates_models() -> None:
    mine = {("topic", topics.CONTROL, "WRITE"), ("transactional-id", "site-models", "WRITE")}
    for activation in ("accepted", "auto"):
        settings = Settings(kafka=SITE.kafka, banks=SITE.banks, learn=LearnSettings(activation=activation))
        rules = acl.wanted_rules(settings)
        assert rules == acl.wanted_rules(SITE)
        holders = {(one.kind, one.name, one.operation): set[str]() for one in rules}
        for one in rules:
            holders[one.kind, one.name, one.operation].add(one.principal)
        assert {right: holders[right] for right in mine} == {one: {"operators", "ingest"} for one in mine}
        assert holders["topic", topics.MODEL_REQUEST, "WRITE"] == {"learn"}


def test_principals_are_the_roles_the_banks_and_those_outside() -> None:
    banks = {f"bank.{bank_id}" for bank_id in BANKS}
    outside = {"gateway", "operators", "dashboard", "supervisor", "subscribers"}
    assert set(acl.principals(SITE)) == {*ROLES, *banks, *outside}
    assert {quota.principal for quota in acl.wanted_quotas(SITE)} == {*banks, *outside} - {"operators"}
    for one in acl.wanted_rules(SITE):
        assert (one.permission, one.host) == ("ALLOW", "*")
        assert one.name not in ("", "*")
        assert one.pattern == "literal" or one.kind == "group", f"{one}: a prefix stands for names not given yet"


def test_a_bank_has_nothing_of_another_and_its_prefix_is_of_no_other_bank() -> None:
    for bank_id, other in (BANKS, BANKS[::-1]):
        mine = rights(SITE, f"bank.{bank_id}")
        assert not any(other in name for _, name, _ in mine)
        (prefix,) = [one.name for one in acl.wanted_rules(SITE) if one[:3] == (f"bank.{bank_id}", "group", "prefixed")]
        assert prefix == f"bank.{bank_id}.", "the dot ends the code"
