"""The messages of all topics: their structs, what each field means, and their JSON Schemas."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import get_annotations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from config.case_table import Budget, CaseTable, Cutoffs, Deadline, Deadlines, Finding, StandsAlone
from config.catalogue import SignalRow
from detectors.rules.artefact import Emission, RulesArtefact
from detectors.snapshot import Calibration, Reference, Snapshot
from domain import events, outputs

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
STRUCTS: Mapping[str, type[msgspec.Struct]] = {
    struct.__name__: struct
    for struct in (
        events.Txn, events.Loan, events.Instalment, events.Receipt, events.Gov, events.Profile, events.Authorization,
        events.CaseAction, events.Outcome, events.Control, events.Tick, events.Feed, events.Derived, events.LogRecord,
        outputs.Score, outputs.ReasonCode, outputs.Indicators, outputs.Observation, outputs.Alert, outputs.Evidence,
        outputs.DataDate, outputs.LoanOfAlert, outputs.LoansMore, outputs.CaseLine, outputs.CaseRecord,
        outputs.DeadLetter, outputs.EventName, outputs.Sealed, outputs.Refused, outputs.Cut, outputs.Opened,
        outputs.Resent,
        outputs.QuarantinedBatch, outputs.KnownEnterprise,
        outputs.FeedHealth, outputs.FeedProgress, outputs.FeedQuestion,
        outputs.MonthReport, outputs.ModelMetrics, outputs.Figure, outputs.ProbabilityBin, outputs.ModelDifference,
        outputs.GradeOutcome, outputs.ScoreOutcome,
        outputs.Candidate, outputs.HeldReason, outputs.ActivationRequest,
        Snapshot, Calibration, Reference, RulesArtefact, Emission, SignalRow,
        CaseTable, Cutoffs, Finding, StandsAlone, Budget, Deadlines, Deadline,
    )
}  # fmt: skip
# What a value of each topic is, where it is not the first struct of its row alone.
_VALUES: Mapping[str, Any] = {
    "bank.{bank_id}.events.v1": events.FromBank,
    "gateway.events.v1": events.FromGateway,
    "desk.events.v1": events.FromDesk,
    "control.v1": events.FromOperator,
    "feed.v1": outputs.FeedMessage,
    "model.report.v1": outputs.ModelMessage,
}


class Meaning(NamedTuple):
    """The meaning of a field: its unit (may be empty), and a text in two languages."""

    unit: str
    english: str
    chinese: str


class Topic(NamedTuple):
    """One topic, as `config/topics.toml` and `topics.toml` have it together; texts in English and Chinese."""

    name: str
    partitions: str
    cleanup: str
    retention_days: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    messages: tuple[str, ...]
    key: str
    headers: tuple[str, ...]
    purpose: tuple[str, str]
    reading: tuple[str, str]

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return self.name.replace("{", "").replace("}", "")

    @property
    def value(self) -> Any:
        """The type of a value; None where it is no JSON."""
        if not self.messages:
            return None
        return _VALUES.get(self.name, STRUCTS[self.messages[0]])


@cache
def topics() -> tuple[Topic, ...]:
    """Return all topics, in the order of `config/topics.toml`. Raise KeyError where the two tables differ in one."""
    settings = {row["name"]: row for row in _toml(_ROOT / "config/topics.toml")["topics"]}
    known = _toml(_HERE / "topics.toml")
    if odd := sorted(settings.keys() ^ known.keys()):
        raise KeyError(f"config/topics.toml and docs/generate/topics.toml differ in {', '.join(odd)}")
    return tuple(
        Topic(
            name=name,
            partitions=str(row["partitions"]),
            cleanup=row["cleanup"],
            retention_days=row["retention_days"],
            writers=tuple(row["writers"]),
            readers=tuple(row["readers"]),
            messages=tuple(known[name]["messages"]),
            key=known[name]["key"],
            headers=tuple(known[name]["headers"]),
            purpose=(known[name]["purpose"][0], known[name]["purpose"][1]),
            reading=(known[name]["reading"][0], known[name]["reading"][1]),
        )
        for name, row in settings.items()
    )


@cache
def meanings() -> dict[str, dict[str, Meaning]]:
    """Return by struct and field what the field means; inherited fields included.

    KeyError names a field without an entry in `fields.toml`, or an entry without a field.
    """
    table = {name: {field: Meaning(*texts) for field, texts in rows.items()} for name, rows in _tables().items()}
    found, used = dict[str, dict[str, Meaning]](), set[tuple[str, str]]()
    for name, struct in STRUCTS.items():
        found[name] = {}
        for field in struct.__struct_fields__:
            owner = next(cls.__name__ for cls in struct.__mro__ if field in get_annotations(cls))
            if field not in table.get(owner, {}):
                raise KeyError(f"docs/generate/fields.toml: no entry for field {field} of [{owner}]")
            found[name][field] = table[owner][field]
            used.add((owner, field))
    if odd := sorted({(name, field) for name, rows in table.items() for field in rows} - used):
        raise KeyError(f"docs/generate/fields.toml: no struct has {', '.join('.'.join(one) for one in odd)}")
    return found


def schema(topic: Topic) -> dict[str, Any]:
    """Return the JSON Schema of a topic's values, with what each field means."""
    made = msgspec.json.schema(topic.value)
    definitions = made.get("$defs", {})
    for name in definitions:
        _describe(name, definitions[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{topic.slug}.json",
        "title": topic.name,
        "description": topic.purpose[0],
        **made,
    }


def properties(name: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield (name in JSON, schema, whether it is always there) of each field of a struct, its tag first."""
    definition = msgspec.json.schema(STRUCTS[name])["$defs"][name]
    required = set(definition.get("required", ()))
    for field, shape in definition["properties"].items():
        yield field, shape, field in required


def meaning_of(name: str, encoded: str) -> Meaning:
    """Return what a field means, by its name in JSON; of a tag, which type it names."""
    struct = STRUCTS[name]
    if encoded == struct.__struct_config__.tag_field:
        return Meaning("", "which kind of message this is", "消息种类")
    field = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))[encoded]
    return meanings()[name][field]


def _describe(name: str, definition: dict[str, Any]) -> None:
    definition.pop("description", None)  # the docstring is for who reads the code
    for encoded, shape in definition.get("properties", {}).items():
        unit, english, _ = meaning_of(name, encoded)
        shape["description"] = f"{english} [{unit}]" if unit else english


def _tables() -> dict[str, Any]:
    return _toml(_HERE / "fields.toml")


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
