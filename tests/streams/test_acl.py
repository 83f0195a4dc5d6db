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


def test_control_records_are_the_operators_alone_unless_learn_activates_by_itself() -> None:
    mine = {("topic", topics.CONTROL, "WRITE"), ("transactional-id", "site-models", "WRITE")}
    assert mine <= rights(SITE, "operators")
    assert not mine & rights(SITE, "learn")
    automatic = Settings(kafka=SITE.kafka, banks=SITE.banks, learn=LearnSettings(activation="auto"))
    assert rights(automatic, "learn") == rights(SITE, "learn") | mine
    assert rights(automatic, "operators") == rights(SITE, "operators")
    write_control = ("topic", "literal", topics.CONTROL, "WRITE")
    writers = {one.principal for one in acl.wanted_rules(SITE) if one[1:5] == write_control}
    assert writers == {"operators"}


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
