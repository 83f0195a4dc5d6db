"""Start Kafka, Redis and the engine here, replay the sample through them, and show it live. Ctrl-C ends all of it.

Nothing but this package is needed: Kafka's jars are fetched at the first start, the kernels are compiled meanwhile.
A second start goes on from the state of the first; `--fresh` begins anew.

Example: xinliu demo --fresh

Exit codes: 0 the books balance, 1 not, 2 wrong call or setting, 130 interrupted.
"""

import argparse
import sys
import time
from typing import Any

from cli.replay import Saying, add_state_arguments, guarded, report, started
from config.settings import Settings

ZH = """在本机启动 Kafka、Redis 和引擎，重放样例并实时显示。Ctrl-C 全部结束。

除本软件包外什么都不需要：首次启动时取 Kafka 的 jar，同时编译内核。
再次启动接着上次的状态；--fresh 重新开始。

例：xinliu demo --fresh

退出码：0 账平，1 账不平，2 用法或设置有误，130 被打断。
"""

REDRAWS_A_SECOND = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """When to leave, and where the state lies."""
    parser.add_argument(
        "--exit", action="store_true", help="leave when the replay is done (always so without a terminal)"
    )
    add_state_arguments(parser)
    parser.set_defaults(settings_needed=False)


def run(args: argparse.Namespace, _settings: Settings) -> int:
    """The demo."""
    return guarded(lambda: _demo(args))


def _demo(args: argparse.Namespace) -> int:
    from replay.run import Replay
    from replay.simulate import sample

    source, say = sample(), Saying()
    with started(args, source, say, dashboard=True) as stack:
        say(f"the pages: {stack.dashboard}")
        replay = Replay(source, stack.settings, stack=stack, speed=None)
        try:
            shown = _show(replay, stack, stay=not args.exit) if sys.stdout.isatty() else None
            if shown is None:
                replay.wait(say.look)
            code = report(args, replay.finish())
        finally:
            replay.end()
        print(f"\nState and logs: {stack.directory}\nSettings: {stack.settings_file}")
        print("Next: `xinliu replay sample --help`, docs/, ARCHITECTURE.md. `--fresh` replays from the start.")
    return code


def _show(replay: Any, stack: Any, *, stay: bool) -> bool:
    """The live view until the replay is done, and on until Ctrl-C where `stay`."""
    from rich.live import Live

    from replay.view import Rate, Watching, render

    watching, rate = Watching(stack.settings.kafka), Rate()
    watching.start()
    try:
        with Live(refresh_per_second=REDRAWS_A_SECOND) as live:
            last: list[Any] = []

            def draw(look: Any) -> None:
                last[:] = [look]
                done = sum(look.progress.ends.values()) - sum(look.progress.lag.values())
                live.update(render(watching.seen, look, rate.add(look.elapsed_s, done)))

            replay.wait(draw)
            while stay:
                stack.check()
                draw(last[0])
                time.sleep(1 / REDRAWS_A_SECOND)
    except KeyboardInterrupt:
        if not stay or not replay.done:
            raise
    finally:
        watching.end()
    return True
