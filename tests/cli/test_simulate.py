"""`xinliu simulate`: the same bytes for a seed, sent once, into topics that hold nothing else."""

import signal
import subprocess
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest

from cli.main import main
from config.settings import KafkaSettings, Settings, load
from replay.province.population import Population
from replay.province.source import Province
from streams.topics import create_topics
from tests.cli.kit import settings_file, xinliu
from tests.patience import patience_s
from tests.reading import read

SIZE = ("--banks", "2", "--enterprises", "6", "--months", "1", "--until", "2025-03-01")
POPULATION = Population(banks=2, enterprises=6, months=1, until=date(2025, 3, 1))


@pytest.fixture
def site(empty_kafka: str, tmp_path: Path) -> Path:
    """A broker with the topics of two simulated banks; the settings file."""
    banks = Province(POPULATION).banks
    settings = Settings(kafka=KafkaSettings(bootstrap=empty_kafka, log_partitions=1), banks=banks)
    create_topics(settings)
    return settings_file(tmp_path, settings)


def held(site: Path) -> dict[str, list[bytes]]:
    bootstrap = load(site, {}).kafka.bootstrap
    return {topic: [record.value for record in read(bootstrap, topic)] for topic in wanted()}


def wanted(population: Population = POPULATION) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for one in Province(population).deliveries():
        found.setdefault(one.topic, []).append(msgspec.json.encode(one.event))
    return found


def test_a_seed_is_sent_once_and_nothing_is_mixed_into_it(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(site), "simulate", *SIZE]) == 0
    assert held(site) == wanted()
    assert len(wanted()) == 3, "two banks and the gateway"
    assert main(["--config", str(site), "simulate", *SIZE]) == 0
    assert held(site) == wanted(), "sent once"
    capsys.readouterr()
    assert main(["--config", str(site), "simulate", *SIZE, "--seed", "5"]) == 1
    assert "another source" in capsys.readouterr().err
    assert held(site) == wanted()


def test_an_interrupted_call_is_gone_on_with(site: Path, tmp_path: Path, eventually: Callable[..., None]) -> None:
    argv, environment = xinliu("--config", site, "simulate", *SIZE, "--speed", "86400x")
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out)
    try:
        eventually(lambda: sum(map(len, held(site).values())) >= 30 or process.poll() is not None, 60, "the first ones")
        process.send_signal(signal.SIGINT)
        assert process.wait(patience_s(60)) == 130, (tmp_path / "out").read_text()
    finally:
        process.kill()
        process.wait()
    some = {topic: len(values) for topic, values in held(site).items()}
    all_ = {topic: len(values) for topic, values in wanted().items()}
    assert 30 <= sum(some.values()) < sum(all_.values()), "a day takes a second: it cannot have been all"
    assert main(["--config", str(site), "simulate", *SIZE]) == 0
    assert held(site) == wanted()


def test_banks_that_are_not_set_are_named_and_their_entries_printed(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(site), "simulate", "--banks", "4", *SIZE[2:]]) == 2
    said = capsys.readouterr().err
    assert "Z9000000000003" in said
    assert "Z9000000000002" not in said
    (tmp_path / "four.toml").write_text("banks = 4\n")
    assert main(["simulate", "--banks-toml", "--population", str(tmp_path / "four.toml")]) == 0
    entries = capsys.readouterr().out
    assert Counter(bank["bank_id"] for bank in tomllib.loads(entries)["banks"]) == Counter(
        f"Z900000000000{n}" for n in range(1, 5)
    )
    (tmp_path / "banks.toml").write_text(entries)
    assert len(load(tmp_path / "banks.toml", {}).banks) == 4


@pytest.mark.parametrize("words", [("--banks", "0"), ("--months", "85"), ("--enterprises", "0")])
def test_numbers_out_of_bounds_are_exit_code_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *words]) == 2
    assert "not 1 to" in capsys.readouterr().err
