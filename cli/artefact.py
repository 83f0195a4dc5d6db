"""List, publish or activate artefacts (model, rules), each named by the SHA-256 of its bytes.

list      what lies in the topics, and what is in force since when
publish   put a file there: it is checked first and changes nothing yet; `packaged` is what this program comes with
activate  score goes on under it from the control record on, in every partition at the same place of its log

`xinliu model` says more of models, and what learn proposes.

Example: xinliu artefact publish model champion.json
         xinliu artefact activate model 3f2a… --by zhang --reason "quarterly review"

Exit codes: 0 done, or it was so already; 1 not found, wrong content, Kafka does not answer, or who and why are missing;
2 wrong call or setting.
"""

import argparse
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cli.deciding import NotDecided, add_decision_arguments, decide, decide_on_models, guarded, one_of, signed
from cli.words import say
from config.settings import Settings
from domain import topics
from domain.events import Control
from domain.printable import printable
from streams import control_log
from streams.control_log import ArtefactKind

ZH = """列出、发布或启用模型与规则，它们都以内容的 SHA-256 为编号。

list      主题里有哪些，在用的是哪个、谁启用的
publish   发布一个文件：先检查内容，还不生效；packaged 指本程序自带的
activate  从这条控制记录起启用，各分区在各自日志的同一处切换

模型的详情与学习提出的候选，见 xinliu model。

例：xinliu artefact publish model champion.json
    xinliu artefact activate model 3f2a… --by 张三 --reason "季度复核通过"

退出码：0 已办，或本来就是如此；1 找不到、内容有误、Kafka 没有应答，或没有写明谁、为什么；2 用法或设置有误。
"""
FILE_BYTES_MAX = 8 * 1024 * 1024
PACKAGED = "packaged"  # in place of a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and its artefact."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|publish|activate")
    listing = actions.add_parser("list", help=say("列出", "list them"))
    listing.add_argument("--json", action="store_true")
    publish = actions.add_parser("publish", help=say("发布一个文件", "publish a file"))
    publish.add_argument("kind", choices=tuple(KINDS))
    publish.add_argument("file", type=Path, help=say("文件，或 packaged：本程序自带的", "a file, or packaged"))
    activate = actions.add_parser("activate", help=say("从此启用", "use it from here on"))
    activate.add_argument("kind", choices=tuple(KINDS))
    activate.add_argument("id", help=say("编号，或其开头至少六位", "its id, or six or more of its first digits"))
    add_decision_arguments(activate)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: _list(settings, as_json=args.json),
        "publish": lambda: _publish(settings, args.kind, args.file),
        "activate": lambda: _activate(args, settings),
    }
    return guarded("artefact", actions[args.action])


def _list(settings: Settings, *, as_json: bool) -> int:
    in_force = control_log.read(settings).in_force()
    rows = []
    for kind in KINDS:
        used = in_force.get(kind)
        for name, size in _published(settings, kind):
            now = used if used is not None and used.artefact_id == name else None
            rows.append({"kind": kind, "id": name, "bytes": size, "in_force": now is not None, "by": now and now.author,
                         "reason": now and now.reason})  # fmt: skip
    if as_json:
        print(printable(msgspec.json.encode(rows).decode()))
        return 0
    for row in rows:
        used_by = say("  在用", "  in force") + f"（{row['by']}：{row['reason']}）" if row["in_force"] else ""
        print(printable(f"{row['kind']:<6} {row['id']}  {row['bytes']:>9,} B{used_by}"))
    for kind in KINDS:
        if kind not in in_force:
            print(
                say(
                    f"{kind}：没有启用过，用程序自带的",
                    f"{kind}: none was ever activated, the packaged one is in force",
                )
            )
    return 0


def _publish(settings: Settings, kind: ArtefactKind, file: Path) -> int:
    from sinks.artefacts import publish
    from sinks.client import aiokafka_settings
    from sinks.kafka import Outbox

    body = KINDS[kind].packaged() if str(file) == PACKAGED else _read(file)
    name = hashlib.sha256(body).hexdigest()
    _checked(kind, body, name, file)
    if any(known == name for known, _ in _published(settings, kind)):
        print(say(f"已发布过：{name}", f"published already: {name}"))
        return 0
    publish(Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka)), KINDS[kind].topic, body)
    print(name)
    return 0


def _read(file: Path) -> bytes:
    try:
        if (size := file.stat().st_size) > FILE_BYTES_MAX:
            raise NotDecided(f"{file}: {size:,} B > {FILE_BYTES_MAX:,} B")
        return file.read_bytes()
    except OSError as error:
        raise NotDecided(f"{file}: {error.strerror}") from error


def _activate(args: argparse.Namespace, settings: Settings) -> int:
    if args.kind == "model":
        return decide_on_models(settings, lambda: _word(args, settings))
    return decide(settings, _word(args, settings))


def _word(args: argparse.Namespace, settings: Settings) -> Control | str:
    name = one_of((name for name, _ in _published(settings, args.kind)), args.id, KINDS[args.kind].topic)
    said = control_log.read(settings)
    used = said.in_force().get(args.kind)
    if used is not None and used.artefact_id == name:
        return say(
            f"{name} 已经在用（{used.author}：{used.reason}）",
            f"{name} is in force already ({used.author}: {used.reason})",
        )
    by, reason = signed(args)
    return control_log.next_control(said, "activate", artefact=args.kind, artefact_id=name, by=by, reason=reason)


def _published(settings: Settings, kind: ArtefactKind) -> Iterator[tuple[str, int]]:
    """Yield (id, size in bytes) of the artefacts in the topic, each once and only where its bytes hash to its id."""
    from sinks.artefacts import records
    from sinks.client import client_settings

    kafka = settings.kafka
    seen = set()
    for key, body in records(kafka.bootstrap, KINDS[kind].topic, control_log.READ_S_MAX, client_settings(kafka)):
        name = hashlib.sha256(body).hexdigest()
        if key == name.encode() and name not in seen and _is_of(kind, body, name):
            seen.add(name)
            yield name, len(body)


def _checked(kind: ArtefactKind, body: bytes, name: str, file: Path) -> None:
    try:
        KINDS[kind].check(body, name)
    except ValueError as error:
        raise NotDecided(f"{file}: {error}") from error


def _is_of(kind: ArtefactKind, body: bytes, name: str) -> bool:
    try:
        KINDS[kind].check(body, name)
    except ValueError:
        return False  # of another kind, or what score would refuse
    return True


def _check_model(body: bytes, name: str) -> None:
    """Raise SnapshotError where score would refuse the model."""
    from detectors.scorecard import scorecard
    from detectors.snapshot import decode

    scorecard(decode(body, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of artefact and its topic; `check(body, id)` raises a ValueError where score would refuse one.

    packaged: returns the bytes of the one that this program comes with.
    """

    topic: str
    check: Callable[[bytes, str], None]
    packaged: Callable[[], bytes]


def _check_rules(body: bytes, name: str) -> None:
    """Raise RuleError where score would refuse the rules."""
    from detectors.rules.artefact import decode

    decode(body, name)


def _packaged_model() -> bytes:
    from detectors.prior import prior_snapshot

    return prior_snapshot().encode()


def _packaged_rules() -> bytes:
    from detectors.rules.artefact import packaged

    return packaged().encode()


KINDS: Mapping[ArtefactKind, Kind] = {
    "model": Kind(topic=topics.MODEL, check=_check_model, packaged=_packaged_model),
    "rules": Kind(topic=topics.ARTEFACT, check=_check_rules, packaged=_packaged_rules),
}
