"""Processes that change a search index until they are killed, or until their disk is full."""

import asyncio
import resource
from multiprocessing.connection import Connection
from pathlib import Path

from shared.domain.errors import IndexBehind
from shared.search.port import BookSearch
from shared.search.tantivy.index import TantivyBookIndex, TantivyOptions
from shared.wire.cursors import Cursors
from tests.support.books import make_book


def open_index(root: Path) -> TantivyBookIndex:
    """The index as a server opens it."""
    return TantivyBookIndex(root, Cursors(b"k" * 32), TantivyOptions(commit_seconds=0))


def write_books(root: Path, connection: Connection) -> None:
    """Adds a book and edits two older ones in each commit, until it is killed; sends each position."""
    asyncio.run(_write_books(root, connection))


async def _write_books(root: Path, connection: Connection) -> None:
    index = open_index(root)
    number = int(await index.position("main") or 0)
    connection.send(number)
    while True:
        number += 1
        edited = {number // 2, number // 3} - {0}
        books = [make_book(f"b{book}", version=number) for book in (number, *edited)]
        await index.apply("main", books, str(number))
        connection.send(number)


def fill_disk(root: Path, connection: Connection) -> None:
    """Writes beyond a limit on the size of files, then without the limit, and sends what happened."""
    asyncio.run(_fill_disk(root, connection))


async def _fill_disk(root: Path, connection: Connection) -> None:
    index = open_index(root)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = [make_book(f"b{number}", f"Un libro {number} " + "palabra " * number) for number in range(1, 300)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    outcomes = []
    for number in range(3):
        try:
            await index.apply("main", large, f"p{number}")
        except IndexBehind as error:
            outcomes.append(error.code)
        outcomes.append(f"{await index.position('main')} {(await index.search('main', BookSearch())).total}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await index.apply("main", large, "after")
    outcomes.append(f"{await index.position('main')} {(await index.search('main', BookSearch())).total}")
    await index.close()
    connection.send(outcomes)
