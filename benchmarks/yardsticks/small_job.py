"""The small job: six features over daily buckets, a logistic score, an alert rule. No exactness, nothing durable.

State of one enterprise: [day of its last alert, buckets]; buckets are lists [day, in, out, n_in, n_out, last balance],
ascending, of the newest 90 days. Windows end at the newest day that the enterprise has shown.
"""

import math
from typing import Any

DAY_MS = 86_400_000
WEIGHTS = (0.30, 0.15, -0.40, -0.35, 0.10, 0.02)
BIAS = 0.6
THRESHOLD = 0.03
NAMES = ("inflow30", "inflow90", "out30", "cv30", "active30", "cover")
Bucket = list[float]


def apply(buckets: list[Bucket], txn: dict[str, Any]) -> int:
    """Add one transaction to the buckets; return the newest day."""
    day = txn["event_time"] // DAY_MS
    i = len(buckets)
    while i and buckets[i - 1][0] > day:
        i -= 1
    if i and buckets[i - 1][0] == day:
        b = buckets[i - 1]
    else:
        b = [day, 0.0, 0.0, 0, 0, 0.0]
        buckets.insert(i, b)
    if txn["direction"] == "C":
        b[1] += txn["amount_minor"] / 100
        b[3] += 1
    else:
        b[2] += txn["amount_minor"] / 100
        b[4] += 1
    b[5] = txn["balance_minor"] / 100
    now = int(buckets[-1][0])
    while buckets[0][0] <= now - 90:
        del buckets[0]
    return now


def features(buckets: list[Bucket], now: int) -> tuple[float, ...]:
    """Return the six features, in the order of NAMES."""
    in30 = in90 = out30 = squares = 0.0
    active = 0
    for day, inflow, outflow, _, _, _ in buckets:
        in90 += inflow
        if day > now - 30:
            in30 += inflow
            out30 += outflow
            squares += inflow * inflow
            active += 1
    mean = in30 / 30
    cv = math.sqrt(max(squares / 30 - mean * mean, 0.0)) / mean if mean else 0.0
    cover = min(buckets[-1][5] / (out30 / 30), 365.0) if out30 else 365.0
    return math.log1p(in30), math.log1p(in90), math.log1p(out30), cv, float(active), cover


def score(x: tuple[float, ...]) -> float:
    """Return the logistic score."""
    z = BIAS
    for w, v in zip(WEIGHTS, x, strict=True):
        z += w * v
    return 1.0 / (1.0 + math.exp(-z))


def alert(txn: dict[str, Any], now: int, p: float, x: tuple[float, ...]) -> dict[str, Any]:
    """Return the alert to produce."""
    return {
        "enterprise_id": txn["enterprise_id"], "day": now, "event_id": txn["event_id"], "score": round(p, 6),
        "x": [round(v, 4) for v in x],
    }  # fmt: skip


def step(state: list[Any], txn: dict[str, Any]) -> dict[str, Any] | None:
    """Change the state in place; return an alert or None."""
    now = apply(state[1], txn)
    x = features(state[1], now)
    p = score(x)
    if p < THRESHOLD and state[0] < now:
        state[0] = now
        return alert(txn, now, p, x)
    return None
