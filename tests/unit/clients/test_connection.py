"""Answers matched to requests, without sockets."""

import asyncio
from typing import Any

import pytest

from clients.connection import ClientConnection
from clients.errors import ConnectionLost, Unreachable

HELLO = b'{"event":"hello"}\n'


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection
        self.written = b""
        self.reading = True
        self._ended = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._ended

    def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._connection.connection_lost(None)

    close = abort

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@pytest.fixture
async def connection() -> ClientConnection:
    """A connection whose other end is the test."""
    made = ClientConnection()
    made.connection_made(Wire(made))
    return made


async def test_answers_come_in_the_order_of_requests_however_they_are_cut(connection: ClientConnection) -> None:
    answers = [connection.send_request(b"ping"), connection.send_request(b"[]"), connection.send_request(b"stats")]
    stream = HELLO + b'{"success":true,"n":1}\n{"event":"order.accepted"}\n[]\n{"success":false,"n":2}\n'
    for place in range(len(stream)):
        connection.data_received(stream[place : place + 1])
    assert [answer.result() for answer in answers] == [b'{"success":true,"n":1}', b"[]", b'{"success":false,"n":2}']
    assert await connection.next_event() == b'{"event":"order.accepted"}'


async def test_answer_that_nobody_waits_for_any_more_is_not_given_to_the_next(connection: ClientConnection) -> None:
    connection.data_received(HELLO)
    given_up, waiting = connection.send_request(b"1"), connection.send_request(b"2")
    given_up.cancel()
    connection.data_received(b'{"success":true,"n":1}\n{"success":true,"n":2}\n')
    assert waiting.result() == b'{"success":true,"n":2}'


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"7\n",
        b"\xff\n",
        b'{"neither":1}\n',
        # The server gives up a silent connection just when a request is on its way to it.
        b'{"success":false,"error":"timeout","message":"nothing was sent for 300 s"}\n',
    ],
)
async def test_line_that_answers_nothing_ends_the_connection(connection: ClientConnection, line: bytes) -> None:
    connection.data_received(HELLO)
    answer = connection.send_request(b"ping")
    connection.data_received(line + b'{"success":true}\n')
    assert not connection.is_open
    with pytest.raises(ConnectionLost):
        await answer
    assert await connection.next_event() is None
    with pytest.raises(ConnectionLost):
        await connection.send_request(b"ping")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"success":false,"error":"unavailable","message":"too many"}\n', "too many"),
        (b"SSH-2.0-OpenSSH\n", "ended before the greeting"),
        (b"[]\n", "no order intake"),
    ],
)
async def test_no_greeting_tells_why(connection: ClientConnection, line: bytes, reason: str) -> None:
    connection.data_received(line)
    with pytest.raises(Unreachable, match=reason):
        await connection.hello


async def test_events_that_are_not_taken_stop_the_reading(connection: ClientConnection) -> None:
    wire = connection._transport
    assert isinstance(wire, Wire)
    connection.data_received(HELLO + b'{"event":"x"}\n' * 1000)
    assert wire.reading
    connection.data_received(b'{"event":"x"}\n')
    assert not wire.reading
    await connection.next_event()
    assert wire.reading


async def test_what_is_asked_in_one_turn_goes_out_in_one_write(connection: ClientConnection) -> None:
    connection.data_received(HELLO)
    wire = connection._transport
    assert isinstance(wire, Wire)
    connection.send_request(b"1")
    connection.send_request(b"2")
    assert wire.written == b""
    await asyncio.sleep(0)
    assert wire.written == b"\n1\n2\n", "an empty line first: the connection is kept"
    connection.send_request(b"3")
    connection.close()
    assert wire.written == b"\n1\n2\n3\n"


async def test_each_request_has_its_own_deadline(connection: ClientConnection) -> None:
    connection.data_received(HELLO)
    now = connection.read_clock()
    late = connection.send_request(b"1", now + 60)
    early = connection.send_request(b"2", now)
    forever = connection.send_request(b"3")
    connection._expire_requests()
    assert isinstance(early.exception(), TimeoutError)
    assert not late.done()
    # The answer to the request that was given up is still its own.
    connection.data_received(b'{"success":true,"n":1}\n{"success":true,"n":2}\n{"success":true,"n":3}\n')
    assert late.result() == b'{"success":true,"n":1}'
    assert forever.result() == b'{"success":true,"n":3}'
