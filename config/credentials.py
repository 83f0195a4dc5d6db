"""The names of fields that no event may carry (`config/credentials.toml`)."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import get_args

import msgspec

from domain.credentials import Forbidden
from domain.events import AnyEvent


@cache
def forbidden() -> Forbidden:
    """Return the list as this release ships it."""
    document = tomllib.loads(files("config").joinpath("credentials.toml").read_text(encoding="utf-8"))
    return Forbidden.of(document["names"], document["parts"], usual=names_of_events())


def names_of_events() -> tuple[str, ...]:
    """Return the names of all events' fields, each once, those of one kind of event in their order."""
    ours = (field.name for kind in get_args(AnyEvent) for field in msgspec.structs.fields(kind))
    return tuple(dict.fromkeys(("type", *ours)))
