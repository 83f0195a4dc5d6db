"""Reads the cases of good_input.jsonl and bad_input.jsonl."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.events import SCHEMA

FOLDER = Path(__file__).parent
NO_REASON = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One record and its expected outcome. `reason` is empty for an accepted one."""

    name: str
    fault: int
    writer: str
    schema: bytes | None
    payload: bytes | None
    reason: str
    field: str | None
    secret: bool


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


_GOOD = {line["case"]: line for line in _lines("good_input.jsonl")}


def good() -> list[Case]:
    """The accepted."""
    return [_case(line | {"good": name}) for name, line in _GOOD.items()]


def bad() -> list[Case]:
    """The refused."""
    return [_case(line) for line in _lines("bad_input.jsonl")]


def _case(line: dict[str, Any]) -> Case:
    schema = line.get("schema", SCHEMA)
    return Case(
        name=line["case"],
        fault=line.get("fault", 0),
        writer=line.get("writer", "bank"),
        schema=None if schema is None else schema.encode(),
        payload=_payload(line),
        reason=line.get("reason", NO_REASON),
        field=line.get("field"),
        secret=line.get("secret", False),
    )


def _payload(line: dict[str, Any]) -> bytes | None:
    if "good" in line:
        event = _GOOD[line["good"]]["event"] | line.get("set", {})
        return json.dumps(
            {k: v for k, v in event.items() if k not in line.get("drop", ())}, ensure_ascii=False
        ).encode()
    if "good_text" in line:
        text = json.dumps(_GOOD[line["good_text"]]["event"], ensure_ascii=False)
        assert line["replace"][0] in text
        return text.replace(*line["replace"]).encode()
    if "hex" in line:
        return bytes.fromhex(line["hex"])
    return None if line["parts"] is None else "".join(text * count for text, count in line["parts"]).encode()
