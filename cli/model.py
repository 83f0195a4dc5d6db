"""Look at the models that learn makes.

report  how champion, prior and challengers had predicted the labels that matured: metrics, curves, PSI, weights

Example: xinliu model report --out report

Exit codes: 0 done; 1 Kafka does not answer, or the report cannot be written; 2 wrong call or setting.
"""

import argparse

from cli import model_report
from cli.words import say
from config.settings import Settings

ZH = """查看学习得到的模型。

report  冠军、先验与挑战者对到期标签预测得如何：指标、曲线、PSI、权重

例：xinliu model report --out report

退出码：0 已办；1 Kafka 没有应答，或报告写不出；2 用法或设置有误。
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="report")
    report = actions.add_parser("report", help=say("模型报告", "the report on the models"))
    model_report.add_report_arguments(report)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    return model_report.run(args, settings)
