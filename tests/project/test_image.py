"""The image, made without Docker: of exactly the files that it lets in, by the commands of its Dockerfile.

What its lock installs is linked from this environment, so that nothing is fetched and nothing else can be imported.
"""

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.ports import free_port
from streams.score.version import engine_version
from streams.seal import key_files
from streams.worker.roles import ROLES
from tests.patience import patience_s
from tests.project.image import Stage, copy, entrypoint, let_in, stages
from tests.project.tree import ROOT, packages, rooms, shipped, tracked

OPS = ROOT / "config" / "ops"
DOCKERFILE, IGNORE_FILE = OPS / "Dockerfile", OPS / "Dockerfile.dockerignore"  # Docker takes it by this name
BUILD, FINAL = stages(DOCKERFILE)
# Every role is built, as `xinliu worker` does it before it asks for a broker.
ROLES_ARE_BUILT = """
import sys
from pathlib import Path
from config.settings import load
from streams.worker.roles import ROLES, build
settings = load(Path(sys.argv[1]))
for role in ROLES:
    print(role, type(build(role, settings)).__module__)
"""
HELP_OF_EACH = """
import contextlib, sys
from cli.main import main
for verb in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        main([verb, "--help"])
"""
MODULES_OUTSIDE = """
import sys
for name in sys.argv[2:]:
    file = __import__(name, fromlist=["_"]).__file__
    if not file.startswith(sys.argv[1]):
        print(name, file)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The built image, its writable folders, and the environment of its programs."""

    prefix: Path
    folder: Path
    environ: dict[str, str]

    def run(self, *argv: str | Path) -> str:
        """Return the output of a program of the image; it must end with 0."""
        words = [self.prefix / "bin" / argv[0], *argv[1:]]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=self.folder, env=self.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    context, work, prefix = folder / "context", folder / "work", folder / "opt" / "xinliu"
    for name in let_in(IGNORE_FILE, tracked()):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_bytes((ROOT / name).read_bytes())
    work.mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("XINLIU_", "PIP_", "PYTHON"))}
    environ = {**clean, "PIP_NO_INDEX": "1", "XINLIU_CACHE": str(folder / "cache"), "LC_ALL": "C.UTF-8"}
    for instruction, rest in BUILD.instructions:
        match instruction:
            case "COPY":
                copy(rest, context, work)
            case "RUN":
                _run(rest, work, prefix, environ)
            case "WORKDIR":
                assert rest.startswith("/")
            case _:
                pytest.fail(f"{DOCKERFILE.name}: this test does not know {instruction}")
    (copied,) = FINAL.of("COPY")
    assert copied == f"--from={BUILD.name} /opt/xinliu /opt/xinliu"
    return Image(prefix=prefix, folder=work.parent, environ=environ)


def test_the_ignore_file_lets_in_no_secret_and_nothing_that_is_not_shipped() -> None:
    offered = [*tracked(), ".env", "token.key", ".git/config", ".venv/bin/python", "cli/__pycache__/main.pyc"]
    taken = let_in(IGNORE_FILE, offered)
    assert not set(taken) & set(offered[-5:])
    assert sorted({name.split("/")[0] for name in taken if "/" in name}) == rooms()


def test_it_holds_every_module_and_every_table(image: Image) -> None:
    (site,) = (image.prefix / "lib").glob("python*/site-packages")
    for name in shipped():
        assert (site / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert not image.run("python", "-c", MODULES_OUTSIDE, str(site), *packages()), "not the image's own"


def test_it_starts(image: Image) -> None:
    (start,) = entrypoint(FINAL)
    assert (
        image.run(start, "--version") == f"xinliu {importlib.metadata.version('xinliu')} (engine {engine_version()})\n"
    )
    said = image.run(start, "--help")
    verbs = re.findall(r"^    ([a-z]+) ", said, re.M)
    assert {"worker", "dashboard", "topics"} <= set(verbs)
    usages = re.findall(rf"^usage: {start} ([a-z]+) ", image.run("python", "-c", HELP_OF_EACH, *verbs), re.M)
    assert usages == verbs


def test_every_role_is_built_from_it(image: Image) -> None:
    key = image.folder / "token.key"
    key.write_text("0123456789abcdef" * 4)
    settings = image.folder / "xinliu.toml"
    seal = key_files(image.folder)["public_key_file"]
    keys = f'[ingest]\ntoken_key_file = "{key}"\n[seal]\npublic_key_file = "{seal}"\n'
    settings.write_text(keys + (OPS / "xinliu.toml").read_text(encoding="utf-8"))
    built = image.run("python", "-c", ROLES_ARE_BUILT, settings).splitlines()
    assert [line.split()[0] for line in built] == list(ROLES)


def test_its_dashboard_serves_the_pages(image: Image, eventually: Callable[..., None]) -> None:
    port, nobody = free_port(), free_port()
    environ = {
        **image.environ,
        "XINLIU_DASHBOARD_PORT": str(port),
        "XINLIU_KAFKA_BOOTSTRAP": f"127.0.0.1:{nobody}",
        "XINLIU_CLICKHOUSE_URL": f"clickhouse://default@127.0.0.1:{nobody}/xinliu",
    }
    out = image.folder / "dashboard.out"
    with out.open("w") as file:
        words = [image.prefix / "bin" / entrypoint(FINAL)[0], "dashboard"]
        process = subprocess.Popen(words, env=environ, cwd=image.folder, stdout=file, stderr=file)
    try:
        address = f"http://127.0.0.1:{port}/"
        eventually(lambda: process.poll() is not None or address in out.read_text(), 60, "the address")
        with urllib.request.urlopen(address, timeout=20) as answer:
            page = answer.read().decode()
        assert "信流" in page
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{asset}", timeout=20) as answer:
                assert answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience_s(30)) == 0, out.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_file_that_the_ignore_file_keeps_out_cannot_be_copied(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x AS build\n# a word\nCOPY a \\\n  b ./\nRUN one && \\\n  two\nFROM y\n")
    (tmp_path / "ignored").write_text("*\n!a\n!rooms\n**/__pycache__\nrooms/*/secret.?xt\n")
    build, final = stages(tmp_path / "Dockerfile")
    assert (build.name, final.instructions) == ("build", ())
    assert build == Stage(name="build", instructions=(("COPY", "a    b ./"), ("RUN", "one &&    two")))
    files = ["a", "b", "rooms/one/x.py", "rooms/one/__pycache__/x.pyc", "rooms/one/secret.txt", "rooms/secret.txt"]
    assert let_in(tmp_path / "ignored", files) == ["a", "rooms/one/x.py", "rooms/secret.txt"]
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a").write_text("a")
    with pytest.raises(ValueError, match="lets no b into the context"):
        copy(build.of("COPY")[0], tmp_path / "context", tmp_path / "work")


def _run(line: str, work: Path, prefix: Path, environ: dict[str, str]) -> None:
    """Run one `RUN` in the image's folders; packages that a lock would fetch are linked from this environment."""
    if (lock := re.search(r"pip install .*--require-hashes -r (\S+)$", line)) is not None:
        _link_locked(work / lock[1], next((prefix / "lib").glob("python*/site-packages")))
        return
    command = re.sub(r"^python ", f"{sys.executable} ", line).replace("/opt/xinliu", str(prefix))
    done = subprocess.run(["sh", "-c", command], cwd=work, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"RUN {line}\n{done.stdout}{done.stderr}"


def _link_locked(lock: Path, site: Path) -> None:
    """Link the packages that a lock names, and nothing else of this environment, into another one."""
    for name in sorted(set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(encoding="utf-8"), re.M))):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform or Python: its line has a marker
        for part in {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            place = site / part
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)  # an older one, which came with the new environment as pip did
            if not place.exists():
                place.symlink_to(Path(str(distribution.locate_file(part))).resolve())
