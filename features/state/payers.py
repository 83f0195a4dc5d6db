"""The sixteen heaviest payers by decayed operating inflow, by Space-Saving (Metwally et al., ICDT 2005).

Up to sixteen payers it is exact. Beyond, the lightest gives way and the newcomer inherits its weight. The laws are: a
weight is never below the payer's own, and above it by at most the lightest one; all weights add up to the named inflow;
the sorted weights majorize the true ones (the k heaviest places hold at least as much as the k heaviest payers), so
that concentration read from the list is never understated. Slow weight, count, first and last time of a newcomer begin
with it, so they are never overstated. Order-dependent where a payer was ever replaced; otherwise equal in any order but
for rounding. A payment that is taken out again leaves first and last time as they are.

Fields of one enterprise: payer uint64 (16), 0 a free place; payer_weight float64 (16) fen at a half-life of 90 days and
payer_slow float64 (16) at 180, both forward-decayed; payer_count int32 (16); payer_first and payer_last uint32 (16) in
seconds; payer_named, payer_named_slow, payer_all float64: inflow with a known payer at both half-lives, and all inflow;
payer_credits float64: the decayed number of all credits.
"""

from features.state import decay
from kernels.decorators import kernel

PLACES = 16
_MS = 1_000


@kernel
def add(e, who, day, event_ms, fen):
    """Add an operating credit of `fen` from payer `who`, uint64; 0 where the payer is not named."""
    now = decay.weight(day)
    e.payer_all += fen * now
    e.payer_credits += now
    if who == 0:
        return
    slow = fen * decay.slow_weight(day)
    e.payer_named += fen * now
    e.payer_named_slow += slow
    place = _place(e.payer, e.payer_weight, who)
    second = event_ms // _MS
    if e.payer[place] != who:
        e.payer[place] = who
        e.payer_slow[place], e.payer_count[place] = 0.0, 0
        e.payer_first[place] = e.payer_last[place] = second
    e.payer_weight[place] += fen * now
    e.payer_slow[place] += slow
    e.payer_count[place] += 1
    e.payer_first[place] = min(e.payer_first[place], second)
    e.payer_last[place] = max(e.payer_last[place], second)


@kernel
def take(e, who, day, fen):
    """Take a credit of `fen` on `day` out again, from the list as far as that still holds the payer."""
    now, slow = decay.weight(day), fen * decay.slow_weight(day)
    e.payer_all = max(0.0, e.payer_all - fen * now)
    e.payer_credits = max(0.0, e.payer_credits - now)
    if who == 0:
        return
    e.payer_named = max(0.0, e.payer_named - fen * now)
    e.payer_named_slow = max(0.0, e.payer_named_slow - slow)
    for place in range(PLACES):
        if e.payer[place] == who:
            e.payer_weight[place] = max(0.0, e.payer_weight[place] - fen * now)
            e.payer_slow[place] = max(0.0, e.payer_slow[place] - slow)
            e.payer_count[place] = max(0, e.payer_count[place] - 1)


@kernel
def _place(payer, weight, who):
    """Return the payer's place; else the first free one; else that of the lightest."""
    lightest = 0
    for place in range(PLACES):
        if payer[place] == who or payer[place] == 0:
            return place
        if weight[place] < weight[lightest]:
            lightest = place
    return lightest
