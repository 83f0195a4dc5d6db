"""A bank by its code or by its name, and the topics that its commands read."""

from collections.abc import Iterable

from cli.words import say
from config.errors import SettingsError
from config.settings import Bank, Settings

NAMED_MAX = 8


def places_of(settings: Settings, names: Iterable[str]) -> list[tuple[str, int]]:
    """Return the (topic, partition) of some topics.

    Raise SettingsError where one is missing, as it is to who has no right to it, and KafkaException where the broker
    does not answer.
    """
    from replay.offsets import Offsets

    places = Offsets(settings.kafka).partitions(names)
    if missing := set(names) - {topic for topic, _ in places}:
        raise SettingsError(say(f"没有主题 {'、'.join(missing)}", f"there is no topic {', '.join(missing)}"))
    return places


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
