"""Progress as lines on stderr, in the reader's language: the rooms below know of no locale and speak English."""

import re
import sys
import time
from typing import Any

from cli.words import is_chinese, say

SAY_S = 2.0
# What the rooms below say of servers and workers, as patterns, and the same in Chinese.
ZH = (
    (r"compiling the kernels \(once an engine version\), meanwhile Kafka and Redis start",
     "编译内核（每个引擎版本一次），同时启动 Kafka 和 Redis"),
    (r"waiting for the kernels: (\d+) functions are compiled", r"等待内核：已编译 \1 个函数"),
    (r"kernels are ready", "内核就绪"),
    (r"workers started: (.*)", r"工作进程已启动：\1"),
    (r"worker (\S+) ended \((.*)\); it is started again in (\S+) s", r"工作进程 \1 已结束（\2），\3 秒后重新启动"),
    (r"worker (\S+) is started again \(process (\d+)\)", r"工作进程 \1 已重新启动（进程 \2）"),
    (r"worker (\S+) ended before it was stopped \((.*)\)", r"工作进程 \1 在停止之前已结束（\2）"),
    (r"worker (\S+) is ready again after (\S+) s, and scores came again after (\S+) s",
     r"工作进程 \1 结束 \2 秒后重新就绪；\3 秒后又有评分"),
    (r"worker (\S+) is ready again after (\S+) s; no score came in the (\S+) s after that",
     r"工作进程 \1 结束 \2 秒后重新就绪；其后 \3 秒内没有评分"),
    (r"worker (\S+) is ready again after (\S+) s; scores went on",
     r"工作进程 \1 结束 \2 秒后重新就绪；评分未曾中断"),
    (r"the ledger balances: (.*)", r"账平：\1"),
    (r"(Redis|Kafka) answers at (.*)", r"\1 已应答：\2"),
    (r"resolving (.*)", r"解析依赖 \1"),
    (r"Apache Kafka jars (\S+): (.*)", r"取 Apache Kafka 的 jar \1：\2"),
    (r"a port of (.*) is taken: (.*) moves from (.*) to (.*)", r"\1 的端口被占用：\2 由 \3 改到 \4"),
    (r"(\S+) of (\S+) records applied", r"已过 \1 条，共 \2 条"),
    (r"(\d+) partitions are done already, as (.*) has them", r"\2 里已有做完的 \1 个分区"),
    (r"(\S+) events read", r"已读 \1 条"),
    (r"(\S+) records sent", r"已送 \1 条记录"),
    (r"(\S+) records are in (\S+)", r"\2 已有 \1 条记录"),
    (r"score has (\S+) records left", r"score 还有 \1 条"),
    (r"reading the log for facts", "读日志里的贷款与授权"),
    (r"(\d+) of (\d+) partitions read for facts", r"\2 个分区已读 \1 个"),
    (r"replaying the log", "重放日志"),
    (r"(\S+) enterprises, (\S+) revisions of alerts", r"\1 户企业，\2 条预警"),
    (r"(\S+) month ends of borrowers at risk, (\S+) of them go bad", r"\1 个借款企业月末观测，\2 户后来逾期30天以上"),
    (r"(\S+) is trained on outcomes within (\d+) days", r"\1 已学完 \2 天标签"),
    (r"measuring the load on desks", "计算工作量"),
    (r"training the ceilings", "从同样的月末指标学出上限"),
    (r"evaluating the ranks", "计算各种排序的提前量与命中"),
    (r"AUC and KS of (\S+)", r"计算 \1 的 AUC 与 KS"),
    (r"signal (\S+) alone and left out", r"信号 \1：单独与去掉"),
    (r"timelines of the worst misses and false alarms", "最差的漏报与误报"),
    (r"waiting for process (\d+), which fetches Apache Kafka", r"等进程 \1 下载 Apache Kafka"),
    (r"waiting for process (\d+), which keeps the classes of Apache Kafka", r"等进程 \1 缓存 Apache Kafka 的类"),
    (r"keeping the classes of Apache Kafka, so that it starts sooner", "缓存 Apache Kafka 的类，以后启动更快"),
    (r"(\S+) records of (\S+)", r"\2：\1 条记录"),
    (r"(\S+): (.+) is judged", r"\1：\2 已检验"),
    (r"(\S+) records written to (.*)", r"\1 条记录写入 \2"),
    (r"the champion learns all loans with a status", "冠军学习全部有状态的贷款"),
    (r"replaying the log with the learner in the loop", "学习在环内，重放日志"),
)  # fmt: skip


def chinese(text: str) -> str:
    """Return the text in Chinese; as it is where the table does not know it."""
    for pattern, zh in ZH:
        if re.fullmatch(pattern, text):
            return re.sub(pattern, zh, text)
    return text


class Saying:
    """Lines with the time since the start."""

    def __init__(self) -> None:
        self._began_s = self._said_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say one thing."""
        said = chinese(text) if is_chinese() else text
        print(f"[{time.monotonic() - self._began_s:6.1f} s] {said}", file=sys.stderr, flush=True)

    def look(self, look: Any) -> None:
        """Say where the replay is, every now and then."""
        if time.monotonic() - self._said_s < SAY_S:
            return
        self._said_s = time.monotonic()
        sent = sum(look.sending.sent.values())
        left = ", ".join(f"{role} {count:,}" for role, count in look.progress.lag.items())
        finished = look.sending.finished
        self(
            say(
                f"已送 {sent:,}{'（全部）' if finished else ''}；待处理：{left}",
                f"sent {sent:,}{' (all)' if finished else ''}; left to do: {left}",
            )
        )
