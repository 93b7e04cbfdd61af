"""Carts and checkouts over HTTP at 64 connections, beside a FastAPI service with the same transactions.

Each of 512 customers, who have access tokens, adds three of 2,000 books to a cart, and buys them; again and again.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import jwt
import msgspec
import uvloop

from clients.accounts.accounts import build_account
from clients.accounts.sessions import open_session
from clients.persistence import PersistenceClient
from services.gateway.identity.tokens import TokenSigner
from shared.domain.records import Action, Put
from shared.domain.tables import ACCOUNTS
from tests.benchmarks.gateway import Gateway, Persistence, get, post
from tests.benchmarks.peers import FastApiService, Server
from tests.benchmarks.shop import DevPersistence, cpu_seconds, fill_shop, make_book

_BOOKS = 2000
_COPIES = 1_000_000
_LINES = 3
_CUSTOMERS = 512
_CONNECTIONS = 64
_MICROSECONDS = 1_000_000
_SUCCESS = (b"HTTP/1.1 200", b"HTTP/1.1 201")
_PURCHASE = {
    "payment_method": "card",
    "shipping_address": {"street": "Mayor 1", "city": "Gualeguaychú", "postal_code": "2820"},
}


class Rate(NamedTuple):
    """Requests a second, and the CPU of each server for one of them, in microseconds."""

    rate: float
    cpu_us: Sequence[float]


class SaleFigures(NamedTuple):
    """Rounds of what was measured; a peer has none where it is not installed."""

    additions: list[float]
    """Additions to carts, a second."""
    additions_us: list[float]
    """CPU of all servers for each, in microseconds."""
    peer_additions: list[float]
    peer_additions_us: list[float]
    checkouts: list[float]
    """Checkouts of three lines, a second."""
    checkouts_us: list[float]
    peer_checkouts: list[float]
    peer_checkouts_us: list[float]


class SignedGateway(Gateway):
    """Verifies the tokens that the benchmark signs."""

    def __init__(self, persistence: Persistence, key: bytes) -> None:
        super().__init__(persistence, persistence, persistence)
        self._key = key

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "JWT_KEYS": f"a:{base64.b64encode(self._key).decode()}"}


class _FastApiSales(FastApiService):
    """The peer."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def command(self) -> Sequence[str]:
        return [word.replace("fastapi_service", "fastapi_sales") for word in super().command()]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "JWT_KEY": self._key.hex()}


def shop_sales(rounds: int, seconds: float) -> SaleFigures:
    """Measures all of it, in alternating rounds."""
    found: dict[str, list[float]] = {name: [] for name in SaleFigures._fields}

    def take(peer: str, rates: tuple[Rate, Rate]) -> None:
        for name, one in zip((f"{peer}additions", f"{peer}checkouts"), rates, strict=True):
            found[name].append(one.rate)
            found[f"{name}_us"].append(sum(one.cpu_us))

    for _ in range(rounds):
        with _suite() as (servers, tokens, books):
            take("", measure_sales(servers, "/api/v1", tokens, books, seconds))
        if FastApiService.missing() is None:
            with _peer() as (servers, tokens, books):
                take("peer_", measure_sales(servers, "", tokens, books, seconds))
    return SaleFigures(**found)


_Running = Iterator[tuple[Sequence[Server], Sequence[str], Sequence[str]]]


@contextlib.contextmanager
def _suite() -> _Running:
    """Yields our servers, that of HTTP first, the tokens of customers, and the ids of books."""
    key = secrets.token_bytes(32)
    books = [make_book(number)._replace(stock=_COPIES) for number in range(_BOOKS)]
    with DevPersistence().running() as persistence, SignedGateway(persistence, key).running() as gateway:
        # The intake and the distributed service are not needed.
        while not get(gateway.port, "/api/v1/books?limit=1").startswith(b'{"data"'):
            time.sleep(0.05)
        asyncio.run(fill_shop(persistence.port, books))
        tokens = asyncio.run(sign_in(persistence.port, TokenSigner({"a": key}), _CUSTOMERS))
        yield (gateway, persistence), tokens, [one.book.book for one in books]


@contextlib.contextmanager
def _peer() -> _Running:
    key = secrets.token_bytes(32)
    books = [make_book(number) for number in range(_BOOKS)]
    with _FastApiSales(key).running() as server:
        members = ("title", "author", "category", "price")
        rows = [
            {name: getattr(one.book, name) for name in members} | {"book_id": one.book.book, "stock_quantity": _COPIES}
            for one in books
        ]
        post(server.port, "/books", rows, method="PUT")
        tokens = [jwt.encode({"sub": f"customer-{number}"}, key.hex()) for number in range(_CUSTOMERS)]
        yield (server,), tokens, [one.book.book for one in books]


async def sign_in(port: int, signer: TokenSigner, customers: int) -> list[str]:
    """Stores customers, each with a session; returns their access tokens."""
    tokens = []
    async with PersistenceClient(port=port) as records:
        for number in range(customers):
            account = build_account(f"customer-{number}@example.com", "Ana", "Paz", ["customer"])
            opened = open_session(account.user, "token", agent="benchmark", generation=1, seconds=3600)
            actions: list[Action] = [Put(ACCOUNTS.name, msgspec.to_builtins(account)), opened.action]
            await records.transact(actions)
            tokens.append(
                signer.sign(
                    user=account.user,
                    tenant="main",
                    session=opened.session.session,
                    roles=account.roles,
                    generation=account.generation,
                )[0]
            )
    return tokens


def measure_sales(
    servers: Sequence[Server], path: str, tokens: Sequence[str], books: Sequence[str], seconds: float
) -> tuple[Rate, Rate]:
    """Returns the rates of additions and of checkouts, each measured for so long."""
    chance = random.Random(1)
    numbers = itertools.count()
    tallies = [_Tally(servers), _Tally(servers)]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        # The first requests of each customer and of each book look them up.
        firsts = [format_addition(path, tokens[number % len(tokens)], book) for number, book in enumerate(books)]
        runner.run(_drive(servers[0].port, firsts))
        runner.run(_drive(servers[0].port, [format_checkout(path, token, next(numbers)) for token in tokens]))
        while any(one.seconds < seconds for one in tallies):
            chosen = [chance.sample(books, _LINES) for _ in tokens]
            additions = [
                format_addition(path, token, wanted[line])
                for line in range(_LINES)
                for token, wanted in zip(tokens, chosen, strict=True)
            ]
            checkouts = [format_checkout(path, token, next(numbers)) for token in tokens]
            for tally, requests in zip(tallies, (additions, checkouts), strict=True):
                with tally.counting(len(requests)):
                    runner.run(_drive(servers[0].port, requests))
    return tallies[0].rate(), tallies[1].rate()


class _Tally:
    """Sums requests, time, and the CPU of servers."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self._requests = 0
        self._cpu = [0.0] * len(servers)
        self.seconds = 0.0

    @contextlib.contextmanager
    def counting(self, requests: int) -> Iterator[None]:
        """Adds what a block takes."""
        before, began = [cpu_seconds((one,)) for one in self._servers], time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self._requests += requests
        for number, server in enumerate(self._servers):
            self._cpu[number] += cpu_seconds((server,)) - before[number]

    def rate(self) -> Rate:
        """Returns the means."""
        return Rate(self._requests / self.seconds, [one / self._requests * _MICROSECONDS for one in self._cpu])


class _Customer(asyncio.Protocol):
    """A connection that sends the next request when it has the answer to the last one."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._received = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(_SUCCESS):
            if not self.ended.done():
                self.ended.set_exception(RuntimeError(f"the answer is {self._received[:500]!r}"))
            self._transport.close()
        elif len(body) == int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or RuntimeError("the server ended a connection"))

    def _send_next(self) -> None:
        self._received = b""
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        else:
            self.ended.set_result(None)
            self._transport.close()


async def _drive(port: int, requests: Sequence[bytes]) -> None:
    """Sends each of the requests once, over connections that share them. Raises RuntimeError for a refusal."""
    loop, shared = asyncio.get_running_loop(), iter(requests)
    opened = [await loop.create_connection(lambda: _Customer(shared), "127.0.0.1", port) for _ in range(_CONNECTIONS)]
    await asyncio.gather(*(customer.ended for _, customer in opened))


def format_addition(path: str, token: str, book: str) -> bytes:
    """Returns the request that adds a copy of a book to the cart of a customer; `path` is that of the API."""
    return _format_post(f"{path}/cart/add", token, "", {"book_id": book, "quantity": 1})


def format_checkout(path: str, token: str, number: int) -> bytes:
    """Returns the request that buys the cart of a customer."""
    return _format_post(f"{path}/purchases/checkout", token, f"Idempotency-Key: purchase-{number}\r\n", _PURCHASE)


def _format_post(path: str, token: str, header: str, content: object) -> bytes:
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{header}"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
