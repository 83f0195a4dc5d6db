"""Models: what learn proposes, what is in force and why, and who decides.

list      candidates and models: in force since when and by whose word, proposed, held and why, superseded
show      one of them: what it learned from, its weights by group, its probabilities
diff      two of them: weights, anchors and levels, probabilities, grades that differ (--observed: on the newest month)
card      the model card as Markdown or HTML: training, population, results, decisions, deployment, exit (JR/T 0221)
accept    bring a candidate into force; one that is held needs its reasons repeated: --despite drift,weight_moved
promote   the same, after the evidence: the candidate against the model in force, with intervals
rollback  go back to the model before, or to an earlier one; learn activates none by itself until resume
resume    let learn activate models again ([learn] activation = "auto")
queue     what learn holds: the observations that wait, its bounds, and how far it has read
report    how champion, prior and challengers had predicted the labels that matured: metrics, curves, PSI, weights

An id may be shortened to six digits or more; `prior` is the packaged model. Operators and learn decide one at a time:
whoever is overtaken by another is told so, and nothing is written.

Example: xinliu model list
         xinliu model accept 3f2a9c --by zhang --reason "validated, minutes 12/2026"
         xinliu model rollback --by zhang --reason "too many grades moved"

Exit codes: 0 done; 1 not found, refused, overtaken, or Kafka does not answer; 2 wrong call or setting.
"""

import argparse
from importlib import import_module

from cli.deciding import guarded
from config.settings import Settings

ZH = """模型：学习提出了什么、在用的是哪个、为什么、谁决定的。

list      候选与模型：何时起在用、谁启用的，待定，暂缓及原因，已被取代
show      某一个：由什么学得，各组权重，概率
diff      比较两个：权重、锚点与分值、概率、等级变化（--observed：按最近一个月末的观测）
card      模型卡（Markdown 或 HTML）：训练、适用人群、结果、决定、上线、退出（JR/T 0221）
accept    启用一个候选；暂缓的要逐项写明原因：--despite drift,weight_moved
promote   先列证据（候选与在用模型对比，带区间），再同 accept
rollback  退回上一个或更早的模型；此后学习不再自动启用，直到 resume
resume    让学习恢复自动启用（[learn] activation = "auto"）
queue     学习保存的内容：等待到期的观测、上限、读到何处
report    冠军、先验与挑战者对到期标签预测得如何：指标、曲线、PSI、权重

编号可以只写前六位以上；prior 指程序自带的模型。操作人员与学习一次只有一方作决定：被别人抢先的会收到说明，什么也不写。

例：xinliu model list
    xinliu model accept 3f2a9c --by 张三 --reason "已验证，2026 年第 12 号纪要"
    xinliu model rollback --by 张三 --reason "等级变动过多"

退出码：0 已办；1 找不到、被拒绝、被别人抢先，或 Kafka 没有应答；2 用法或设置有误。
"""
# Each module has `add_actions(actions)`, which adds parsers with `act=` a function of (args, settings).
MODULES = (
    "cli.model_list",
    "cli.model_show",
    "cli.model_card",
    "cli.model_decide",
    "cli.model_queue",
    "cli.model_report",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for module in MODULES:
        import_module(module).add_actions(actions)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    return guarded("model", lambda: int(args.act(args, settings)))
