"""A bank by its code or by its name."""

from cli.words import say
from config.errors import SettingsError
from config.settings import Bank, Settings

NAMED_MAX = 8


def bank_named(settings: Settings, text: str) -> Bank:
    """Return the one bank whose code or name is `text`, or whose name alone contains it.

    Raise SettingsError where there is none, or more than one.
    """
    exact = [bank for bank in settings.banks if text in (bank.bank_id, bank.name_zh, bank.name_en)]
    holding = exact or [bank for bank in settings.banks if text and (text in bank.name_zh or text in bank.name_en)]
    if len(holding) == 1:
        return holding[0]
    known = holding or settings.banks
    some = "、".join(f"{bank.name_zh} {bank.bank_id}" for bank in known[:NAMED_MAX])
    if len(known) > NAMED_MAX:
        some += say(f"……共 {len(known)} 家", f" … {len(known)} in all")
    if holding:
        raise SettingsError(say(f"“{text}” 不止一家：{some}", f"{text!r} is more than one bank: {some}"))
    raise SettingsError(
        say(
            f"[[banks]] 里没有 “{text}”；有：{some or '一家也没有'}",
            f"[[banks]] has no {text!r}; it has: {some or 'none at all'}",
        )
    )
