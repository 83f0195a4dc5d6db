"""The words of a desk: what cases, their levels, moves and dispositions are called, in commands and in reports."""

from collections.abc import Mapping

from domain.events import Disposition
from domain.language import Words
from domain.outputs import CaseChange, CaseStage, Escalation, Severity

STATES: Mapping[CaseStage, Words] = {
    "awaiting": Words("待签收", "awaiting"), "signed": Words("已签收", "signed"),
    "checking": Words("核查中", "checking"), "in_review": Words("待复核", "in review"),
    "disposed": Words("已处置", "disposed of"), "false_alarm": Words("误报", "false alarm"),
    "resolved": Words("已解除", "resolved"), "undelivered": Words("已停推", "delivery ended"),
}  # fmt: skip
CHANGES: Mapping[CaseChange, Words] = {
    "opened": Words("新开", "opened"), "graver": Words("升级", "graver"), "eased": Words("降级", "eased"),
    "resolved": Words("解除", "resolved"), "undelivered": Words("停推", "delivery ended"),
    "reopened": Words("重开", "reopened"), "resumed": Words("处置到期恢复", "resumed"),
    "overdue": Words("逾期未办", "overdue"), "listed": Words("存量", "listed"),
    "paused": Words("时限暂停", "deadlines paused"), "watched": Words("转观察", "watched"),
    "continued": Words("时限恢复", "deadlines go on"),
    "signed": Words("签收", "signed"), "begun": Words("开始核查", "begun"), "submitted": Words("提交", "submitted"),
    "approved": Words("复核通过", "approved"), "returned": Words("退回", "returned"),
}  # fmt: skip
LEVELS: Mapping[Severity | None, Words] = {
    "red": Words("红", "red"), "orange": Words("橙", "orange"), "yellow": Words("黄", "yellow"),
    None: Words("无", "none"),
}  # fmt: skip
DISPOSITIONS: Mapping[Disposition, Words] = {
    "confirmed": Words("属实", "confirmed"), "false_alarm": Words("误报", "false alarm"),
    "known": Words("已知", "known"), "seasonal": Words("季节性", "seasonal"),
    "data_fault": Words("数据问题", "data fault"), "to_verify": Words("待核实", "to verify"),
}  # fmt: skip
ESCALATIONS: Mapping[Escalation, Words] = {
    "desk": Words("", ""), "head_office": Words("报总行", "head office"), "supervisor": Words("报监管", "supervisor"),
}  # fmt: skip
