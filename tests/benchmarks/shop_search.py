"""The search of books over HTTP, with a filter and facets, beside a FastAPI service over SQLite FTS5."""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import msgspec

from clients.errors import Refused
from clients.persistence import PersistenceClient
from clients.shop.books import change_book, create_book
from services.search_settings import SearchSettings
from shared.domain.books import MAIN_STORE, Book, shard_of
from shared.domain.isbn import complete_isbn
from shared.domain.records import Put
from shared.domain.tables import BOOKS, STOCK
from shared.runtime.clock import iso_now
from shared.search.port import BookFilters, BookSearch, IndexedBook
from tests.benchmarks.gateway import Gateway, Persistence, get, read_wrk
from tests.benchmarks.peers import FastApiService, Server
from tests.benchmarks.search import Library

_BOOKS = 100_000
_QUERIES = 500
_BOOKS_AT_ONCE = 50
"""Half of the actions that a batch may have."""
_EDITS = 50
_DEAR = 1_000_000
"""A price above all others."""
_LOOK_SECONDS = 0.005
_POLL_SECONDS = 0.2
_BUILD_SECONDS = 300.0
_BANDS = (1000, 2000, 3000, 5000)
_SCRIPT = """
local paths, place = {}, 0
for line in io.lines("PATHS") do paths[#paths + 1] = line end
request = function()
  place = place % #paths + 1
  return wrk.format("GET", paths[place])
end
"""


class ShopSearchFigures(NamedTuple):
    """Rounds of what was measured; a peer has none where it is not installed."""

    searches: list[float]
    """Searches a second."""
    searches_p99_ms: list[float]
    peer_searches: list[float]
    peer_searches_p99_ms: list[float]
    edits_ms: list[float]
    """Edits on the data port, each until a search of another process finds it."""


class _Books(Persistence):
    """The persistence server, on a folder of its own."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.data = self._data = self.folder / "data"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "STAGE": "dev"}


class _Shop(Server):
    """The service that keeps the index."""

    name = "shop"

    def __init__(self, persistence: _Books) -> None:
        super().__init__()
        # It has no port: it has started when the one that it needs is there.
        self.port = persistence.port
        self._data = persistence.data

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "services.shop"]

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        settings = {"DATA_DIR": str(self._data), "TCP_PERSIST_PORT": str(self.port)}
        return {"PYTHONPATH": root, "ENV_FILE": "/dev/null", **settings}


class _SearchGateway(Gateway):
    """A gateway beside the index."""

    def __init__(self, persistence: _Books) -> None:
        super().__init__(persistence, persistence, persistence)
        self.data = persistence.data
        self.persistence = persistence.port

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DATA_DIR": str(self.data)}


class _Peer(FastApiService):
    """FastAPI over FTS5."""

    name = "FastAPI + FTS5"

    def command(self) -> Sequence[str]:
        return [word.replace("fastapi_service", "fastapi_search") for word in super().command()]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "BOOKS_DB": str(self.folder / "books.db")}


def shop_search(rounds: int, seconds: float, count: int = _BOOKS) -> ShopSearchFigures:
    """Measures searches of one and two words among so many books."""
    library = Library(count, None)
    books = list(chain.from_iterable(library.make_batches()))
    texts = [quote_plus(library.choose_words(1 + number % 2)) for number in range(_QUERIES)]
    ours = [f"/api/v1/books/search?q={text}&price_to=60&fuzzy=false&facets=category,language,price" for text in texts]
    theirs = [f"/books/search?q={text}&price_to=60" for text in texts]
    found: dict[str, list[float]] = {name: [] for name in ShopSearchFigures._fields}
    with _suite(books) as gateway, contextlib.ExitStack() as stack:
        peer = None
        if _Peer.missing() is None:
            peer = _Peer()
            _make_peer_file(peer.folder / "books.db", books)
            stack.enter_context(peer.running())
        found["edits_ms"] = asyncio.run(_measure_edits(gateway.persistence, gateway.data))
        for _ in range(rounds):
            _measure(found, "", gateway.port, ours, seconds)
            if peer is not None:
                _measure(found, "peer_", peer.port, theirs, seconds)
    return ShopSearchFigures(**found)


def _measure(found: dict[str, list[float]], peer: str, port: int, paths: Sequence[str], seconds: float) -> None:
    rate, p99 = _drive(port, paths, seconds)
    found[f"{peer}searches"].append(rate)
    found[f"{peer}searches_p99_ms"].append(p99)


async def _measure_edits(port: int, data: Path) -> list[float]:
    """Returns the milliseconds of edits of titles and prices, in turn, until this process finds them."""
    taken = []
    index = SearchSettings(data_dir=str(data)).open_book_index()
    async with PersistenceClient(port=port) as records:
        members = {"isbn": complete_isbn("978043902348"), "title": "editado", "author": "A", "price": 1}
        edited = (await create_book(records, members, 1)).book.book
        for number in range(_EDITS):
            price = _DEAR + number
            change, query = (
                ({"title": f"editado e{number}x"}, BookSearch(text=f"e{number}x", fuzzy="never"))
                if number % 2
                else ({"price": price}, BookSearch(filters=BookFilters(price_from=price)))
            )
            began = time.perf_counter()
            await change_book(records, edited, change)
            while not (await index.search("main", query)).total:
                await asyncio.sleep(_LOOK_SECONDS)
            taken.append((time.perf_counter() - began) * 1000)
    await index.close()
    return taken


def _drive(port: int, paths: Sequence[str], seconds: float) -> tuple[float, float]:
    folder = Path("/tmp" if not Path("/dev/shm").is_dir() else "/dev/shm")
    lines, script = folder / f"comanda-{port}.txt", folder / f"comanda-{port}.lua"
    lines.write_text("\n".join(paths) + "\n")
    script.write_text(_SCRIPT.replace("PATHS", str(lines)))
    words = ["wrk", "-t1", "-c64", f"-d{max(round(seconds), 1)}s", "--latency", "--timeout", "20s", "-s", str(script)]
    told = subprocess.run([*words, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    lines.unlink()
    script.unlink()
    return read_wrk(told)


@contextlib.contextmanager
def _suite(books: Sequence[IndexedBook]) -> Iterator[_SearchGateway]:
    with _Books().running() as persistence:
        asyncio.run(_fill(persistence.port, books))
        with _Shop(persistence).running(), _SearchGateway(persistence).running() as found:
            deadline = time.monotonic() + _BUILD_SECONDS
            while json.loads(get(found.port, "/api/v1/books?sort=added&limit=1")).get("pagination", {}).get(
                "total_items"
            ) != len(books):
                assert time.monotonic() < deadline, "the index is not built"
                time.sleep(_POLL_SECONDS)
            yield found


async def _fill(port: int, books: Sequence[IndexedBook]) -> None:
    async with PersistenceClient(port=port) as records:
        for start in range(0, len(books), _BOOKS_AT_ONCE):
            puts: list[Put] = []
            for book in books[start : start + _BOOKS_AT_ONCE]:
                puts.append(Put(BOOKS.name, _make_item(book)))
                copies: dict[str, Any] = {"store": MAIN_STORE, "item": book.book, "count": book.stock, "cause": "edit"}
                puts.append(Put(STOCK.name, {**copies, "changed": iso_now()}))
            if any(isinstance(result, Refused) for result in await records.batch(puts)):
                raise RuntimeError("a book was refused")


def _make_item(indexed: IndexedBook) -> dict[str, Any]:
    """Returns the record of a book."""
    book = Book(
        book=indexed.book,
        title=indexed.title,
        author=", ".join(indexed.authors),
        editorial=indexed.editorial,
        category=indexed.category,
        subcategory=indexed.subcategory,
        description=indexed.description,
        language=indexed.language,
        price=indexed.price,
        publication_year=indexed.publication_year,
        ratings=indexed.ratings,
        shard=shard_of(indexed.book),
        created_at=iso_now(),
        updated_at=iso_now(),
    )
    return {**msgspec.structs.asdict(book), "listed": book.book}


def _make_peer_file(path: Path, books: Sequence[IndexedBook]) -> None:
    """Makes the database of the peer: the books, and an index over their texts that folds accents."""
    texts = ("id", "isbn", "title", "author", "editorial", "category", "subcategory", "price", "description")
    names = [*texts, "stock", "year", "language", "rating", "band"]
    rows = (
        (
            *(book.book, book.isbn, book.title, ", ".join(book.authors), book.editorial, book.category),
            *(book.subcategory, book.price, book.description, book.stock, book.publication_year, book.language),
            *(book.rating, sum(book.price >= bound for bound in _BANDS)),
        )
        for book in books
    )
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE TABLE books ({', '.join(names)})")
        database.executemany(f"INSERT INTO books VALUES ({', '.join('?' * len(names))})", rows)
        database.execute(
            "CREATE VIRTUAL TABLE words USING fts5(title, author, description, category, content='books', "
            "tokenize='unicode61 remove_diacritics 2')"
        )
        database.execute("INSERT INTO words(words) VALUES ('rebuild')")
        database.execute("INSERT INTO words(words) VALUES ('optimize')")
        database.commit()
