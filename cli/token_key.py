"""Change the key that opens the secret of tokens, or say which keys open it; tokens stay the same.

status  the id that each token begins with, and the keys that open the secret
rotate  make a new key, and seal the secret under it beside the key in use; both open it from then on
retire  when all workers have the new key: the older one no longer opens the secret

The secret lies in `[ingest] token_secret_file`, which rotate writes; the key in use is `[ingest] token_key_file`.
Before the first rotation that key is the secret itself.

Example: xinliu token-key rotate --new-key-file token.key.2

Exit codes: 0 done, and for status: no rotation is under way; 1 status: one is under way; 2 wrong call, setting or key
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from cli.words import say
from config.errors import SettingsError
from config.settings import Settings
from streams.ingest import token_key
from streams.ingest.token_key import TokenKeys

ZH = """更换开启令牌主密钥的操作密钥，或显示有哪些操作密钥能开启它；令牌不变。

status  每个令牌开头的标识，以及能开启主密钥的操作密钥
rotate  生成新的操作密钥，把主密钥在它之下再封存一份；此后新旧两把都能开启
retire  所有工作进程都换上新密钥之后：旧密钥不再能开启主密钥

主密钥封存在 `[ingest] token_secret_file`，由 rotate 写入；在用的操作密钥是 `[ingest] token_key_file`。首次更换之前，
这把密钥就是主密钥本身。

例：xinliu token-key rotate --new-key-file token.key.2

退出码：0 已办，status 则为没有更换在进行；1 status：更换在进行；2 用法、设置或密钥有误
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", choices=("status", "rotate", "retire"))
    parser.add_argument(
        "--new-key-file",
        type=Path,
        help=say("rotate：写入新密钥的文件，不得已存在", "rotate: where to write the new key; no file may be there"),
    )
    parser.add_argument("--json", action="store_true", help=say("一个 JSON 对象", "one JSON object"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do the action, and print how things stand then."""
    if (args.action == "rotate") != (args.new_key_file is not None):
        raise SettingsError(say("--new-key-file 与 rotate 同用", "--new-key-file goes with rotate, and rotate with it"))
    if args.action == "rotate":
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = token_key.rotate(settings.ingest, args.new_key_file, now)
    elif args.action == "retire":
        found = token_key.retire(settings.ingest)
    else:
        found = token_key.load(settings.ingest)
    print(json.dumps(_row(found), indent=2) if args.json else _text(found))
    if args.action == "rotate" and not args.json:
        print(_next(settings, args.new_key_file))
    return 1 if args.action == "status" and len(found.sealed) > 1 else 0


def _row(found: TokenKeys) -> dict[str, object]:
    keys = [{"key_id": one.key_id, "sealed_at": one.sealed_at} for one in found.sealed]
    return {"token_key_id": found.token_key_id, "key_id": found.key_id, "keys": keys}


def _text(found: TokenKeys) -> str:
    lines = [say(f"令牌以 {found.token_key_id} 开头", f"tokens begin with {found.token_key_id}")]
    if not found.sealed:
        lines.append(say("从未更换：在用的密钥就是主密钥本身", "never rotated: the key in use is the secret itself"))
    for one in found.sealed:
        used = say("，在用", ", in use") if one.key_id == found.key_id else ""
        lines.append(
            say(
                f"操作密钥 {one.key_id}，封存于 {one.sealed_at}{used}", f"key {one.key_id}, since {one.sealed_at}{used}"
            )
        )
    if len(found.sealed) > 1:
        lines.append(
            say(
                "更换在进行：新旧两把都能开启主密钥，直到 token-key retire",
                "a rotation is under way: both keys open the secret, until token-key retire",
            )
        )
    return "\n".join(lines)


def _next(settings: Settings, new_key_file: Path) -> str:
    secret_file = settings.ingest.token_secret_file
    return say(
        f"接下来：把 {secret_file} 交给每个 ingest 工作进程（[ingest] token_secret_file），再逐个换上 {new_key_file}"
        "（[ingest] token_key_file）并重启；全部换完后用新密钥运行 token-key retire，销毁旧密钥和旧的备份",
        f"next: give {secret_file} to each ingest worker ([ingest] token_secret_file), then {new_key_file} "
        "([ingest] token_key_file), one restart after the other; when all have it, run token-key retire with the new "
        "key, and destroy the old key and old copies",
    )
