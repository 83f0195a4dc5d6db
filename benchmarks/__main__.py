"""`python -m benchmarks [NAME [OPTIONS]]`: run one benchmark, or all; each writes benchmarks/results/<name>.json."""

import importlib
import sys

BENCHMARKS = (
    "throughput", "state", "latency", "case_actions", "recovery", "determinism", "rules", "compiled_parts", "replay",
    "sizes", "simulator", "warning", "learning", "two_commands",
)  # fmt: skip


def main(argv: list[str]) -> int:
    """Run the named benchmark, or all; return the highest exit code."""
    name, *options = argv or [""]
    if name and name.replace("-", "_") not in BENCHMARKS:
        print(f"usage: make bench [B=NAME] [ARGS=OPTIONS], NAME one of {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    wanted = [name.replace("-", "_")] if name else BENCHMARKS
    return max(importlib.import_module(f"benchmarks.{each}").run(options) for each in wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
