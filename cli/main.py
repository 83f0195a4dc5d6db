"""`xinliu VERB …`: finds the verb's module and runs it. Exit codes: 0 done, 1 found wrong, 2 wrong call or setting."""

import argparse
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cli.words import say
from config.errors import SettingsError

# Each module `cli.<verb>`, with _ for -, has a docstring and `ZH`, the same in Chinese, whose first line is the help,
# `add_arguments(parser)` and `run(args, settings) -> int`.
VERBS = (
    "status", "tail", "case", "report", "inspect", "dashboard", "worker", "demo", "replay", "simulate", "topics", "acl",
    "config", "ledger", "dlq", "late", "feed", "backfill", "artefact", "engine", "model", "rules", "layout", "backtest",
    "evaluate", "token-key",
)  # fmt: skip
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    try:
        from config.settings import Settings, load  # in here: a Ctrl-C while it is being imported is one line too

        _never_fail_to_print()
        # Rooms with kernels look for their cache when they are imported: a verb's import may refuse a setting too.
        words = sys.argv[1:] if argv is None else argv
        gc.disable()  # what imports leave stays: to look through it again and again is a tenth of each start
        try:
            args = _parser(_verbs_needed(words)).parse_args(words)
        finally:
            gc.enable()
        # A verb that starts its own servers, or reports on the settings, does without those of this environment.
        needed = getattr(args, "settings_needed", True)
        settings = load(Path(args.config) if args.config else None) if needed else Settings()
        return int(args.run(args, settings))
    except SettingsError as error:
        print(f"xinliu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(say("xinliu: 被打断", "xinliu: interrupted"), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`xinliu … | head`): not an error, but stdout is no longer usable.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def module_of(verb: str) -> str:
    """Return the name of a verb's module."""
    return f"cli.{verb.replace('-', '_')}"


def _never_fail_to_print() -> None:
    """Escape characters that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _verbs_needed(words: Sequence[str]) -> tuple[str, ...]:
    """Return the verb of a call, so that no other's module is imported; all where it is not plain which it is."""
    match words:
        case ("--config", _, verb, *_) | (verb, *_) if verb in VERBS:
            return (verb,)
        case _:
            return VERBS


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xinliu",
        description=say(
            "信流：从交易到预警的流式信用风险引擎", "信流: streaming credit risk, from transaction to alert"
        ),
        epilog=say(
            "退出码：0 已办，1 有问题，2 用法或设置有误，130 被打断；各动词的 --help 写明自己的",
            "Exit codes: 0 done, 1 found wrong, 2 wrong call or setting, 130 interrupted; a verb's --help says its own",
        ),
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=os.environ.get("XINLIU_CONFIG"),
        help=say("设置文件（TOML）", "settings file (TOML)"),
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help=say("版本，连同引擎版本", "the version, and that of the engine")
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in names:
        module = importlib.import_module(module_of(verb))
        text = say(module.ZH, module.__doc__ or "").strip()
        sub = verbs.add_parser(
            verb,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


class _Version(argparse.Action):
    """Print the package's version and the engine version that stands in each output, and exit with 0."""

    def __call__(self, parser: argparse.ArgumentParser, *_given: object) -> NoReturn:
        from importlib.metadata import version

        from streams.score.version import engine_version

        print(f"xinliu {version('xinliu')} (engine {engine_version()})")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
