"""The published JSON Schemas, as validators."""

import json
from pathlib import Path

import jsonschema

FOLDER = Path(__file__).resolve().parents[1] / "docs/schemas"


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of a file of docs/schemas."""
    schema = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
