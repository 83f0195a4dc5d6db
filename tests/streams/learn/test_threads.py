"""A process ends with its exit code while a thread of the learner still works, and does not wait for it."""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, threading
from streams.learn.threads import end_process, in_thread

class Finalized:
    def __del__(self, say=print):
        say("finalized")

kept = Finalized()

async def main(works):
    begun = threading.Event()
    task = asyncio.create_task(in_thread(lambda: (begun.set(), works and threading.Event().wait())))
    await asyncio.to_thread(begun.wait)
    if works:
        task.cancel()
    else:
        await task
        for thread in threading.enumerate():
            if thread.name == "learn":
                thread.join()

asyncio.run(main({works}))
raise SystemExit(end_process(3))
"""


@pytest.mark.parametrize(("works", "said"), [(True, ""), (False, "finalized\n")])
def test_a_process_is_finalized_only_where_no_thread_of_the_learner_works(works: bool, said: str) -> None:
    script = SCRIPT.replace("{works}", str(works))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, said, "")
