"""Check the settings, or show what is in force, without secrets.

Example: xinliu --config site.toml config check

Exit codes: 0 right, 2 wrong (every wrong key is named).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cli.words import say
from config.redaction import shown_setting
from config.settings import Settings, load, problems

ZH = """检查设置，或显示在用的设置，不显示秘密。

例：xinliu --config site.toml config check

退出码：0 正确，2 有误（逐一写出每个写错的键）。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", choices=("check", "show"), help=say("检查，或显示", "check them, or show them"))
    parser.set_defaults(settings_needed=False)


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """`check` names every wrong key; `show` prints the settings in force as TOML."""
    path = Path(args.config) if args.config else None
    wrong = problems(path)
    for problem in wrong:
        print(f"xinliu: {problem}", file=sys.stderr)
    if wrong:
        return 2
    if args.action == "check":
        print(
            say(
                f"设置正确：{path or '缺省值'}，以及环境变量",
                f"settings are right: {path or 'defaults'}, and the environment",
            )
        )
    else:
        print("\n".join(_toml(load(path))))
    return 0


def _toml(settings: Settings) -> Iterator[str]:
    """Yield the settings as TOML; an unset key is a comment."""
    for name, content in msgspec.to_builtins(settings).items():
        for table in content if isinstance(content, list | tuple) else [content]:
            yield f"[[{name}]]" if isinstance(content, list | tuple) else f"[{name}]"
            for key, value in table.items():
                yield f"# {key}: not set" if value is None else f"{key} = {_as_toml(shown_setting(key, value))}"
            yield ""


def _as_toml(value: object) -> str:
    """Return a value as TOML: a JSON string, number or list of strings is one."""
    return json.dumps(value, ensure_ascii=False)
