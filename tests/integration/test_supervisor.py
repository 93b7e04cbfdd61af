"""The supervisor with real servers and real signals."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from services.supervisor import Backoff, Server, Supervisor

# A server that writes its pid, and its name when it is asked to stop.
SERVER = """
import os, pathlib, signal, sys, time
from shared.runtime.parent import PARENT_PID, die_with_parent
die_with_parent(signal.SIGTERM, int(os.environ[PARENT_PID]))
book = pathlib.Path(os.environ["BOOK"])
def note(text):
    with book.open("a") as file:
        file.write(text + "\\n")
def stop(*_):
    note("stopped " + __name__)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note(f"started {__spec__.name} {os.getpid()}")
while True:
    signal.pause()
"""


class Book:
    """What the servers have written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    async def line(self, number: int) -> list[str]:
        """The words of a line, once it is there."""
        while len(lines := self.path.read_text().splitlines()) <= number:
            await asyncio.sleep(0)
        return lines[number].split()


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    for name in ("one", "two"):
        (tmp_path / f"server_{name}.py").write_text(SERVER.replace("__name__", "__spec__.name"))
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")
    made = Book(tmp_path / "book")
    monkeypatch.setenv("BOOK", str(made.path))
    return made


ONE, TWO = Server("one", "server_one"), Server("two", "server_two")


async def test_servers_are_stopped_in_the_reverse_order(book: Book) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor([ONE, TWO], shutdown_seconds=30).run(stop))
    await book.line(1)
    stop.set()
    assert await running == 0
    assert [await book.line(number) for number in (2, 3)] == [["stopped", "server_two"], ["stopped", "server_one"]]


async def test_server_that_is_killed_is_started_again(book: Book) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor([ONE], shutdown_seconds=30).run(stop))
    first = int((await book.line(0))[2])
    os.kill(first, signal.SIGKILL)
    second = int((await book.line(1))[2])
    assert second != first
    stop.set()
    assert await running == 0


async def test_server_that_cannot_start_stops_the_suite(book: Book, tmp_path: Path) -> None:
    (tmp_path / "server_two.py").write_text("import sys; sys.exit(2)")
    running = Supervisor([ONE, TWO], shutdown_seconds=30).run(asyncio.Event())
    assert await running == 2


def test_pause_before_a_restart_doubles_and_is_forgotten_after_health() -> None:
    backoff = Backoff()
    assert [backoff.after(0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(61) == 0.5
