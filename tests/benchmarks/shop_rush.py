"""A thousand customers of four gateways who want one of a hundred copies: within a second, and all at once."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

import uvloop

from clients.persistence import PersistenceClient
from clients.shop.books import get_book
from services.gateway.identity.tokens import TokenSigner
from tests.benchmarks.gateway import get
from tests.benchmarks.shop import DevPersistence, cpu_seconds, fill_shop, make_book
from tests.benchmarks.shop_sales import SignedGateway, format_addition, format_checkout, sign_in

_CUSTOMERS = 1000
_COPIES = 100
_GATEWAYS = 4
_PATH = "/api/v1"


class RushFigures(NamedTuple):
    """Rounds of what was measured. In each, exactly as many were sold as there were, and all others were refused."""

    second_p50_ms: list[float]
    second_p99_ms: list[float]
    """Times of the checkouts if one customer comes each millisecond."""
    burst_p50_ms: list[float]
    burst_p99_ms: list[float]
    """If all come at the same moment."""
    cpu_us: list[float]
    """CPU of all servers for each checkout then, in microseconds."""


class _Answer(NamedTuple):
    status: int
    content: bytes
    seconds: float


def shop_rush(rounds: int) -> RushFigures:
    """Measures it. Raises RuntimeError if another number was sold, or refused without saying what is left."""
    found = RushFigures([], [], [], [], [])
    for _ in range(rounds):
        for seconds, p50, p99 in (
            (1.0, found.second_p50_ms, found.second_p99_ms),
            (0.0, found.burst_p50_ms, found.burst_p99_ms),
        ):
            waits, cpu = _measure(seconds)
            p50.append(waits[len(waits) // 2] * 1000)
            p99.append(waits[len(waits) * 99 // 100] * 1000)
        found.cpu_us.append(cpu / len(waits) * 1_000_000)
    return found


def _measure(seconds: float) -> tuple[list[float], float]:
    """Has the customers come within some seconds.

    Returns the times of all checkouts in ascending order, and the CPU of the servers, in seconds.
    """
    key = secrets.token_bytes(32)
    book = make_book(1)._replace(stock=_COPIES)
    with contextlib.ExitStack() as stack:
        persistence = stack.enter_context(DevPersistence().running())
        gateways = [stack.enter_context(SignedGateway(persistence, key).running()) for _ in range(_GATEWAYS)]
        for gateway in gateways:
            # The intake and the distributed service are not needed.
            while not get(gateway.port, f"{_PATH}/books?limit=1").startswith(b'{"data"'):
                time.sleep(0.05)
        asyncio.run(fill_shop(persistence.port, [book]))
        tokens = asyncio.run(sign_in(persistence.port, TokenSigner({"a": key}), _CUSTOMERS))
        ports = [gateway.port for gateway in gateways]
        servers = (persistence, *gateways)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            added = runner.run(
                _send_all(ports, [format_addition(_PATH, token, book.book.book) for token in tokens], 1.0)
            )
            if any(one.status != 200 for one in added):
                raise RuntimeError(f"a cart was refused: {added[0].content!r}")
            before = cpu_seconds(servers)
            checkouts = [format_checkout(_PATH, token, number) for number, token in enumerate(tokens)]
            answers = runner.run(_send_all(ports, checkouts, seconds))
            cpu = cpu_seconds(servers) - before
        _check_answers(answers)
        if left := asyncio.run(_count_copies(persistence.port, book.book.book)):
            raise RuntimeError(f"{left} copies are left")
    return sorted(one.seconds for one in answers), cpu


def _check_answers(answers: Sequence[_Answer]) -> None:
    sold = sum(one.status == 201 for one in answers)
    refused = [json.loads(one.content)["errors"] for one in answers if one.status == 409]
    if (sold, len(refused)) != (_COPIES, _CUSTOMERS - _COPIES):
        odd = next((one for one in answers if one.status not in (201, 409)), answers[0])
        raise RuntimeError(f"{sold} were sold and {len(refused)} refused; for example {odd.status} {odd.content!r}")
    if {line["params"]["left"] for lines in refused for line in lines} != {0}:
        raise RuntimeError("a refusal does not say that nothing is left")


async def _count_copies(port: int, book: str) -> int:
    async with PersistenceClient(port=port) as records:
        return (await get_book(records, book)).stock


class _Buyer(asyncio.Protocol):
    """A connection that sends one request, and measures its time."""

    def __init__(self) -> None:
        self._received = b""
        self.answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        """Sends the request."""
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, content = self._received.partition(b"\r\n\r\n")
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if size and len(content) == int(size):
            seconds = time.perf_counter() - self._began
            self.answer.set_result(_Answer(int(head[9:12]), content, seconds))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc or RuntimeError(f"the server ended a connection: {self._received!r}"))


async def _send_all(ports: Sequence[int], requests: Sequence[bytes], seconds: float) -> list[_Answer]:
    """Sends all requests within some seconds, at an even rate, each over a connection of its own."""
    loop = asyncio.get_running_loop()
    buyers = [
        (await loop.create_connection(_Buyer, "127.0.0.1", ports[number % len(ports)]))[1]
        for number in range(len(requests))
    ]
    began = loop.time()
    for number, (buyer, request) in enumerate(zip(buyers, requests, strict=True)):
        loop.call_at(began + number * seconds / len(requests), buyer.send, request)
    return list(await asyncio.gather(*(buyer.answer for buyer in buyers)))
