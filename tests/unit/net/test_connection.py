"""The life of one connection, without sockets: what a transport of the test is told."""

import asyncio
from typing import Any

import pytest

from shared.domain.errors import Unavailable
from shared.net.connection import Connection, Service
from shared.net.limits import Limits, LimitSettings
from shared.wire.framing import Frame

ONE_SHOT_SECONDS = 0.01


class Transport:
    """Takes what is written, and remembers the end of the stream."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = asyncio.Event()
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.ended.is_set():
            raise RuntimeError("Cannot call write() after write_eof()")
        self.written += data

    def write_eof(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.closed = True
        self.ended.set()

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 5) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Slow:
    """A service that answers when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def greeting(self) -> bytes:
        return b""

    def block(self, connection: Connection, block: bytes) -> int:
        return 0

    def frame(self, connection: Connection, frame: Frame) -> None:
        self.asked.set()

    def closed(self, connection: Connection) -> None:
        pass


class Server:
    """What a connection needs of its server."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self.service = service
        self.limits = limits

    def admit(self, connection: Connection) -> Unavailable | None:
        return None

    def release(self, connection: Connection) -> None:
        pass


def limits(**settings: Any) -> Limits:
    return LimitSettings(one_shot_seconds=ONE_SHOT_SECONDS, **settings).build_limits(
        document_bytes=1000, open_files=1000
    )


@pytest.mark.parametrize("observes", [True, False])
async def test_the_time_of_a_one_shot_client_waits_for_what_is_in_flight(observes: bool) -> None:
    loop = asyncio.get_running_loop()
    service, transport = Slow(), Transport()
    connection = Connection(Server(service, limits()), loop)
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b'{"action":"watch"}')
    await service.asked.wait()
    # Its store takes longer than the client's time.
    passed = loop.create_future()
    loop.call_later(3 * ONE_SHOT_SECONDS, passed.set_result, None)
    await passed
    assert not transport.ended.is_set()
    connection.answer(b"{}\n")
    connection.observing = observes
    if observes:
        for _ in range(3):
            await asyncio.sleep(0)
        assert not transport.ended.is_set()
        connection.send(b"event\n")
        assert transport.written == b"{}\nevent\n"
    else:
        await transport.ended.wait()
        assert transport.written == b"{}\n"


async def test_a_client_that_asks_again_is_no_one_shot_client() -> None:
    loop = asyncio.get_running_loop()
    service, transport = Slow(), Transport()
    connection = Connection(Server(service, limits()), loop)
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b'{"action":"ping"}')
    passed = loop.create_future()
    loop.call_later(3 * ONE_SHOT_SECONDS, passed.set_result, None)
    await passed
    connection.data_received(b'\n{"action":"ping"}\n')
    connection.answer(b"{}\n", 2)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not transport.ended.is_set()


async def test_an_observer_that_is_finished_gets_no_more_events() -> None:
    """A service may send events until the peer, which has said `quit`, ends its side too."""
    loop = asyncio.get_running_loop()
    connection, transport = Connection(Server(Slow(), limits()), loop), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b"watch\nquit\n")
    connection.observing = True
    connection.finish()
    connection.send(b"event\n")
    connection.answer(b"{}\n{}\n", 2)
    connection.send(b"event\n")
    assert transport.written == b"event\n{}\n{}\n"
    assert (transport.ended.is_set(), transport.closed) == (True, False)
    connection.eof_received()
    assert transport.closed


PING = b'{"action":"ping"}\n'


@pytest.mark.parametrize(
    ("parts", "at_once", "ends"),
    [
        pytest.param([PING], True, True, id="echo into nc"),
        pytest.param([PING, PING], True, True, id="a file into nc"),
        pytest.param([], True, False, id="nothing yet"),
        pytest.param([b"\n" + PING], True, False, id="an empty line first"),
        pytest.param([PING], False, False, id="a person who types"),
    ],
)
async def test_a_pipe_that_is_silent_gets_the_end_of_the_stream(parts: list[bytes], at_once: bool, ends: bool) -> None:
    loop = asyncio.get_running_loop()
    # Whatever comes within an hour came at once, or nothing did.
    settings = LimitSettings(one_shot_seconds=3600 if at_once else 1e-9, piped_seconds=1)
    server = Server(Slow(), settings.build_limits(document_bytes=1000, open_files=1000))
    connection, transport = Connection(server, loop), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    for part in parts:
        connection.data_received(part)
    connection.sweep(loop.time() + 2)
    assert not transport.ended.is_set(), "nothing is cut while an answer is owed"
    for _ in parts:
        connection.answer(b"{}\n")
    connection.sweep(loop.time() + 2)
    assert transport.ended.is_set() is ends


async def test_a_connection_that_is_idle_is_told_before_its_stream_ends() -> None:
    loop = asyncio.get_running_loop()
    connection, transport = Connection(Server(Slow(), limits(idle_seconds=5)), loop), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.sweep(loop.time() + 6)
    assert b"nothing was sent for 5 s" in transport.written
    assert transport.ended.is_set()


async def test_silence_in_the_middle_of_a_document_is_not_the_end_of_a_pipe() -> None:
    loop = asyncio.get_running_loop()
    settings = LimitSettings(one_shot_seconds=3600, piped_seconds=1, stall_seconds=60)
    server = Server(Slow(), settings.build_limits(document_bytes=1000, open_files=1000))
    connection, transport = Connection(server, loop), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(PING[:8])
    connection.sweep(loop.time() + 30)
    assert not transport.ended.is_set()
    connection.data_received(PING[8:])
    connection.answer(b"{}\n")
    connection.sweep(loop.time() + 30)
    assert transport.ended.is_set()
