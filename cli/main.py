"""`xinliu VERB …`: finds the verb's module and runs it. Exit codes: 0 done, 1 found wrong, 2 wrong call or setting."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from config.settings import Settings, SettingsError
from config.settings import load as load_settings

# Each module `cli.<verb>` has a docstring whose first line is the help, `add_arguments(parser)` and
# `run(args, settings) -> int`.
VERBS = ("config", "dashboard", "demo", "dlq", "ledger", "replay", "topics", "worker")


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    try:
        # Rooms with kernels look for their cache when they are imported: a verb's import may refuse a setting too.
        args = _parser().parse_args(sys.argv[1:] if argv is None else argv)
        # A verb that starts its own servers, or reports on the settings, does without those of this environment.
        needed = getattr(args, "settings_needed", True)
        settings = load_settings(Path(args.config) if args.config else None) if needed else Settings()
        return int(args.run(args, settings))
    except SettingsError as error:
        print(f"xinliu: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (`xinliu … | head`): not an error, but stdout is no longer usable.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xinliu", description="信流: streaming credit risk, from transaction to alert"
    )
    parser.add_argument("--config", type=Path, default=os.environ.get("XINLIU_CONFIG"), help="settings file (TOML)")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        module = importlib.import_module(f"cli.{verb}")
        text = (module.__doc__ or "").strip()
        sub = verbs.add_parser(
            verb,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
