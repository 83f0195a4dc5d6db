"""The names of fields that no event may carry (`config/credentials.toml`)."""

import tomllib
from functools import cache
from importlib.resources import files

from domain.credentials import Forbidden


@cache
def forbidden() -> Forbidden:
    """The list as this release ships it."""
    document = tomllib.loads(files("config").joinpath("credentials.toml").read_text(encoding="utf-8"))
    return Forbidden.of(document["names"], document["parts"])
