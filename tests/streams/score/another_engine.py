"""`python -m tests.streams.score.another_engine VERSION …`: xinliu as an engine of another version."""

import sys

from streams.score import version

if __name__ == "__main__":
    _, mine, *arguments = sys.argv
    version.engine_version = lambda: mine  # before any module takes it by its name
    from cli.main import main

    sys.exit(main(arguments))
