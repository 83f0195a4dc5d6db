"""The command's help: in the locale's language, with an example and its exit codes."""

import re
import subprocess
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import pytest

from cli.main import VERBS, main, module_of
from cli.words import is_chinese, span_text, time_text

ROOT = Path(__file__).resolve().parents[2]
CHINESE = re.compile("[\u4e00-\u9fff]")


def help_of(verb: str, lang: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", lang)
    with pytest.raises(SystemExit) as ended:
        main([*([verb] if verb else []), "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_says_what_it_does_with_an_example_and_its_exit_codes(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    english = help_of(verb, "en_US.UTF-8", capsys, monkeypatch)
    assert f"xinliu {verb}" in english or f"{verb} " in english.split("Example:")[1]
    assert re.search(r"Exit codes: 0 .*2 ", english, re.S), english
    chinese = help_of(verb, "zh_CN.UTF-8", capsys, monkeypatch)
    assert import_module(module_of(verb)).ZH.splitlines()[0] in chinese
    assert "例：" in chinese
    assert re.search(r"退出码：0 .*2 ", chinese, re.S), chinese
    codes = [set(re.findall(r"(?<![\w.-])(\d{1,3}) ", text.split(mark)[1].split("\n\n")[0]))
             for text, mark in ((english, "Exit codes:"), (chinese, "退出码："))]  # fmt: skip
    assert codes[0] == codes[1], "both say the same codes"


@pytest.mark.parametrize("before", [[], ["--config", "nowhere"]])
def test_a_call_imports_its_own_verb_alone(before: list[str]) -> None:
    said = f"import sys; from cli.main import main; main({[*before, 'rules', 'none']!r})"
    at_exit = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules))); "
    done = subprocess.run([sys.executable, "-c", at_exit + said], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    modules = set(done.stdout.split())
    assert "cli.rules" in modules
    assert not modules & {"numba", *(module_of(verb) for verb in VERBS if verb != "rules")}


def test_each_file_of_a_verb_is_a_verb_of_the_command() -> None:
    modules = {f"cli.{path.stem}" for path in (ROOT / "cli").glob("*.py") if "def add_arguments(" in path.read_text()}
    assert modules == set(map(module_of, VERBS))


def test_the_list_of_verbs_is_in_the_locales_language(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "一屏说明引擎是否正常" in help_of("", "zh_CN.UTF-8", capsys, monkeypatch)
    english = help_of("", "de_DE.UTF-8", capsys, monkeypatch)
    assert "whether the engine is healthy" in english
    assert not CHINESE.search(english.replace("信流", ""))


@pytest.mark.parametrize(
    ("environ", "chinese"),
    [
        ({}, False), ({"LANG": "zh_CN.UTF-8"}, True), ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C", "LC_ALL": "zh_TW"}, True), ({"LANG": "en_US", "LC_MESSAGES": "zh_CN"}, True),
        ({"LC_ALL": "", "LANG": "zh"}, True),
    ],
)  # fmt: skip
def test_the_locale_is_read_as_posix_reads_it(environ: dict[str, str], chinese: bool) -> None:
    assert is_chinese(environ) == chinese


def test_times_are_of_the_business_zone() -> None:
    assert time_text(0) == "1970-01-01 08:00:00"
    assert [span_text(s) for s in (0, 59, 60, 3_661, 90_000)] == ["0s", "59s", "1m", "1h 1m", "1d 1h"]


def commands_of_the_runbook() -> list[str]:
    found = []
    for page in (ROOT / "docs/运维手册").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        blocks = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
        found += [line.split("#")[0].strip() for line in blocks] + re.findall(r"`(xinliu [^`]+)`", text)
    return [line for line in found if line.startswith("xinliu ")]


@pytest.mark.parametrize("command", commands_of_the_runbook())
def test_each_command_that_the_runbook_names_is_one(command: str) -> None:
    words = command.split()[1:]
    assert words[0] in VERBS
    parser = ArgumentParser()
    import_module(module_of(words[0])).add_arguments(parser)
    if len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
        assert words[1] in parser.format_usage() + parser.format_help()
    for option in (word for word in words if word.startswith("--")):
        assert option in _whole_help(parser), f"{words[0]} has no {option}"


def _whole_help(parser: ArgumentParser) -> str:
    subs = [sub for action in parser._actions if hasattr(action, "choices") and isinstance(action.choices, dict)
            for sub in action.choices.values()]  # fmt: skip
    return parser.format_help() + "".join(sub.format_help() for sub in subs)


@pytest.mark.parametrize(
    ("words", "english", "chinese"),
    [
        (["tail", "--count", "0"], "'0' is no whole number above zero", "'0' 不是大于零的整数"),
        (["tail", "--count", "many"], "'many' is no whole number above zero", "'many' 不是大于零的整数"),
        (["status", "--look-s", "-1"], "'-1' is no number of seconds", "'-1' 不是秒数"),
        (["status", "--look-s", "nan"], "'nan' is no number of seconds", "'nan' 不是秒数"),
        (["replay", "sample", "--speed", "0x"], "'0x' is neither max nor", "'0x' 既不是 max"),
        (
            ["rules", "make", "x", "--output", "y", "--step", "nan"],
            "'nan' is no number above zero",
            "'nan' 不是大于零的数",
        ),
        (["simulate", "--until", "2025-13-01"], "'2025-13-01' is no date", "'2025-13-01' 不是日期"),
        (["feed", "skip", "x", "--to", "-1"], "'-1' is no whole number from 0", "'-1' 不是 0 到"),
        (["late", "admit", "0", str(2**63)], "is no whole number from 0", "不是 0 到"),
        (["dlq", "show", "x", "0", "x"], "'x' is no whole number from 0", "'x' 不是 0 到"),
        (["backtest", "x", "--seed", "-1"], "'-1' is no whole number from 0", "'-1' 不是 0 到"),
        (["replay", "sample", "--summary", "/"], "--summary: '/': is a folder", "--summary: '/': 是文件夹"),
        (["replay", "sample", "--expected", "/dev/null"], "'/dev/null': is no regular file", "不是普通文件"),
        (["replay", "log", "--outputs", "/dev/null/x"], "/dev/null is no folder", "/dev/null 不是文件夹"),
        (["backtest", "x", "--html", "/"], "--html: '/': is a folder", "--html: '/': 是文件夹"),
        (["simulate", "--out", "/"], "--out: '/': is a folder", "--out: '/': 是文件夹"),
    ],
)
def test_meaningless_values_are_refused_in_the_locales_language(
    words: list[str],
    english: str,
    chinese: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for lang, said in (("C", english), ("zh_CN.UTF-8", chinese)):
        monkeypatch.setenv("LANG", lang)
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_a_sample_takes_no_data(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    for more in ([], ["--in-process"]):
        assert main(["replay", "sample", "--data", "x", *more]) == 2
        assert capsys.readouterr().err == "xinliu: sample takes no --data\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_is_explained_in_chinese_where_the_locale_is_chinese(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    parser = ArgumentParser(add_help=False)
    import_module(module_of(verb)).add_arguments(parser)
    english = [action.help for action in parser._actions if action.help and not CHINESE.search(action.help)]
    assert english == []


def test_an_interruption_is_one_line_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.layout.run", interrupted)
    monkeypatch.setenv("LC_ALL", "C")
    assert main(["layout"]) == 130
    assert capsys.readouterr().err == "xinliu: interrupted\n"


def test_slow_imports_happen_where_an_interruption_is_one_line() -> None:
    code = (
        "import sys, cli.main; print([name for name in ('msgspec', 'numpy', 'numba', 'faust') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--enterprises", "0"], "--enterprises = 0: not 1 to "),
        (["demo", "--banks", "0"], "--banks = 0: not 1 to "),
    ],
)
def test_a_demo_of_nobody_is_refused_by_name(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*words, "--state", str(tmp_path / "state")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
