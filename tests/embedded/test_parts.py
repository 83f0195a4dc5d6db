import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic

from embedded import Parts, StateDirectoryBusy
from embedded.parts import hold
from tests.patience import patience_s
from tests.processes import is_gone

HOLDER = """
import sys, time
from pathlib import Path
from embedded import Parts
with Parts(Path(sys.argv[1]), heap="256m") as parts:
    print(parts.kafka.address, parts.redis.url, parts.kafka.child.pid, parts.redis.child.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_an_ended_owner_leaves_no_process_and_the_next_start_continues(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    argv, addresses = [sys.executable, "-c", HOLDER, str(tmp_path)], set()
    for kept, end in enumerate((signal.SIGINT, signal.SIGKILL)):
        with (
            subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner,
            ExitStack() as owner_ends,
        ):
            owner_ends.callback(owner.kill)
            assert owner.stdout is not None
            address, url, *pids = owner.stdout.readline().split()
            addresses.add((address, url))
            admin = AdminClient({"bootstrap.servers": address})  # lives until its answer is there
            admin.create_topics([NewTopic(f"kept{kept}", 3, 1)])[f"kept{kept}"].result(30)
            with redis.Redis.from_url(url) as client:
                client.set(f"kept{kept}", "too")
            with pytest.raises(StateDirectoryBusy, match=f"{tmp_path} is in use by process {owner.pid}"):
                hold(tmp_path)
            owner.send_signal(end)
            owner.wait(patience_s(30))
        for pid in map(int, pids):
            eventually(lambda pid=pid: is_gone(pid), 5.0, f"the end of process {pid}")
    with Parts(tmp_path, heap="256m") as parts:
        assert addresses == {(parts.kafka.address, parts.redis.url)}
        topics = AdminClient({"bootstrap.servers": parts.kafka.address}).list_topics(timeout=10).topics
        assert [len(topics[f"kept{kept}"].partitions) for kept in range(2)] == [3, 3]
        with redis.Redis.from_url(parts.redis.url) as client:
            assert client.mget("kept0", "kept1") == [b"too", b"too"]


def test_a_part_that_does_not_start_takes_the_others_with_it(tmp_path: Path) -> None:
    parts = Parts(tmp_path, heap="nonsense")
    with pytest.raises(RuntimeError, match="Invalid maximum heap size"):
        parts.__enter__()
    assert parts.redis.child.returncode == 0
    hold(tmp_path).close()


def test_a_directory_that_was_let_go_can_be_taken_again(tmp_path: Path) -> None:
    hold(tmp_path).close()
    with hold(tmp_path):
        assert (tmp_path / "lock").read_text().split() == [str(os.getpid())]
