"""`python -m benchmarks [NAME]`: run one benchmark, or all, and print the rows of the tables in README.md."""

import argparse
import sys

from benchmarks import recovery, two_commands

BENCHMARKS = {"two-commands": two_commands.run, "recovery": recovery.run}


def main() -> int:
    """Run what was asked for; the worst exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=tuple(BENCHMARKS), help="which one (default: all)")
    name = parser.parse_args().name
    return max(BENCHMARKS[each]() for each in ([name] if name else BENCHMARKS))


if __name__ == "__main__":
    sys.exit(main())
