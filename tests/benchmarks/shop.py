"""The bookstore over HTTP: a book by its id and a page of books, beside a FastAPI service over SQLite."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from clients.persistence import PersistenceClient
from clients.shop.books import StoredBook, addition_of, build_book, count_listed
from shared.domain.records import Action
from tests.benchmarks.gateway import Gateway, Persistence, get, post, wrk
from tests.benchmarks.peers import FastApiService, Server

_BOOKS = 2000
_BOOKS_AT_ONCE = 30
_LIMIT = 20
_MICROSECONDS = 1_000_000
_TICKS = os.sysconf("SC_CLK_TCK")
_SHOWN = (
    *("isbn", "title", "author", "editorial", "category", "subcategory", "description", "cover_image_url"),
    *("publication_year", "language", "pages", "ratings", "created_at", "updated_at"),
)


class ShopFigures(NamedTuple):
    """Rounds of what was measured; a peer has none where it is not installed."""

    books: list[float]
    """Books by id, a second."""
    books_us: list[float]
    """CPU of the gateway and the persistence server for each, in microseconds."""
    peer_books: list[float]
    peer_books_us: list[float]
    pages: list[float]
    """Pages of 20 books, newest first, a second."""
    pages_us: list[float]
    peer_pages: list[float]
    peer_pages_us: list[float]


class DevPersistence(Persistence):
    """Works on a folder of its own."""

    def __init__(self) -> None:
        super().__init__(Path())
        self._data = self.folder / "data"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "STAGE": "dev"}


def shop(rounds: int, seconds: float) -> ShopFigures:
    """Measures all of it, in alternating rounds."""
    found: dict[str, list[float]] = {name: [] for name in ShopFigures._fields}
    books = [make_book(number) for number in range(_BOOKS)]
    for _ in range(rounds):
        with _suite() as (gateway, persistence):
            asyncio.run(fill_shop(persistence.port, books))
            _measure(found, "", gateway, (gateway, persistence), "/api/v1/books", books[0].book.book, seconds)
        if FastApiService.missing() is None:
            with FastApiService().running() as theirs:
                post(theirs.port, "/books", [_show(one) for one in books], method="PUT")
                _measure(found, "peer_", theirs, (theirs,), "/books", books[0].book.book, seconds)
    return ShopFigures(**found)


def _measure(
    found: dict[str, list[float]],
    peer: str,
    server: Server,
    servers: tuple[Server, ...],
    path: str,
    book: str,
    seconds: float,
) -> None:
    for name, address in (("books", f"{path}/{book}"), ("pages", f"{path}?limit={_LIMIT}")):
        # The first page is put together from all partitions.
        get(server.port, address)
        before, began = cpu_seconds(servers), time.perf_counter()
        rate, _ = wrk(server.port, address, seconds)
        answered = rate * (time.perf_counter() - began)
        found[f"{peer}{name}"].append(rate)
        found[f"{peer}{name}_us"].append((cpu_seconds(servers) - before) / answered * _MICROSECONDS)


@contextlib.contextmanager
def _suite() -> Iterator[tuple[Gateway, Persistence]]:
    with DevPersistence().running() as persistence, Gateway(persistence, persistence, persistence).running() as found:
        # The intake and the distributed service are not needed.
        while not get(found.port, "/api/v1/books?limit=1").startswith(b'{"data"'):
            time.sleep(0.05)
        yield found, persistence


def make_book(number: int) -> StoredBook:
    """Returns a book of the usual size, with copies in stock."""
    chance = random.Random(number)
    words = [f"palabra{chance.randrange(1000)}" for _ in range(40)]
    members: Mapping[str, Any] = {
        "isbn": f"978{number:010}",
        "title": " ".join(words[:4]).capitalize(),
        "author": " ".join(words[4:6]).title(),
        "editorial": "Cátedra",
        "category": "Novela",
        "description": " ".join(words),
        "price": chance.randint(500, 5000),
        "publication_year": chance.randint(1950, 2025),
        "language": "es",
        "pages": chance.randint(80, 900),
        "rating": Decimal(chance.randint(100, 500)) / 100,
        "ratings": chance.randint(1, 100_000),
    }
    return StoredBook(build_book(members, claim=members["isbn"], seq=number + 1), 1, chance.randint(1, 50), 1)


async def fill_shop(port: int, books: list[StoredBook]) -> None:
    """Stores books and their copies, over the persistence server at a port."""
    async with PersistenceClient(port=port) as records:
        for start in range(0, len(books), _BOOKS_AT_ONCE):
            batch = books[start : start + _BOOKS_AT_ONCE]
            actions: list[Action] = [action for one in batch for action in addition_of(one.book, one.stock)]
            await records.transact([*actions, count_listed(len(batch))])


def _show(stored: StoredBook) -> dict[str, Any]:
    """Returns a book as it is sent to the peer."""
    book = json.loads(msgspec.json.encode(stored.book))
    shown = {name: book[name] for name in _SHOWN}
    return shown | {
        "book_id": stored.book.book,
        "price": stored.book.price,
        "rating": float(stored.book.rating),
        "stock_quantity": stored.stock,
    }


def cpu_seconds(servers: tuple[Server, ...]) -> float:
    """CPU of processes so far, in user and system mode."""
    ticks = 0
    for server in servers:
        assert server.process is not None
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS
