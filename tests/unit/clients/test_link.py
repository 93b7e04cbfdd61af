"""Answers matched to requests, without sockets."""

import asyncio
from typing import Any

import pytest

from clients.errors import ConnectionLost, Unreachable
from clients.link import Link

HELLO = b'{"event":"hello"}\n'


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
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
            self._link.connection_lost(None)

    close = abort

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@pytest.fixture
async def link() -> Link:
    """A link whose other end is the test."""
    made = Link()
    made.connection_made(Wire(made))
    return made


async def test_answers_come_in_the_order_of_requests_however_they_are_cut(link: Link) -> None:
    answers = [link.request(b"ping"), link.request(b"[]"), link.request(b"stats")]
    stream = HELLO + b'{"success":true,"n":1}\n{"event":"order.accepted"}\n[]\n{"success":false,"n":2}\n'
    for place in range(len(stream)):
        link.data_received(stream[place : place + 1])
    assert [answer.result() for answer in answers] == [b'{"success":true,"n":1}', b"[]", b'{"success":false,"n":2}']
    assert await link.event() == b'{"event":"order.accepted"}'


async def test_answer_that_nobody_waits_for_any_more_is_not_given_to_the_next(link: Link) -> None:
    link.data_received(HELLO)
    given_up, waiting = link.request(b"1"), link.request(b"2")
    given_up.cancel()
    link.data_received(b'{"success":true,"n":1}\n{"success":true,"n":2}\n')
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
async def test_line_that_answers_nothing_ends_the_connection(link: Link, line: bytes) -> None:
    link.data_received(HELLO)
    answer = link.request(b"ping")
    link.data_received(line + b'{"success":true}\n')
    assert not link.open
    with pytest.raises(ConnectionLost):
        await answer
    assert await link.event() is None
    with pytest.raises(ConnectionLost):
        await link.request(b"ping")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"success":false,"error":"unavailable","message":"too many"}\n', "too many"),
        (b"SSH-2.0-OpenSSH\n", "ended before the greeting"),
        (b"[]\n", "no order intake"),
    ],
)
async def test_no_greeting_tells_why(link: Link, line: bytes, reason: str) -> None:
    link.data_received(line)
    with pytest.raises(Unreachable, match=reason):
        await link.hello


async def test_events_that_are_not_taken_stop_the_reading(link: Link) -> None:
    wire = link._transport
    assert isinstance(wire, Wire)
    link.data_received(HELLO + b'{"event":"x"}\n' * 1000)
    assert wire.reading
    link.data_received(b'{"event":"x"}\n')
    assert not wire.reading
    await link.event()
    assert wire.reading


async def test_what_is_asked_in_one_turn_goes_out_in_one_write(link: Link) -> None:
    link.data_received(HELLO)
    wire = link._transport
    assert isinstance(wire, Wire)
    link.request(b"1")
    link.request(b"2")
    assert wire.written == b""
    await asyncio.sleep(0)
    assert wire.written == b"\n1\n2\n", "an empty line first: the connection is kept"
    link.request(b"3")
    link.close()
    assert wire.written == b"\n1\n2\n3\n"


async def test_each_request_has_its_own_deadline(link: Link) -> None:
    link.data_received(HELLO)
    now = link.now()
    late = link.request(b"1", now + 60)
    early = link.request(b"2", now)
    forever = link.request(b"3")
    link._expire()
    assert isinstance(early.exception(), TimeoutError)
    assert not late.done()
    # The answer to the request that was given up is still its own.
    link.data_received(b'{"success":true,"n":1}\n{"success":true,"n":2}\n{"success":true,"n":3}\n')
    assert late.result() == b'{"success":true,"n":1}'
    assert forever.result() == b'{"success":true,"n":3}'
