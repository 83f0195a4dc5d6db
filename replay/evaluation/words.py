"""The words of the report: (Chinese, English)."""

WORDS: dict[str, tuple[str, str]] = {
    "title": ("评分检验：{0}", "The score judged: {0}"),
    "engine": (
        "引擎 {0}，核心指标 {1} 个；日志由引擎 {2} 记录，{3} 条记录。",
        "Engine {0}, {1} core indicators; the log was recorded by engine {2} and holds {3} records.",
    ),
    "same": (
        "数据过了 Kafka 和 Redis 上的引擎；所记日志再在进程内重放，输出字节相同：{0}。",
        "The data went through the engine on Kafka and Redis; in process, the log that was recorded gives the same "
        "bytes: {0}.",
    ),
    "not_same": (
        "警告：进程内重放所记日志，输出字节不同：{0}。",
        "WARNING: in process, the log that was recorded gives OTHER bytes: {0}.",
    ),
    "in_process": (
        "只在进程内重放，未过 Kafka 和 Redis。",
        "Replayed in process alone, not through Kafka and Redis.",
    ),
    "outcomes": ("结果", "Outcomes"),
    "what": ("项目", "what"),
    "count": ("数量", "count"),
    "read": ("读到", "read"),
    "judged": ("已检验", "judged"),
    "bad": ("坏", "bad"),
    "with_status": ("有状态", "with a status"),
    "malformed": ("行不完整", "malformed row"),
    "missing": ("缺项", "missing value"),
    "label": ("标签不识", "no such label"),
    "date": ("日期不可能", "impossible date"),
    "future": ("日期在将来", "future date"),
    "contradiction": ("标签矛盾", "contradicting labels"),
    "doubled": ("重复", "doubled id"),
    "ambiguous": ("编号不唯一", "ambiguous id"),
    "unknown": ("编号不存在", "unknown id"),
    "no_vector": ("没有指标", "no indicators"),
    "problems": ("未检验的行", "Lines that are not judged"),
    "line": ("行", "line"),
    "id": ("编号", "id"),
    "reason": ("原因", "reason"),
    "view": ("{0}：样本 {1}，坏 {2}", "{0}: {1} examples, {2} bad"),
    "folds": (
        "{0} 折、重复 {1} 次，按借款企业分折，种子 {2}；可用指标 {3} 个。AUC 为各折平均；括号内为95%区间，"
        "按借款企业重抽样。",
        "{0} folds, {1} repeats, split by borrower, seed {2}; {3} indicators. AUC is the mean over folds. In brackets "
        "the 95% interval, by bootstrap over borrowers.",
    ),
    "no_auc": ("不给 AUC：{0}。", "No AUC: {0}."),
    "model": ("模型", "model"),
    "silent": ("沉默", "silent"),
    "log_loss": ("对数损失", "log loss"),
    "less": ("冠军减它（AUC）", "champion less it (AUC)"),
    "ablation": ("消融：冠军去掉一样", "Ablation: the champion without one thing"),
    "against": ("比冠军", "against the champion"),
    "as_known": ("按当时所知", "As known"),
    "as_known_text": (
        "状态在贷款到期时才知道，未到期的在 1998-12-31：1996 年底学习者只有 {0} 个标签，其中坏 {1} 个。学习在环内，"
        "放款时曾有 {2} 个模型生效。",
        "A status is known at the loan's end, or on 1998-12-31: by the end of 1996 a learner had {0} labels, {1} of "
        "them bad. With the learner in the loop, {2} models were in force at some grant.",
    ),
    "grant": ("放款时点", "at the grant"),
    "last_day": ("最后一日", "on the last day"),
    "days_90": ("日期前90天", "90 days before the date"),
    "days_90_before": ("最后一日前90天", "90 days before the last day"),
    "own_last_day": ("各户自己的最后一日", "on each one's own last day"),
    "days_90_before_own": ("各户自己的最后一日前90天", "90 days before each one's own last day"),
    "_without_recency": ("，不含距今天数类指标", ", without recency indicators"),
    "champion": ("冠军", "champion"),
    "prior": ("先验", "prior"),
    "as_scored": ("当时生效的模型", "model in force"),
    "logistic": ("逻辑回归（离线）", "logistic regression, offline"),
    "lightgbm": ("LightGBM（离线）", "LightGBM, offline"),
    "stumps_offline": ("单调提升树桩（离线）", "monotone boosted stumps, offline"),
    "recency": ("距今天数类指标：{0}。", "Recency indicators: {0}."),
    "curves": ("曲线", "Curves"),
}
