"""Separation of tuning and judging: whether figures may be called a result, by the worlds of tuning."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from replay.backtest.report import Origin
from replay.sources import SourceError

PACKAGED = "tuned_on.toml"


class _Worlds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    world: list[Origin] = []


def packaged() -> list[Origin]:
    """Return the worlds on which the packaged rules and anchors were chosen."""
    text = files("config").joinpath(PACKAGED).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Worlds).world


def read(path: Path) -> list[Origin]:
    """Return the worlds of a file like config/tuned_on.toml. Raise SourceError where it cannot be read as one."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Worlds).world
    except OSError as error:
        raise SourceError(f"--tuned-on {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SourceError(f"--tuned-on {path}: {error}") from error


def verdict(judged: Origin | None, tuned: Sequence[Origin], *, rules_known: bool, bad: int) -> tuple[bool, str, str]:
    """Return whether figures may be called a result, and the reason in Chinese and English.

    judged: None where a simulated world does not state its seed. rules_known: whether the worlds are known on which the
    rules in force were chosen. bad: defaults in the window.
    """
    if judged is None:
        return (
            False,
            "不是结果：模拟的日志没有说明它的种子和参数，无从知道规则是否就是在它上面调的。请给出随日志的真值文件",
            "not a result: a simulated log that does not say its seed and parameters may be the one that the rules "
            "were chosen on; give the truth file beside it",
        )
    if not rules_known:
        return (
            False,
            "不是结果：生效的规则不是随程序的规则，也没有说明它们是在什么上面调的（--tuned-on）",
            "not a result: the rules in force are not the packaged ones, and nothing says what they were chosen on "
            "(--tuned-on)",
        )
    same = [one for one in tuned if (one.seed, one.parameters) == (judged.seed, judged.parameters) and one.seed]
    if same:
        return (
            False,
            f"不是结果：评判用的世界就是调规则用的世界（{same[0].name}，种子 {same[0].seed}）",
            f"not a result: it is judged on what it was tuned on ({same[0].name}, seed {same[0].seed})",
        )
    if not bad:
        return (
            False,
            "不是结果：评判期内没有逾期30天以上的借款企业，只能看工作量",
            "not a result: no borrower went over 30 days past due in the judged window; only the load can be read",
        )
    return True, "结果：评判用的世界与调规则用的世界不同", "a result: judged on another world than it was tuned on"
