"""Print, apply or check who may do what on Kafka: the rights and quotas of config/topics.toml.

print   as lines for kafka-acls.sh and kafka-configs.sh, or as JSON; Kafka is not asked
apply   adds the rights that are missing and names those that are too many; --prune removes these.
        --passwords FOLDER sets the SCRAM-SHA-512 password of each principal with a file of its name in there
check   names what is missing and what is too many

Each role and each bank (bank.<bank_id>) is a principal. Quotas are printed alone: the client library can neither set
nor read them. apply and check need a super user.

Example: xinliu --config site.toml acl apply --passwords secrets

Exit codes: 0 as it should be, 1 something is missing or too many, or Kafka refuses, 2 wrong call or setting.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING

from cli.words import complain, reason_of, say
from config.settings import Settings

if TYPE_CHECKING:
    from streams.acl import Rule

ZH = """打印、设置或检查 Kafka 上的权限：config/topics.toml 里的权限与配额。

print   打印 kafka-acls.sh 和 kafka-configs.sh 的命令行，或 JSON；不问 Kafka
apply   补上缺少的权限，列出多出的；加 --prune 才删除多出的。
        --passwords 目录：其中与主体同名的文件即该主体的 SCRAM-SHA-512 密码，一并设置
check   列出缺少的和多出的

每个角色、每家银行（bank.<银行编码>）各是一个主体。配额只打印：客户端库不能设置，也不能读取。apply 和 check
须用超级用户。

例：xinliu --config site.toml acl apply --passwords secrets

退出码：0 与应有的一致，1 有缺少或多出的，或 Kafka 拒绝，2 用法或设置有误。
"""
_OPTIONS = {"topic": "--topic", "group": "--group", "transactional-id": "--transactional-id"}
_SCRIPTS = "--bootstrap-server", "--command-config", "admin.properties"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", choices=("print", "apply", "check"))
    parser.add_argument("--json", action="store_true", help=say("print 和 check：JSON", "print and check: JSON"))
    parser.add_argument(
        "--prune", action="store_true", help=say("apply：删除多出的权限", "apply: remove what is too many")
    )
    parser.add_argument(
        "--passwords",
        type=Path,
        metavar=say("目录", "FOLDER"),
        help=say("apply：同时设置密码", "apply: set passwords as well"),
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """0 as it should be, 1 not, or the broker refuses."""
    from confluent_kafka import KafkaException

    if args.action == "print":
        return _print(settings, as_json=args.json)
    try:
        if args.action == "check":
            return _check(settings, as_json=args.json)
        return _apply(settings, prune=args.prune, passwords=args.passwords)
    except KafkaException as error:
        complain("acl", *[f"{settings.kafka.bootstrap}: {reason_of(error)}"] * 2)
        return 1


def _print(settings: Settings, *, as_json: bool) -> int:
    from streams.acl import wanted_quotas, wanted_rules

    rules, quotas = wanted_rules(settings), wanted_quotas(settings)
    if as_json:
        rows = {
            "rules": [rule.row() for rule in rules],
            "quotas": [{"principal": quota.principal, **quota.limits} for quota in quotas],
        }
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    where = _SCRIPTS[0], settings.kafka.bootstrap, *_SCRIPTS[1:]
    for line in acl_lines(rules, where):
        print(line)
    for quota in quotas:
        limits = ",".join(f"{name}={value}" for name, value in quota.limits.items())
        words = ["--alter", "--entity-type", "users", "--entity-name", quota.principal, "--add-config", limits]
        print(join(["kafka-configs.sh", *where, *words]))
    return 0


def acl_lines(rules: Iterable["Rule"], where: Iterable[str]) -> Iterator[str]:
    """Yield a line of kafka-acls.sh for the rights of a principal on a resource; `where` names the broker."""
    for (principal, kind, pattern, name), some in groupby(rules, key=lambda rule: rule[:4]):
        operations = [word for rule in some for word in ("--operation", rule.operation.title().replace("_", ""))]
        words = ["--add", "--allow-principal", f"User:{principal}", *operations, _OPTIONS[kind], name]
        yield join(["kafka-acls.sh", *where, *words, "--resource-pattern-type", pattern])


def _check(settings: Settings, *, as_json: bool) -> int:
    from streams.acl import differences

    found = differences(settings)
    if as_json:
        rows = {
            "missing": [one.row() for one in found.missing],
            "surplus": [one.row() for one in found.surplus],
        }
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        _tell(found.missing, say("缺少", "missing"))
        _tell(found.surplus, say("多出", "too many"))
        counts = len(found.missing), len(found.surplus)
        print(say("缺少 %d 条，多出 %d 条；配额不比较", "%d missing, %d too many; quotas are not compared") % counts)
    return 1 if found.missing or found.surplus else 0


def _apply(settings: Settings, *, prune: bool, passwords: Path | None) -> int:
    from streams.acl import add, differences, remove, set_passwords

    if passwords is not None:
        names = set_passwords(settings, passwords)
        print(say(f"设置了 {len(names)} 个密码：", f"{len(names)} passwords set: ") + ", ".join(names))
    found = differences(settings)
    add(settings, found.missing)
    _tell(found.missing, say("补上", "added"))
    if prune:
        remove(settings, found.surplus)
    _tell(found.surplus, say("删除", "removed") if prune else say("多出", "too many"))
    counts = len(found.missing), len(found.surplus)
    if prune:
        print(say("补上 %d 条，删除 %d 条", "%d added, %d removed") % counts)
    else:
        print(say("补上 %d 条，多出 %d 条", "%d added, %d too many") % counts)
    return 1 if found.surplus and not prune else 0


def _tell(rules: Iterable["Rule"], what: str) -> None:
    for rule in rules:
        print(f"{what}: {rule}")
