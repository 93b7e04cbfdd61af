"""The supervisor with real servers and real signals."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.supervisor import RestartBackoff, ServerProcess, Supervisor
from tests.support.intake import LOOK_SECONDS

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
            await asyncio.sleep(LOOK_SECONDS)
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


ONE, TWO = ServerProcess("one", "server_one"), ServerProcess("two", "server_two")


async def test_server_that_stops_later_is_asked_once_the_others_have_ended(book: Book) -> None:
    stop = asyncio.Event()
    late = ServerProcess("one", "server_one", stop_at=0.9)
    running = asyncio.create_task(Supervisor([late, TWO], shutdown_seconds=3600).run(stop))
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


async def test_servers_that_are_ready_are_known_by_their_process_ids(book: Book, tmp_path: Path) -> None:
    announce = "from shared.runtime.parent import announce_ready\nannounce_ready('here')\n"
    (tmp_path / "server_one.py").write_text(announce + SERVER.replace("__name__", "__spec__.name"))
    stop = asyncio.Event()
    supervisor = Supervisor([ONE, TWO], shutdown_seconds=30)
    running = asyncio.create_task(supervisor.run(stop))
    pids = {name: int(pid) for _, name, pid in [await book.line(0), await book.line(1)]}
    while not supervisor.find_ready_servers():
        await asyncio.sleep(LOOK_SECONDS)
    assert supervisor.find_ready_servers() == [pids["server_one"]]
    os.kill(pids["server_one"], signal.SIGKILL)
    while supervisor.find_ready_servers() == [pids["server_one"]]:
        await asyncio.sleep(LOOK_SECONDS)
    stop.set()
    assert await running == 0


async def test_server_that_cannot_start_stops_the_suite(book: Book, tmp_path: Path) -> None:
    (tmp_path / "server_two.py").write_text("import sys; sys.exit(2)")
    running = Supervisor([ONE, TWO], shutdown_seconds=30).run(asyncio.Event())
    assert await running == 2


def test_pause_before_a_restart_doubles_and_is_forgotten_after_health() -> None:
    backoff = RestartBackoff()
    assert [backoff.next_delay(0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.next_delay(61) == 0.5


# A server that writes which signal reaches it, and ends at none but SIGKILL.
STUBBORN = """
import os, pathlib, signal
from shared.runtime.parent import PARENT_PID, die_with_parent
die_with_parent(signal.SIGKILL, int(os.environ[PARENT_PID]))
def note(text):
    with pathlib.Path(os.environ["BOOK"]).open("a") as file:
        file.write(text + "\\n")
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda got, _: note(f"{signal.Signals(got).name} {__spec__.name}"))
note(f"started {__spec__.name} {os.environ['SHUTDOWN_SECONDS']}")
while True:
    signal.pause()
"""


async def test_servers_of_one_turn_are_stopped_side_by_side_within_the_whole_time(book: Book, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"server_{name}.py").write_text(STUBBORN)
    stop = asyncio.Event()
    seconds = 2.0
    running = asyncio.create_task(Supervisor([ONE, TWO], shutdown_seconds=seconds).run(stop))
    await book.line(1)
    began = asyncio.get_running_loop().time()
    stop.set()
    assert sorted([await book.line(number) for number in (2, 3)]) == [
        ["SIGTERM", "server_one"],
        ["SIGTERM", "server_two"],
    ]
    assert await running == 0
    assert asyncio.get_running_loop().time() - began < 2 * seconds


async def test_server_that_stops_later_is_asked_when_its_time_comes_and_knows_how_much_is_left(
    book: Book, tmp_path: Path
) -> None:
    (tmp_path / "server_two.py").write_text(STUBBORN)
    stop = asyncio.Event()
    late = ServerProcess("one", "server_one", stop_at=0.5, stop_by=0.75)
    running = asyncio.create_task(Supervisor([late, TWO], shutdown_seconds=2).run(stop))
    started = [await book.line(number) for number in (0, 1)]
    assert ["started", "server_two", "2"] in started
    stop.set()
    assert [await book.line(number) for number in (2, 3)] == [["SIGTERM", "server_two"], ["stopped", "server_one"]]
    assert await running == 0


async def test_a_second_signal_ends_servers_at_once(book: Book, tmp_path: Path) -> None:
    (tmp_path / "server_two.py").write_text(STUBBORN)
    stop = asyncio.Event()
    late = ServerProcess("one", "server_one", stop_at=0.9)
    running = asyncio.create_task(Supervisor([late, TWO], shutdown_seconds=3600).run(stop))
    await book.line(1)
    stop.set()
    assert await book.line(2) == ["SIGTERM", "server_two"]
    running.cancel()
    assert await book.line(3) == ["SIGINT", "server_two"]
    assert await running == 0


# A server that says that it is ready.
ANNOUNCING = SERVER.replace("__name__", "__spec__.name").replace(
    "while True",
    "from shared.runtime.parent import announce_ready\nannounce_ready(__spec__.name + ':1')\nwhile True",
)


async def test_supervisor_says_once_that_all_are_ready(book: Book, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"server_{name}.py").write_text(ANNOUNCING)
    stop = asyncio.Event()
    with capture_logs() as written:
        running = asyncio.create_task(Supervisor([ONE, TWO], shutdown_seconds=30).run(stop))
        while "ready" not in [entry["event"] for entry in written]:
            await asyncio.sleep(LOOK_SECONDS)
        os.kill(next(entry["pid"] for entry in written if entry.get("server") == "one"), signal.SIGKILL)
        await book.line(2)
        stop.set()
        assert await running == 0
    (ready,) = [entry for entry in written if entry["event"] == "ready"]
    assert (ready["one"], ready["two"]) == ("server_one:1", "server_two:1")
