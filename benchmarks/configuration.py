"""Settings as the TOML file that a worker reads."""

import json
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.world.population import BANKS, bank_id
from config.settings import Bank, Settings


def banks() -> tuple[Bank, ...]:
    """Return the banks of the world."""
    return tuple(Bank(bank_id=bank_id(bank), name_zh=f"基准银行{bank}") for bank in range(BANKS))


def write(settings: Settings, path: Path) -> None:
    """Write every setting that is not None as TOML."""
    lines = []
    for name, table in msgspec.to_builtins(settings).items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *_lines(table)]
    for bank in settings.banks:
        lines += ["[[banks]]", *_lines(msgspec.to_builtins(bank))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(x, ensure_ascii=False)}" for key, x in table.items() if x is not None]
