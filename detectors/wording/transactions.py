"""The words for a transaction: its purpose, status and party, as the pages have them (dashboard/static/texts.js)."""

from collections.abc import Mapping

from domain.events import CounterpartyKind, Purpose, TxnStatus
from domain.language import Words

PURPOSES: Mapping[Purpose, Words] = {
    "sales": Words("销售回款", "sales"),
    "purchase": Words("采购", "purchase"),
    "payroll": Words("工资", "payroll"),
    "tax": Words("税款", "tax"),
    "social_security": Words("社保", "social security"),
    "utility": Words("水电", "utility"),
    "rent": Words("租金", "rent"),
    "loan_disbursement": Words("贷款发放", "loan disbursement"),
    "loan_repayment": Words("贷款归还", "loan repayment"),
    "interest": Words("利息", "interest"),
    "financing": Words("融资", "financing"),
    "bill_collection": Words("票据托收", "bill collection"),
    "bill_discount": Words("票据贴现", "bill discount"),
    "margin": Words("保证金", "margin"),
    "wealth": Words("理财", "wealth product"),
    "own_transfer": Words("本户划转", "own transfer"),
    "cash": Words("现金", "cash"),
    "investment": Words("投资", "investment"),
    "refund": Words("退款", "refund"),
    "fee": Words("费用", "fee"),
    "other": Words("其他", "other"),
}
STATUSES: Mapping[TxnStatus, Words] = {
    "booked": Words("已入账", "booked"),
    "returned": Words("退回", "returned"),
    "reversed": Words("冲正", "reversed"),
}
PARTIES: Mapping[CounterpartyKind, Words] = {
    "corporate": Words("企业", "company"),
    "personal": Words("个人", "person"),
    "financial": Words("金融机构", "financial institution"),
    "government": Words("政府", "government"),
    "internal": Words("银行内部", "internal"),
}
