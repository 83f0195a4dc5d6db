"""The cache of jars against a repository of our own on loopback, which jgo finds by its settings file, as a mirror."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from embedded import JarRefused
from embedded.jars import COORDINATES, LEFT_OUT, LOCK, LZ4, class_path, read_lock

CONTENT = {f"part-{n}": bytes([n]) * 50_000 for n in range(4)}


class Repository:
    """Serves CONTENT as org.example:part-N:1.0; `break_off` transfers end half-way, `hold` makes them wait there."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.content = dict(CONTENT)
        self.break_off = 0
        self.half_sent: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository._answer(self)

            def log_message(self, *_words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.split("/")[-3]
        if not request.path.endswith(".jar") or name not in self.content:
            request.send_error(404)
            return
        self.asked.append(name)
        body = self.content[name]
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])
        request.wfile.flush()
        self.half_sent.append(name)
        self.go_on.wait(30)
        if self.break_off:
            self.break_off -= 1
            return
        try:
            request.wfile.write(body[len(body) // 2 :])
        except ConnectionError:
            assert not self.go_on.is_set() or name  # the fetcher was killed meanwhile


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository()
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    for name in (".jgorc", ".config/jgo.conf"):
        (home / name).write_text(f"[repositories]\ncentral = {served.url}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    threading.Thread(target=served.http.serve_forever, daemon=True).start()
    yield served
    served.go_on.set()
    served.http.shutdown()
    served.http.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "test.lock"
    path.write_text("# a comment\n" + "".join(f"org.example:{n}:1.0 {sha256(c)}\n" for n, c in CONTENT.items()))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != ".lock")


def test_the_lock_pins_what_we_run_and_names_no_address() -> None:
    text = LOCK.read_text()
    pinned = {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in read_lock()}
    assert pinned >= set(COORDINATES)
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in read_lock())
    assert len({jar.file for jar in read_lock()}) == len(read_lock())
    assert "//" not in text
    assert {f"{jar.group}:{jar.artifact}" for jar in read_lock()}.isdisjoint(LEFT_OUT)
    lz4 = [jar for jar in read_lock() if jar.artifact == "lz4-java"]
    assert [(jar.group, jar.version) for jar in lz4] == [("at.yawk.lz4", LZ4)], "1.8.0 reads out of bounds"


def test_a_line_that_is_no_jar_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.lock").write_text("# fine\norg.example:part\n")
    with pytest.raises(ValueError, match=r"bad\.lock:2"):
        read_lock(tmp_path / "bad.lock")


def test_a_full_cache_needs_no_network(repository: Repository, lock: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = class_path(lock=lock, cache=tmp_path / "cache", on_progress=said.append)
    assert [path.read_bytes() for path in first] == list(CONTENT.values())
    assert len(said) == len(CONTENT)
    assert sorted(repository.asked) == sorted(CONTENT)
    repository.http.shutdown()
    repository.http.server_close()
    assert class_path(lock=lock, cache=tmp_path / "cache", on_progress=said.append) == first
    assert len(said) == len(CONTENT)


def test_a_fetched_jar_with_another_hash_is_refused_by_name(repository: Repository, lock: Path, tmp_path: Path) -> None:
    repository.content["part-2"] = b"not what was locked"
    with pytest.raises(JarRefused) as refusal:
        class_path(lock=lock, cache=tmp_path / "cache")
    assert "part-2-1.0.jar" in str(refusal.value)
    assert sha256(b"not what was locked") in str(refusal.value)
    assert sha256(CONTENT["part-2"]) in str(refusal.value)
    assert "part-2-1.0.jar" not in left_in(tmp_path / "cache")


def test_a_jar_that_the_lock_does_not_name_is_refused(repository: Repository, lock: Path, tmp_path: Path) -> None:
    first = class_path(lock=lock, cache=tmp_path / "cache")
    (first[0].parent / "foreign-9.jar").write_bytes(b"foreign")
    with pytest.raises(JarRefused, match=rf"foreign-9\.jar.*{sha256(b'foreign')}.*no hash"):
        class_path(lock=lock, cache=tmp_path / "cache")


def test_a_damaged_cache_is_completed_not_trusted(repository: Repository, lock: Path, tmp_path: Path) -> None:
    first = class_path(lock=lock, cache=tmp_path / "cache")
    first[0].write_bytes(CONTENT["part-0"][:100])
    first[3].unlink()
    repository.asked.clear()
    class_path(lock=lock, cache=tmp_path / "cache")
    assert sorted(repository.asked) == ["part-0", "part-3"]
    assert [path.read_bytes() for path in first] == list(CONTENT.values())


def test_transfers_that_break_off_are_tried_again(repository: Repository, lock: Path, tmp_path: Path) -> None:
    repository.break_off = 2
    paths = class_path(lock=lock, cache=tmp_path / "cache")
    assert repository.break_off == 0
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_fetch_that_is_ended_leaves_no_half_written_jar(
    repository: Repository, lock: Path, tmp_path: Path, end: signal.Signals, eventually: Callable[..., None]
) -> None:
    repository.go_on.clear()
    script = "import sys; from pathlib import Path; from embedded.jars import class_path; "
    script += "class_path(lock=Path(sys.argv[1]), cache=Path(sys.argv[2]))"
    argv = [sys.executable, "-c", script, str(lock), str(tmp_path / "cache")]
    with subprocess.Popen(argv, env=dict(os.environ), stderr=subprocess.DEVNULL) as fetch:
        eventually(lambda: set(repository.half_sent) == set(CONTENT), 60, "half of each jar")
        assert list((tmp_path / "cache").rglob(".fetching-*"))
        fetch.send_signal(end)
        if end is signal.SIGINT:
            repository.go_on.set()
    repository.go_on.set()
    assert fetch.returncode == -end
    whole = {f"{name}-1.0.jar": content for name, content in CONTENT.items()}
    for path in (tmp_path / "cache").glob("kafka/*/*.jar"):
        assert path.read_bytes() == whole[path.name]
    if end is signal.SIGINT:
        assert not list((tmp_path / "cache").rglob(".fetching-*"))
    class_path(lock=lock, cache=tmp_path / "cache")
    assert left_in(tmp_path / "cache") == sorted(whole)
