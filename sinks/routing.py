"""Subscriptions: which alerts of a bank are delivered to one of its readers. score says the same to all of them.

The file of a bank (TOML) holds `[[subscription]]` tables. An alert is delivered where it meets every key of one of
them. A key that is absent asks nothing, and what an alert does not say meets any key: nothing is lost because it is not
known. `quiet_days` holds back what a case says again so soon after its last delivery, unless it has become graver. The
end of what was delivered is never held back, and its easing only by `kinds` and `quiet_days`.

No I/O and no clock: what is delivered is a function of the file and of the alerts in their order, by event time.
"""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from config.errors import SettingsError
from domain.outputs import SEVERITIES, Alert, Severity

Kind = Literal["new", "graver", "eased", "over", "list", "stale", "notice"]
HELD = ("not_subscribed", "quiet")  # the reasons for which an alert is not delivered
FOLLOW_UP = "follow_up"
REMEMBERED_MAX = 200_000  # cases and alerts that were delivered; the one delivered longest ago is forgotten first
_DAY_MS = 86_400_000
_FEN = 100
_PPM = 1_000_000
_RANK: Mapping[Severity, int] = {name: rank for rank, name in enumerate(SEVERITIES, 1)}
_BY_CASE: Mapping[str, Kind] = {"opened": "new", "graver": "graver", "eased": "eased", "resolved": "over"}
_BY_STATE: Mapping[str, Kind] = {
    "raised": "new", "upgraded": "graver", "downgraded": "eased", "stale": "stale",
    "ended": "over", "cleared": "over", "retracted": "over", "closed": "over",
}  # fmt: skip
_PLACE = re.compile(r"\$\.subscription\[(\d+)\]\.?(.*)")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=1_000)]


class Handler(NamedTuple):
    """Branch and manager of a loan, as its lender reported them; None: not reported."""

    branch_code: str | None
    manager_no: str | None


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `[[subscription]]`. A case of which any signal is named in `signals` or `findings` meets them."""

    name: Name
    kinds: Annotated[tuple[Kind, ...], msgspec.Meta(min_length=1)] | None = None
    signals: Names | None = None  # ids, or their numbers: EWS35
    findings: Names | None = None
    severity_from: Severity | None = None  # of the signal
    case_severity_from: Severity | None = None
    pd_12m_from: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None  # of the case's claim
    score_to: Annotated[int, msgspec.Meta(ge=400, le=700)] | None = None
    outstanding_from_cny: Annotated[int, msgspec.Meta(ge=0, le=10**13)] | None = None  # of the bank's own loans
    branches: Names | None = None  # of one of the bank's own loans
    managers: Names | None = None

    @property
    def asks_handlers(self) -> bool:
        """Whether it names branches or managers."""
        return self.branches is not None or self.managers is not None


class Subscriptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscription file. `bank`: code or name of the bank whose alerts it is for."""

    subscription: Annotated[tuple[Subscription, ...], msgspec.Meta(min_length=1, max_length=100)]
    bank: Name | None = None
    quiet_days: Annotated[int, msgspec.Meta(ge=0, le=3_660)] = 0


class Verdict(NamedTuple):
    """Whether an alert is delivered, and why: by which subscription, as a FOLLOW_UP, or why it is held back (HELD)."""

    delivered: bool
    why: str


def load(path: Path, signals: Collection[str], findings: Mapping[str, Collection[str]]) -> Subscriptions:
    """Read a subscription file; signals and findings come out as the ids of `signals`.

    signals: ids that there are. findings: the ids of the signals of each. Raise SettingsError, naming the file, the
    subscription and the key, where something is wrong.
    """
    try:
        given = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Subscriptions)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"subscription file {path}: {error}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"subscription file {path}: {_explain(error)}") from error
    seen: set[str] = set()
    whole: list[Subscription] = []
    for number, one in enumerate(given.subscription, 1):
        where = f"subscription file {path}: [[subscription]] {number} ({one.name})"
        if one.name in seen or one.name in (FOLLOW_UP, *HELD):
            raise SettingsError(f"{where} name: it is taken")
        seen.add(one.name)
        named = _known(f"{where} signals", one.signals, _names(signals))
        named += _known(f"{where} findings", one.findings, findings)
        both = one.signals is None and one.findings is None
        whole.append(msgspec.structs.replace(one, signals=None if both else tuple(named), findings=None))
    return msgspec.structs.replace(given, subscription=tuple(whole))


def kind_of(alert: Alert) -> Kind:
    """Return what an alert says: of its case where it says anything of that, else of its episode."""
    kind = _BY_STATE[alert.state]
    if alert.state in ("retracted", "closed"):
        return kind
    if alert.case_state is not msgspec.UNSET and not alert.stock:
        return _BY_CASE[alert.case_state]
    if kind == "over":
        return kind
    if alert.offset < 0:
        return "notice"
    if alert.stock:
        return "list"
    return "stale" if alert.state == "raised" and alert.revision > 1 else kind  # it goes on after a pause


class Router:
    """Decides what is delivered to one reader, alert after alert; each revision is shown to it once.

    counts: how many alerts were given each verdict, by its reason.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._all = subscriptions.subscription
        self._quiet_ms = subscriptions.quiet_days * _DAY_MS
        self._told: dict[str, tuple[int, int]] = {}  # by case and by alert: as_of and rank of the last delivery
        self.counts: Counter[str] = Counter()

    @property
    def asks_handlers(self) -> bool:
        """Whether who looks after the loans of an alert may change its verdict."""
        return any(one.asks_handlers for one in self._all)

    @property
    def held(self) -> dict[str, int]:
        """How many alerts were held back, by reason."""
        return {why: self.counts[why] for why in HELD}

    def decide(self, alert: Alert, handlers: Collection[Handler] = ()) -> Verdict:
        """Return the verdict on the next alert. handlers: of its loans, as far as they are known."""
        verdict = self._verdict(alert, kind_of(alert), handlers)
        self.counts[verdict.why] += 1
        if verdict.delivered:
            self._remember(alert)
        return verdict

    def _verdict(self, alert: Alert, kind: Kind, handlers: Collection[Handler]) -> Verdict:
        of_case = alert.case_state is not msgspec.UNSET and alert.case_id in self._told
        was_told = of_case or alert.alert_id in self._told
        if kind == "over" and was_told:
            return Verdict(True, FOLLOW_UP)
        asked = [one for one in self._all if one.kinds is None or kind in one.kinds]
        why = next((one.name for one in asked if _meets(one, alert, handlers)), None)
        if why is None and asked and kind == "eased" and was_told:
            why = FOLLOW_UP
        if why is None:
            return Verdict(False, "not_subscribed")
        return Verdict(False, "quiet") if self._is_repeat(alert, kind) else Verdict(True, why)

    def _is_repeat(self, alert: Alert, kind: Kind) -> bool:
        last = self._told.get(alert.alert_id if kind == "notice" or not alert.case_id else alert.case_id)
        if last is None or kind == "over":
            return False
        as_of, rank = last
        return alert.as_of - as_of < self._quiet_ms and _RANK[_case_severity(alert)] <= rank

    def _remember(self, alert: Alert) -> None:
        if kind_of(alert) == "over":
            self._told.pop(alert.alert_id, None)
            if alert.case_state == "resolved":
                self._told.pop(alert.case_id, None)
            return
        for name in filter(None, (alert.case_id, alert.alert_id)):  # a list may be of no case
            self._told.pop(name, None)  # so that it stands last
            self._told[name] = (alert.as_of, _RANK[_case_severity(alert)])
        while len(self._told) > REMEMBERED_MAX:
            del self._told[next(iter(self._told))]


def _case_severity(alert: Alert) -> Severity:
    """Return the severity of the alert's case; its own where it has none, as an opening list may say."""
    return alert.case_severity or alert.severity


def _meets(one: Subscription, alert: Alert, handlers: Collection[Handler]) -> bool:
    """Return whether an alert meets every key but `kinds`."""
    outstanding = _outstanding_minor(alert)
    pd_ppm = alert.case_pd_12m_ppm
    return (
        (one.signals is None or not _signals(alert).isdisjoint(one.signals))
        and _reaches(alert.severity, one.severity_from)
        and _reaches(_case_severity(alert), one.case_severity_from)
        and (one.pd_12m_from is None or pd_ppm is msgspec.UNSET or pd_ppm >= one.pd_12m_from * _PPM)
        and (one.score_to is None or alert.score <= one.score_to)
        and (one.outstanding_from_cny is None or outstanding is None or outstanding >= one.outstanding_from_cny * _FEN)
        and _is_of(one.branches, (handler.branch_code for handler in handlers))
        and _is_of(one.managers, (handler.manager_no for handler in handlers))
    )


def _reaches(severity: Severity, least: Severity | None) -> bool:
    return least is None or _RANK[severity] >= _RANK[least]


def _is_of(wanted: Names | None, known: Iterable[str | None]) -> bool:
    names = {name for name in known if name is not None}
    return wanted is None or not names or not names.isdisjoint(wanted)


def _signals(alert: Alert) -> set[str]:
    lines = () if alert.case_lines is msgspec.UNSET else alert.case_lines
    return {alert.signal, *(line.name for line in lines)}


def _outstanding_minor(alert: Alert) -> int | None:
    """Return what the bank's own loans are outstanding, fen; None where the alert lists none."""
    more = alert.loans_more
    if not alert.loans and more is msgspec.UNSET:
        return None
    return sum(loan.outstanding_minor for loan in alert.loans) + (
        0 if more is msgspec.UNSET else more.outstanding_minor
    )


def _names(signals: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return signals by their ids, and by the part of these before the first underscore."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in signals}
    for name in signals:
        number = name.partition("_")[0]
        found[number] = tuple(dict.fromkeys((*found.get(number, ()), name)))
    return found


def _known(where: str, given: Names | None, known: Mapping[str, Collection[str]]) -> list[str]:
    """Return the signals that `given` stands for."""
    found: list[str] = []
    for name in given or ():
        if name not in known:
            close = difflib.get_close_matches(name, known, 3, 0.4)
            raise SettingsError(
                f"{where}: there is no {name!r}" + (f"; close to it: {', '.join(close)}" if close else "")
            )
        found += known[name]
    return found


def _explain(error: msgspec.ValidationError) -> str:
    """Return msgspec's `… - at `$.subscription[1].kinds[0]`` as people read it: `[[subscription]] 2 kinds: …`."""
    text, _, where = str(error).partition(" - at `")
    where = where.rstrip("`")
    if (place := _PLACE.fullmatch(where)) is not None:
        return f"[[subscription]] {int(place[1]) + 1} {place[2]}".rstrip() + f": {text}"
    return f"{where.removeprefix('$.')}: {text}" if where else text
