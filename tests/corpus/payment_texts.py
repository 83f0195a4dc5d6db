"""Texts of ordinary payments, in which nobody's number stands: made from a seed, by kind, as their issuers number.

Digital invoices have 20 digits, the year first; older ones a code of 10 or 12 digits and a number of 8; customs
declarations 18 (port, year, direction, serial); electronic tax receipts 18; electronic bills 30; payment platforms 28
to 32 with the date in them; registration numbers of before 2015 have 15, of which the region is first.
"""

import random
import re
from collections.abc import Iterator

SEED, COUNT = 20_260_331, 12_000

# `#` is any digit, a word in <> one of those below.
_FORMS = {
    "digital invoice": ("发票号<yy><pp>2000000#########", "数电票<yy><pp>7000000#########", "<yy><pp>2000000#########"),
    "paper invoice": (
        "发票########", "发票代码<pp>00<yy>1###号码########", "<pp>00<yy>2### ########", "0<pp>00<yy>00###-########",
        "票号########、########", "发票号码：########-##", "FP########", "No.########", "发票######## ########",
    ),
    "contract": (
        "合同号<deed><date>###", "<deed>-<year>-####", "<deed><year>######", "合同<year>第####号",
        "(<year>)<deed>字第#####号",
        "<deed>-<date>-###", "合同编号：<deed><date->-##", "<deed>########", "<deed> ##########", "〔<year>〕###号",
    ),
    "order": (
        "订单<date>####", "订单<date>##########", "订单号######", "订单号##########", "采购单############",
        "单号<letter><date>###",
        "<letter>########", "批次#######", "订单##############",
    ),
    "serial": (
        "流水号<date>######", "流水号<date>################", "交易号####################",
        "交易号##########################",
        "<date>############", "4200######<date>##########", "<date>22001###############", "网银#############",
        "汇划流水################",
    ),
    "customs": ("报关单5301<year>1#########", "报关单7200<year>0#########", "报关单3104<year>1#########"),
    "tax": (
        "税票3<pp><yy>5<mm><dd>########", "税款所属期<year><mm>-<year><mm>", "增值税<date->至<date->",
        "社保<year><mm> ##人",
    ),
    "bill": ("票据1############<date>#########", "承兑########", "支票########"),
    "amount": (
        "<yuan>元", "¥<yuan>", "<yuan,>", "单价<yuan>数量97合计<yuan>", "USD <yuan>", "<yuan>##万元",
        "本金<yuan> 利息<yuan>",
        "共1##########元",
    ),
    "date": (
        "<date>", "<date->", "<date.>", "<year>年<mm>月<dd>日", "<date>-<date>", "<date> 1#:0#:3#", "<date.>-<date.>",
        "<year><mm>月结", "<date>1#0#3#",
    ),
    "utility": ("户号##########", "户号0############", "用户编号########", "表号############", "缴费号#########"),
    "waybill": ("SF#############", "运单YT#############", "快递############", "提单COSU##########", "柜号TGHU#######"),
    "insurance": ("保单####################", "保单PDAA<year>##############", "保函##############"),
    "registration": (
        "税号91<pp>01##MA#<base><base><base>#<base>##", "注册号<pp>01##00#######", "税号91<pp>01############",
    ),
    "landline": ("0771-5######", "010-6#######", "400-###-####", "电话07723######"),
    "english": (
        "PAYMENT FOR INVOICE NO <year>-######", "PI NO. <yy><mm><dd>### 30PCT DEPOSIT", "LC############",
        "PROFORMA INVOICE <letter>#######", "REF ########## USD <yuan,>", "PO###########",
    ),
}  # fmt: skip
_AROUND = ("{1}{0}", "{0} {1}", "付{1}（{0}）", "{1},{0}", "{0}{1}", "支付{1}：{0}", "{1} {0} 尾款")
_GOODS = ("货款", "服务费", "材料款", "运费", "工程款", "租金", "电费", "广告费", "软件费", "质保金", "加工费", "餐费")
_DEEDS = ("HT", "CG", "XS", "PO", "SO", "DD", "FW", "SB", "HTBH", "XSHT", "CGDD", "INV", "CNT", "LN", "YS")
_PROVINCES = ("11", "31", "32", "33", "35", "37", "42", "44", "45", "50", "51", "61")
_BLANK = re.compile("#|<[^>]+>")


def texts(seed: int = SEED, count: int = COUNT) -> Iterator[tuple[str, str]]:
    """Yield (kind, text): each kind in turn."""
    rnd, kinds = random.Random(seed), list(_FORMS)
    for n in range(count):
        kind = kinds[n % len(kinds)]
        number = _BLANK.sub(lambda blank: _filled(rnd, blank[0]), rnd.choice(_FORMS[kind]))
        yield kind, rnd.choice(_AROUND).format(number, rnd.choice(_GOODS))


def _filled(rnd: random.Random, blank: str) -> str:
    year, month, day = rnd.randint(2019, 2026), rnd.randint(1, 12), rnd.randint(1, 28)
    match blank:
        case "#":
            return rnd.choice("0123456789")
        case "<yuan>" | "<yuan,>":
            yuan = 10 ** rnd.uniform(0, 10.3)
            return f"{yuan:,.2f}" if blank == "<yuan,>" else f"{yuan:.2f}"
        case "<date>" | "<date->" | "<date.>":
            return blank[5:-1].join((f"{year}", f"{month:02}", f"{day:02}"))
    return {
        "<year>": f"{year}", "<yy>": f"{year % 100}", "<mm>": f"{month:02}", "<dd>": f"{day:02}",
        "<pp>": rnd.choice(_PROVINCES), "<deed>": rnd.choice(_DEEDS), "<letter>": rnd.choice("ABCDSWXYZ"),
        "<base>": rnd.choice("0123456789ABCDEFGHJKLMNPQRTUWXY"),
    }[blank]  # fmt: skip
