"""The report as Markdown tables, for the terminal and for documentation."""

from collections.abc import Iterable, Iterator, Sequence

from replay.backtest.panel import BUDGETS, LONG_DAYS, SHORT_DAYS
from replay.backtest.report import BankWeek, Figure, Report, Worth
from replay.backtest.translations import POLICIES, TRANSLATIONS, translated

WARNED = ("30", "60", "90", "180")
DECIDED = ("confirmed", "false_alarm")


def markdown(report: Report, lang: str) -> str:
    """Return the tables in `lang`, zh or en."""
    return "\n".join(_lines(report, lang)) + "\n"


def _lines(report: Report, lang: str) -> Iterator[str]:
    one = report.provenance
    yield f"# {translated('title', lang)}"
    yield ""
    yield f"**{one.why_zh if lang == 'zh' else one.why_en}**"
    yield ""
    yield from _table((translated("what", lang), ""), list(_setting(report, lang)))
    yield from _load(report, lang)
    yield f"## {translated('cases_raised', lang)}"
    yield ""
    yield from _worths(report.cases, lang)
    plain = [each for each in report.budgets if is_plain(each.policy)]
    if plain:
        yield f"## {translated('budgets', lang)}"
        yield ""
    for budget in BUDGETS if plain else ():
        yield f"{budget} {translated('cases_a_month', lang)}"
        yield ""
        yield from _worths([each for each in plain if each.budget == budget], lang)
    yield from _signals(report, lang)
    if report.dispositions:
        yield from _dispositions(report, lang)
    if report.separation:
        yield from _separation(report, lang)
    if report.silent:
        yield f"## {translated('silent', lang)}"
        yield ""
        yield from _table(
            (translated("signal", lang), translated("silent_needs", lang)),
            [(s, ", ".join(n)) for s, n in report.silent],
        )
    yield from (zh if lang == "zh" else en for zh, en in report.notes)


def _setting(report: Report, lang: str) -> Iterator[tuple[str, str]]:
    one, counts, spans = report.provenance, report.counts, report.parameters
    warm_up = f"{translated('warm_up', lang)} {spans.warm_up_days}"
    defaulted = f"{translated('defaulted', lang)} {counts.defaulted:,}"
    short, long = f"{SHORT_DAYS}: {counts.censored_short:,}", f"{LONG_DAYS}: {counts.censored_long:,}"
    yield translated("judged_on", lang), _origin(one.judged_on)
    yield translated("tuned_on", lang), "; ".join(map(_origin, one.tuned_on)) or "–"
    yield translated("engine", lang), one.engine_version
    if (learned := report.learned) is not None:
        counts_of = f"{translated('candidates', lang)} {learned.candidates}, {translated('held', lang)}"
        in_force = f"{translated('models_in_force', lang)} {len(one.models)}"
        yield translated("learning", lang), f"{counts_of} {learned.held}, {in_force}"
    yield translated("judged_days", lang), f"{spans.judged_first} – {spans.judged_last} ({warm_up})"
    yield translated("known_until", lang), f"{spans.outcomes_known_until} ({translated(f'truth_{spans.truth}', lang)})"
    yield translated("enterprises", lang), f"{counts.enterprises:,}"
    yield (
        translated("borrowers", lang),
        f"{counts.borrowers:,} ({counts.borrower_months:,.0f} {translated('months', lang)})",
    )
    if spans.truth == "labels":
        yield translated("bad_labels", lang), f"{counts.bad:,}"
    else:
        a_year = f"{_percent(counts.bad_rate_year)} {translated('a_year', lang)}"
        yield translated("bad", lang), f"{counts.bad:,} ({defaulted}; {a_year})"
    yield translated("bad_at_start", lang), f"{counts.bad_at_start:,}"
    yield translated("censored", lang), f"{short}; {long} / {counts.month_rows:,}"
    yield translated("bootstrap", lang), f"{spans.resamples} ({translated('seed', lang)} {spans.seed})"
    if spans.without:
        yield translated("left_out", lang), ", ".join(spans.without)


def _load(report: Report, lang: str) -> Iterator[str]:
    yield f"## {translated('load', lang)}"
    yield ""
    names = ("level", "per_1000_borrowers", "per_1000_enterprises", "bank_week", "standing")
    rows = [
        (
            translated(load.level, lang),
            _number(load.per_1000_borrowers),
            _number(load.per_1000_enterprises),
            _week(load.bank_week),
            _percent(load.standing_share),
        )
        for load in report.load
    ]
    yield from _table([translated(name, lang) for name in names], rows)


def _worths(worths: Iterable[Worth], lang: str) -> Iterator[str]:
    heads = [translated("policy", lang), translated("named", lang), translated("per_1000_borrowers", lang)]
    heads += [f"{translated('warned', lang)} ≥ {ahead}" for ahead in WARNED]
    heads += [translated("lead", lang), f"{translated('precision', lang)} 183", f"{translated('precision', lang)} 365"]
    rows = []
    for each in worths:
        lead = each.lead
        quartiles = (lead.lower_quartile, lead.median, lead.upper_quartile)
        rows.append(
            (
                POLICIES.get(each.policy, {}).get(lang, each.policy),
                f"{each.named:,}",
                _number(each.per_1000_borrowers),
                *(_percent(each.warned[ahead]) for ahead in WARNED),
                " / ".join("–" if one.value is None else f"{one.value:.0f}" for one in quartiles),
                *(_percent(each.precision[horizon]) for horizon in ("183", "365")),
            )
        )
    yield from _table(heads, rows)


def _signals(report: Report, lang: str) -> Iterator[str]:
    yield f"## {translated('signals', lang)}"
    yield ""
    heads = [
        translated("signal", lang),
        translated("alerts_orange_red", lang),
        translated("alerts_yellow", lang),
        translated("alone_cases", lang),
    ]
    heads += [
        f"{translated('warned', lang)} ≥ 60",
        f"{translated('precision', lang)} 183",
        translated("fewer_cases", lang),
        translated("lost", lang),
        translated("adds", lang),
    ]
    rows = [
        (
            each.signal,
            _number(each.alerts_orange_red),
            _number(each.alerts_yellow),
            _number(each.alone.per_1000_borrowers),
            _percent(each.alone.warned["60"]),
            _percent(each.alone.precision["183"]),
            _number(each.fewer_cases),
            _percent(each.lost_warnings),
            _percent(each.adds),
        )
        for each in report.signals
    ]
    yield from _table(heads, rows)


def _dispositions(report: Report, lang: str) -> Iterator[str]:
    yield f"## {translated('dispositions', lang)}"
    yield ""
    heads = ("signal", "level", "disposed_as", "desk_precision", "confirmed_bad", "false_alarm_bad")
    rows = [
        (
            each.signal or translated("cases", lang),
            _word(each.severity, lang),
            ", ".join(f"{_word(name, lang)} {count:,}" for name, count in each.disposed.items()),
            _percent(each.precision),
            *("–" if (one := each.went_bad.get(name)) is None else _percent(one) for name in DECIDED),
        )
        for each in report.dispositions
    ]
    yield from _table([translated(name, lang) for name in heads], rows)


def _word(name: str, lang: str) -> str:
    """Return the text of a name, or a name of another version as it is."""
    return translated(name, lang) if name in TRANSLATIONS else name


def _separation(report: Report, lang: str) -> Iterator[str]:
    yield f"## {translated('separation', lang)}"
    yield ""
    heads = [
        translated("rank", lang),
        translated("horizon", lang),
        translated("by", lang),
        translated("bad_rows", lang),
        "AUC",
        "KS",
    ]
    rows = [
        (
            POLICIES.get(each.rank, {}).get(lang, each.rank),
            str(each.horizon_days),
            f"{translated(each.by, lang)} {each.group}".strip(),
            f"{each.bad:,}",
            _number(each.auc, 3),
            _number(each.ks, 3),
        )
        for each in report.separation
        if each.by == "all" or (each.by == "scenario" and each.rank in ("score", "lightgbm_365"))
    ]
    yield from _table(heads, rows)


def _week(one: BankWeek) -> str:
    found = (one.mean, one.median, one.ninety_percent, one.most)
    return " / ".join("–" if value is None else f"{value:.3g}" for value in found)


def is_plain(policy: str) -> bool:
    """Return whether a policy is about all signals, and not about one of them."""
    return " " not in policy


def _number(one: Figure, digits: int = 1) -> str:
    if one.value is None:
        return "–"
    interval = "" if one.low is None or one.high is None else f" [{one.low:.{digits}f}, {one.high:.{digits}f}]"
    return f"{one.value:.{digits}f}{interval} (n {one.n:,})"


def _percent(one: Figure) -> str:
    if one.value is None:
        return "–"
    interval = "" if one.low is None or one.high is None else f" [{100 * one.low:.0f}, {100 * one.high:.0f}]"
    digits = 1 if abs(one.value) < 0.1 else 0
    return f"{100 * one.value:.{digits}f}%{interval} (n {one.n:,})"


def _origin(origin: object) -> str:
    name, seed, parameters = (getattr(origin, field) for field in ("name", "seed", "parameters"))
    return ", ".join(part for part in (name, f"seed {seed}" if seed else "", parameters) if part)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    for row in (heads, ["-" * max(width, 3) for width in widths], *rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
    yield ""
