"""`benchmarks/README.md` and `benchmarks/HISTORY.md`: the newest figures with their bounds, and all runs."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from docs.generate.markdown import fill, table

HISTORY = Path(__file__).resolve().parents[2] / "benchmarks/results/history.jsonl"
# The shown figures of each benchmark, in this order, with their labels.
_FIGURES = {
    "throughput": {
        "drain_per_s": "drain, transactions/s",
        "drain_to_bare_loop": "drain over bare loop",
        "lean_per_s": "lean, transactions/s",
        "live_per_s": "live, transactions/s",
        "bare_loop_per_s": "bare loop, transactions/s",
        "stock_faust_redis_river_per_s": "stock Faust, transactions/s",
        "score_rows_per_txn": "score records a transaction",
        "value_bytes_least": "smallest mean of a value, bytes",
        "non_null_core_share": "share of computable core indicators",
        "alerts": "alerts",
        "closes": "day closes",
        "late": "late records",
        "duplicates": "repeats",
    },
    "latency": {
        "wake_ups_us_asleep": "a byte to another process and back, cores asleep, µs",
        "wake_ups_us_awake": "the same with awake cores, µs",
        "p50_ms_at_1000_per_s": "median latency at 1,000/s, ms",
        "p99_ms_at_1000_per_s": "99th percentile at 1,000/s, ms",
        "p50_ms_at_10000_per_s": "median latency at 10,000/s, ms",
        "p99_ms_at_10000_per_s": "99th percentile at 10,000/s, ms",
        "alerts_at_1000_per_s": "alerts, at 1,000/s",
        "alerts_at_10000_per_s": "alerts, at 10,000/s",
        "bad_input_clean_per_s": "clean records/s",
        "bad_input_mixed_per_s": "mixed records/s, a tenth of them bad",
        "bad_input_to_clean_rate": "rate of the mix over clean",
        "bad_input_unexpected": "records with an unexpected outcome",
    },
    "case_actions": {
        "wake_ups_us_asleep": "a byte to another process and back, cores asleep, µs",
        "wake_ups_us_awake": "the same with awake cores, µs",
        "transactions_per_s": "transactions/s beside them",
        "actions": "actions",
        "actions_per_s": "actions/s applied",
        "actions_unanswered": "actions without a record",
        "action_p50_ms": "median latency of an action, ms",
        "action_p99_ms": "99th percentile of an action, ms",
        "alerts": "alerts",
        "alert_p50_ms": "median latency of an alert, ms",
        "alert_p99_ms": "99th percentile of an alert, ms",
    },
    "state": {
        "enterprises": "enterprises",
        "engine_rss_bytes": "memory of both workers, bytes",
        "redis_bytes_an_enterprise_without_ids": "Redis, bytes an enterprise without event ids",
        "redis_bytes_an_enterprise_with_ids": "Redis, bytes an enterprise with event ids",
        "drained_per_s": "transactions/s of the distinct enterprises",
        "closed_per_s": "day closes/s",
        "flushed_bytes_an_event_with_closes": "flushed bytes of an event with its share of closes",
    },
    "recovery": {
        "enterprises": "enterprises",
        "restart_s": "restart, s",
        "takeover_s": "takeover, s",
        "session_timeout_s": "session timeout, s",
    },
    "determinism_memory": {
        "records": "records",
        "runs": "runs",
        "runs_unequal": "runs with other bytes",
        "kills": "kills",
        "outputs_repeated": "outputs repeated",
        "alert_revisions": "alert revisions",
    },
    "rules": {
        "signals": "signals",
        "kernel_ns_per_event_without_signals": "ns an event without signals",
        "kernel_ns_per_event": "ns an event with signals",
        "signals_ns_per_event": "ns an event of signals alone",
        "kernel_ns_per_event_without_signals_without_lenders": "without lenders, ns an event without signals",
        "kernel_ns_per_event_without_lenders": "without lenders, ns an event with signals",
        "signals_ns_per_event_without_lenders": "without lenders, ns an event of signals alone",
    },
    "compiled_parts": {"rounds": "rounds of all variants in turn"},
    "replay": {
        "counted_per_s_a_core": "outputs counted, events/s a core",
        "written_per_s_a_core": "outputs written (LZ4), events/s a core",
        "written_plain_per_s_a_core": "outputs written as plain lines, events/s a core",
        "counted_per_s": "outputs counted, events/s of all cores from start to end",
        "written_per_s": "outputs written, events/s of all cores from start to end",
        "processes": "processes",
        "events": "events",
        "bytes": "log, bytes",
        "outputs": "outputs",
        "outputs_bytes": "outputs as lines, bytes",
        "outputs_bytes_packed": "outputs as lines in LZ4, bytes",
        "alerts": "alerts",
        "indicators": "records of daily indicators",
        "late": "late records",
        "duplicates": "repeats",
    },
    "sizes": {
        "bank.<bank_id>.events.v1_bytes_a_record": "`bank.<bank_id>.events.v1`, bytes a record",
        "events.v1_bytes_a_record": "`events.v1`, bytes a record",
        "tick_bytes": "a tick of 141 banks in one partition, bytes",
        "score.v1_bytes_a_record": "`score.v1`, bytes a record",
        "score_records_a_txn": "score records a transaction",
        "indicator.v1_bytes_a_record": "`indicator.v1`, bytes a record",
        "alert.<bank_id>.v1_bytes_a_record": "`alert.<bank_id>.v1`, bytes a record",
        "observation.v1_bytes_a_record": "`observation.v1`, bytes a record",
        "dlq.v1_bytes_a_record": "`dlq.v1`, bytes a record",
        "txn_bytes_a_row": "table `txn`, bytes a row",
        "score_bytes_a_row": "table `score`, bytes a row",
        "indicator_bytes_a_row": "table `indicator`, bytes a row",
        "alert_bytes_a_row": "table `alert`, bytes a row",
    },
    "simulator": {
        "records_per_s": "records/s, into a file",
        "seconds": "from start to end, s",
        "memory_bytes": "memory, bytes",
        "cpu_s": "processor time, s",
        "enterprises": "enterprises",
        "months": "months",
        "records": "records",
        "file_bytes": "log, bytes",
    },
    "warning": {
        "judging_s": "judging four simulated worlds, s",
        "ceiling_auc_least": "AUC of LightGBM at 12 months, hardest world",
        "ceiling_auc_most": "AUC of LightGBM at 12 months, easiest world",
        "results": "worlds with a result",
        "memory_bytes": "memory, bytes",
    },
    "warning_data": {
        "judging_s": "judging both data sets, s",
        "results": "data sets with a result",
    },
    "warning_score": {
        **{
            f"{name}_{key}": f"{words}, {said}"
            for key, said in (
                ("caught_12", "defaults caught at 12 a month"),
                ("caught_24", "at 24"),
                ("caught_50", "at 50"),
                ("auc_95", "AUC at 95 days"),
                ("auc_365", "AUC at 365 days"),
                ("cases", "orange and red cases of 1,000 borrowers a month"),
                ("cases_caught", "defaults of which these cases warned 60 days ahead"),
                ("cases_right", "share of them that default within a year"),
            )
            for name, words in (
                ("prior", "prior"),
                ("guarded", "champion with the guard"),
                ("champion", "champion, all accepted"),
                ("offline", "best offline model"),
            )
        },
        "caught_against_offline_least": "champion over the best offline model, budget with the least",
    },
    "learning": {
        "champion_labels_per_s": "champion, labels/s of a refit on 100,000",
        "amf_labels_per_s": "challenger AMF, labels/s",
        "arf_labels_per_s": "challenger ARF, labels/s",
        "ftrl_labels_per_s": "challenger FTRL, labels/s",
        "hat_labels_per_s": "challenger HAT, labels/s",
        "stumps_labels_per_s": "challenger stumps, labels/s",
        "passed_over_per_s": "events passed over/s",
        "read_events_per_s": "events read/s, with the loan events that are applied",
        "held": "observations held at the restart",
        "checkpoint_bytes": "checkpoint, bytes",
        "restart_s": "restart, from the start of the process, s",
        "restart_after_claim_s": "restart, from the assignment of partitions, s",
        "restart_cpu_s": "restart, processor time, s",
        "restart_memory_bytes": "restart, memory at the most, bytes",
        "month_labels": "labels of the month",
        "month_s": "the month with all challengers, s",
        "month_cpu_s": "the month, processor time of the worker, s",
        "month_stall_s": "longest wait of the event loop in the month, s",
        "month_late_p99_s": "99th percentile of its waits, s",
        "month_rebalances": "rebalances in the month",
        "month_memory_bytes": "the month, memory at the most, bytes",
        "batch_ms": "batch of records in score, ms",
        "switch_ms": "switch of model of a partition, ms",
        "batch_after_ms": "batch of records after a switch, ms",
        "switch_to_batch": "switch of model, with what it adds to the batch after it, over a batch",
        "first_switch_ms": "first switch of a worker, which fetches the model, ms",
    },
    "two_commands": {
        "first_demo_s": "first `make demo`, s",
        "demo_again_s": "`make demo` again, --fresh, s",
        "test_s": "`make test`, s",
    },
}
_FIGURES["determinism_processes"] = _FIGURES["determinism_memory"]
_TITLES = {
    "throughput": "Throughput", "latency": "Latency, and bad input",
    "case_actions": "Actions on cases", "state": "State of a million enterprises",
    "recovery": "After a kill", "determinism_memory": "Determinism, in memory",
    "determinism_processes": "Determinism, by processes", "rules": "Cost of signals",
    "compiled_parts": "Cost of compiled code", "replay": "A log in process", "sizes": "Sizes on the disk",
    "simulator": "A province into a file", "warning": "Quality of warnings",
    "warning_data": "Quality of warnings, data sets", "warning_score": "The score that learns", "learning": "Learning",
    "two_commands": "The two commands",
}  # fmt: skip

Run = dict[str, Any]


def readme() -> str:
    """Return `benchmarks/README.md`."""
    parts = {name: _current(name) for name in _TITLES if not name.startswith("determinism")}
    determinism = (f"*{_TITLES[name]}.* {_current(name)}" for name in _TITLES if name.startswith("determinism"))
    more = {"summary": _summary(), "determinism": "\n\n".join(determinism), "warning_score_worlds": _score_by_world()}
    return fill("benchmarks.md.in", more | parts)


def _score_by_world() -> str:
    """Return the learned score of each world: what it catches against the best offline model, and its calibration."""
    found = json.loads((HISTORY.parent / "warning_score.json").read_text(encoding="utf-8"))
    lines = []
    for world in found["worlds"]:
        champion, offline = world["accepted"], world["prior"]["caught"]
        cells = []
        for budget in (12, 24, 50):
            ours = champion["caught"][f"probability, {budget}"]["30"]
            best = max(offline[f"{model}, {budget}"]["30"]["value"] for model in ("lightgbm", "stumps"))
            cells.append(f"{ours['value']:.0%} / {best:.0%}")
        auc, ratio = champion["auc"]["probability, 95 days"], champion["calibration"][0]["ratio"]
        lines.append((world["name"], f"{ours['n']}", *cells, _interval(auc, 3), _interval(ratio, 2)))
    heads = ("world", "defaults", "at 12 a month", "at 24", "at 50", "AUC at 95 days", "expected over observed")
    return table(heads, lines)


def _interval(one: dict[str, float], digits: int) -> str:
    return f"{one['value']:.{digits}f} ({one['low']:.{digits}f}–{one['high']:.{digits}f})"


def history() -> str:
    """Return `benchmarks/HISTORY.md`."""
    return fill("benchmark_history.md.in", {"tables": "\n\n".join(map(_all, _measured()))})


@cache
def runs() -> dict[str, list[Run]]:
    """Return the runs of each benchmark, oldest first. Raise ValueError, with the line, where one has no place here."""
    found: dict[str, list[Run]] = {name: [] for name in _TITLES}
    for number, line in enumerate(HISTORY.read_text(encoding="utf-8").splitlines(), 1):
        run = json.loads(line)
        if run["benchmark"] not in found:
            raise ValueError(f"{HISTORY.name} line {number}: no benchmark is called {run['benchmark']}")
        if odd := sorted(run["bounds"].keys() - _FIGURES[run["benchmark"]].keys()):
            raise ValueError(f"{HISTORY.name} line {number}: bounds without a name here: {', '.join(odd)}")
        found[run["benchmark"]].append(run)
    return found


def newest(benchmark: str) -> Run:
    """Return the newest run of a benchmark."""
    return runs()[benchmark][-1]


def _measured() -> list[str]:
    """Return the benchmarks that have a run."""
    return [name for name in _TITLES if runs()[name]]


def _summary() -> str:
    lines = []
    for name in _measured():
        run, title = newest(name), _TITLES[name]
        missed = ", ".join(_FIGURES[name][key] for key in run["missed"])
        lines.append((title, run["measured"][:10], run["commit"], f"missed: {missed}" if missed else "all met"))
    return table(("benchmark", "newest run", "commit", "bounds"), lines)


def _current(name: str) -> str:
    if name not in _measured():
        return "Not measured yet."
    run = newest(name)
    return f"Measured {run['measured'][:10]} at {run['commit']}; {run['machine']}.\n\n" + table(
        ("figure", "measured", "bound", ""), _figures(name, run)
    )


def _figures(name: str, run: Run) -> Iterator[tuple[str, str, str, str]]:
    for key, label in _FIGURES[name].items():
        if key in run:
            bound = _bound(run["bounds"].get(key, ""))
            yield label, _number(run[key]), bound, "missed" if key in run["missed"] else "met" if bound else ""


def _all(name: str) -> str:
    keys = [key for key in _FIGURES[name] if any(key in run for run in runs()[name])]
    lines = [(run["measured"][:10], run["commit"], *(_cell(run, key) for key in keys)) for run in runs()[name]]
    return f"### {_TITLES[name]}\n\n" + table(("date", "commit", *(_FIGURES[name][key] for key in keys)), lines)


def _cell(run: Run, key: str) -> str:
    return "" if key not in run else _number(run[key]) + (" (missed)" if key in run["missed"] else "")


def _number(figure: float) -> str:
    return f"{figure:,}"


def _bound(text: str) -> str:
    """Return a bound such as `>= 150000` as people write it."""
    if not text:
        return ""
    sign, edge = text.split()
    return f"{ {'>=': '≥', '<=': '≤'}[sign] } {float(edge):,.10g}"
