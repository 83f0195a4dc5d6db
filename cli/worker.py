"""Run one role (ingest, score, learn, archive) as a worker, until it is told to stop.

Example: xinliu --config site.toml worker score

Exit codes: 0 after a clean stop (SIGTERM, SIGINT), 1 where it stopped by a failure, 2 for a wrong setting.
"""

import argparse
import gc
import logging
import sys
from contextlib import ExitStack

from cli.words import say
from config.errors import SettingsError
from config.settings import Settings
from sinks.client import aiokafka_settings
from streams.worker.roles import ROLES

ZH = """以工作进程运行一个角色（ingest、score、learn、archive），直到叫它停。

例：xinliu --config site.toml worker score

退出码：0 正常停下（SIGTERM、SIGINT），1 因故障停下，2 设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the role, and the level of logging."""
    parser.add_argument("role", choices=tuple(ROLES), help=say("做什么", "what this worker does"))
    parser.add_argument(
        "--compile",
        action="store_true",
        help=say(
            "把 score 和 ingest 的内核编译进缓存就结束",
            "compile the kernels of score and ingest into the cache and exit",
        ),
    )
    parser.add_argument(
        "--dashboard",
        action="store_true",
        help=say("archive：同时由本进程提供页面", "archive: serve the dashboard from this process too"),
    )
    parser.add_argument(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help=say("日志写多少", "how much is logged"),
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Build the role from the settings and run it."""
    logging.basicConfig(
        level=args.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if args.dashboard and args.role != "archive":
        raise SettingsError("--dashboard goes with the archive: a chdb folder belongs to its process")
    if args.compile:
        from streams.ingest.fast_path.block import warm
        from streams.score.warmup import compile_kernels

        compile_kernels()
        warm()
        return 0

    gc.disable()  # until `settle`: there are more imports (cli/main.py says why)
    from sinks.metrics import Metrics, MetricsServer
    from streams.learn.threads import end_process
    from streams.transport import TransportOptions
    from streams.worker.process import settle
    from streams.worker.roles import FETCH_GAPS_MS, ONE_WORKER, build
    from streams.worker.worker import WorkerOptions, run_worker

    kafka = settings.kafka
    options = WorkerOptions(
        session_timeout_s=kafka.session_timeout_s,
        group_instance_id=kafka.instance_id and f"{kafka.instance_id}-{args.role}",
        transport=TransportOptions(
            parser=kafka.parser,
            fetch_gap_ms=FETCH_GAPS_MS[args.role],
            unpacked_bytes_max=kafka.unpacked_bytes_max,
            batch_bytes_max=settings.ingest.batch_bytes_max if args.role == "ingest" else kafka.unpacked_bytes_max,
            one_member=args.role in ONE_WORKER,
            client=aiokafka_settings(kafka),
        ),
    )
    role = build(args.role, settings)
    settle()
    metrics = Metrics(args.role)
    if settings.metrics.port >= 0:
        try:
            server = MetricsServer(metrics, settings.metrics)
        except OSError as error:
            address = f"host = {settings.metrics.host}, port = {settings.metrics.port}"
            raise SettingsError(f"[metrics] {address}: {error}") from error
        logging.getLogger(__name__).info("metrics on http://%s:%d/metrics", server.host, server.port)
    app_id = f"{kafka.group_prefix}{args.role}"
    with ExitStack() as beside:
        if args.dashboard:
            from dashboard.serve import DashboardThread

            beside.enter_context(DashboardThread(settings))
        code = run_worker(role, broker=kafka.bootstrap, app_id=app_id, options=options, telemetry=metrics)
    return end_process(code)
