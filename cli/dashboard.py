"""Serve the pages on the loopback: what comes in, who is late, who falls, what was alerted, and why.

It reads ClickHouse and Kafka's topics, and nothing of the workers. [clickhouse] url must name a server: a chdb folder
belongs to the archive's process, which serves the pages itself (`xinliu worker archive --dashboard`, as in the demo).

Example: xinliu --config site.toml dashboard

Exit codes: 0 ended by SIGTERM or SIGINT, 1 ClickHouse refuses, 2 wrong call or setting.
"""

import argparse
import asyncio
import logging
import signal
import sys

from config.errors import SettingsError
from config.redaction import shown_url
from config.settings import Settings

ZH = """在本机提供页面：进来了什么，谁迟了，谁在下滑，发了哪些预警，为什么。

它读 ClickHouse 和 Kafka 的主题，不碰工作进程。[clickhouse] url 要指向服务器：chdb 的文件夹归 archive 进程所有，由它自己
提供页面（xinliu worker archive --dashboard，如演示中那样）。

例：xinliu --config site.toml dashboard

退出码：0 由 SIGTERM 或 SIGINT 结束，1 ClickHouse 拒绝，2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the level of logging. The address is a setting ([dashboard] host, port)."""
    parser.add_argument("--log-level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"))


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    from sinks.clickhouse import target_of

    logging.basicConfig(
        level=args.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if target_of(settings.clickhouse).kind == "chdb":
        raise SettingsError(
            f"[clickhouse] url = {shown_url(settings.clickhouse.url)}: a chdb folder belongs to the archive's process; "
            "run `xinliu worker archive --dashboard`, or name a server (clickhouse://user@host:9000/database)"
        )
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    from dashboard.serve import serve

    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await serve(settings, ending, lambda address: print(f"dashboard on {address}", flush=True))
