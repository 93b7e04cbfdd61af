"""The snapshot of a process, in this process: the signal goes to the thread that waits for it."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from shared.runtime import state_dump
from shared.runtime.state_dump import StateDump

Log = list[MutableMapping[str, Any]]


def send_signal() -> None:
    """Sends SIGUSR2 to the thread that waits for it: other threads of the tests do not block it."""
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "state dump")
    assert thread.ident is not None
    signal.pthread_kill(thread.ident, signal.SIGUSR2)


@asynccontextmanager
async def dumped(dump: StateDump, log: Log) -> AsyncIterator[MutableMapping[str, Any]]:
    """The entry that one signal makes."""
    with dump.on_signal():
        send_signal()
        while not log:
            await asyncio.sleep(0.001)
        yield log.pop()


async def wait_in_vain(token: str) -> None:
    """Waits for ever, with a secret in a local variable."""
    await asyncio.Event().wait()
    del token


async def test_tasks_are_counted_by_the_place_where_they_wait() -> None:
    tasks = [asyncio.create_task(wait_in_vain("s3cret"), name=f"customer {number}") for number in range(200)]
    with capture_logs() as log:
        # Longer than any pause of a busy machine: the loop counts as turning however late it answers.
        dump = StateDump(loop_seconds=60)
        dump.describe = lambda: {"backlog": 3}
        async with dumped(dump, log) as entry:
            assert (entry["event"], entry["event_loop"], entry["backlog"]) == ("state_dump", "turning", 3)
            assert entry["tasks"] > 200
            place = entry["task_places"][0]
            assert (place["count"], len(place["names"])) == (200, 3)
            assert place["at"].startswith("tests/unit/runtime/test_state_dump.py:")
            assert "s3cret" not in str(entry)
    for task in tasks:
        task.cancel()


async def test_places_and_stacks_are_bounded() -> None:
    def recurse(depth: int) -> None:
        if depth:
            recurse(depth - 1)
        else:
            released.wait()

    released = threading.Event()
    threads = [threading.Thread(target=recurse, args=(100,), name="n" * 500) for _ in range(30)]
    for thread in threads:
        thread.start()
    try:
        shown = state_dump.describe_threads()
    finally:
        released.set()
    assert len(shown) == 20
    assert all(len(thread["stack"]) <= 12 and len(thread["name"]) <= 60 for thread in shown)


async def test_a_loop_that_does_not_turn_is_told() -> None:
    with capture_logs() as log:
        dump = StateDump(loop_seconds=0.01)
        dump.describe = lambda: {"backlog": 3}
        with dump.on_signal():
            send_signal()
            while not log:
                time.sleep(0.001)  # noqa: ASYNC251
        (entry,) = log
    assert (entry["event_loop"], entry["backlog"]) == ("stuck", 3)
    (main,) = (thread for thread in entry["threads"] if thread["name"] == threading.current_thread().name)
    assert main["stack"][0].endswith("test_a_loop_that_does_not_turn_is_told")


async def test_a_fault_of_a_description_is_logged_and_the_next_signal_is_answered() -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("changed during iteration")

    with capture_logs() as log:
        dump = StateDump()
        dump.describe = fail
        with dump.on_signal():
            for describe, event in ((fail, "state_dump_failed"), (dict[str, Any], "state_dump")):
                dump.describe = describe
                send_signal()
                while not log:
                    await asyncio.sleep(0.001)
                assert log.pop()["event"] == event
