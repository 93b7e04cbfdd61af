"""The shop's service on real files: killed during edits, with its index deleted, and how soon an edit is found."""

import asyncio
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from clients.accounts.tenants import add_tenant
from clients.persistence import PersistenceClient
from clients.shop import books as shop
from services.search_settings import SearchSettings
from shared.domain.errors import IndexMissing
from shared.domain.isbn import complete_isbn
from shared.search.port import BookFilters, BookIndex, BookSearch
from tests.support.eventually import eventually
from tests.support.intake import PATIENCE, PersistenceProcess
from tests.support.shop_process import run_shop

# `make chaos` kills it more often.
KILLS = int(os.environ.get("SHOP_KILLS", "6"))
TENANTS = ("main", "acme")
EDITS = 10


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Starts processes with the modules of the service loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.shop_process"])
    return context


@asynccontextmanager
async def running(processes: ForkServerContext, folder: Path, port: int) -> AsyncIterator[None]:
    """Runs the service for the block, and kills it."""
    process = processes.Process(target=run_shop, args=(folder, port), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        await asyncio.to_thread(process.join)


@asynccontextmanager
async def index_of(folder: Path) -> AsyncIterator[BookIndex]:
    """The index as a gateway opens it."""
    index = SearchSettings(data_dir=str(folder)).open_book_index()
    try:
        yield index
    finally:
        await index.close()


async def add(records: PersistenceClient, number: int) -> str:
    members = {"isbn": complete_isbn(f"978{number:09}"), "title": f"titulo t{number}", "author": "A", "price": 100}
    return (await shop.create_book(records, members, number % 2)).book.book


async def find(index: BookIndex, tenant: str, text: str, *, in_stock: bool = False) -> list[str]:
    """Returns the ids of the books that a search finds; none while there is no index."""
    query = BookSearch(text=text, fuzzy="never", limit=100, filters=BookFilters(in_stock=in_stock))
    try:
        return [hit.book for hit in (await index.search(tenant, query)).hits]
    except IndexMissing:
        return []


async def difference(index: BookIndex, tenant: str, records: PersistenceClient) -> list[str]:
    """Returns what the index has and the records have not, or the other way round."""
    listed = [one async for page in shop.iterate_books(records) for one in page]
    wrong = set(await find(index, tenant, "titulo")) ^ {one.book.book for one in listed}
    stocked = {one.book.book for one in listed if one.stock}
    wrong |= set(await find(index, tenant, "titulo", in_stock=True)) ^ stocked
    for one in listed:
        word = one.book.title.split()[1]
        if await find(index, tenant, word) != [one.book.book]:
            wrong.add(one.book.title)
    return sorted(wrong)


async def edit(records: PersistenceClient, chance: random.Random, numbers: "Numbers") -> None:
    """Changes, adds or deletes a book."""
    listed = [one async for page in shop.iterate_books(records) for one in page]
    kind = chance.randrange(5) if 10 < len(listed) < 60 else 0
    chosen = chance.choice(listed) if listed else None
    if kind == 0 or chosen is None:
        await add(records, numbers.next())
    elif kind == 1:
        await shop.delete_book(records, chosen.book.book)
    elif kind == 2:
        await shop.change_book(records, chosen.book.book, {}, chance.randrange(2))
    else:
        await shop.change_book(records, chosen.book.book, {"title": f"titulo t{numbers.next()}"})


class Numbers:
    """Numbers of which none comes twice."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last


async def test_kills_during_edits_leave_an_index_that_equals_the_records(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    chance, numbers = random.Random(7), Numbers()

    async def edit_until(stop: asyncio.Event, client: PersistenceClient) -> None:
        while not stop.is_set():
            await edit(client.of(chance.choice(TENANTS)), chance, numbers)

    with PersistenceProcess(tmp_path) as persistence:
        async with PersistenceClient("localhost", persistence.port) as client, index_of(tmp_path) as index:
            await add_tenant(client, "acme", {})
            for tenant in TENANTS:
                for _ in range(11):
                    await add(client.of(tenant), numbers.next())
            stop = asyncio.Event()
            editing = asyncio.create_task(edit_until(stop, client))
            for _ in range(KILLS):
                async with running(processes, tmp_path, persistence.port):
                    # It may be in any place of its work when it is killed.
                    await asyncio.sleep(chance.uniform(0.05, 0.4))
            stop.set()
            await editing
            async with running(processes, tmp_path, persistence.port):
                for tenant in TENANTS:
                    view = client.of(tenant)

                    async def is_equal(tenant: str = tenant, view: PersistenceClient = view) -> bool:
                        return not await difference(index, tenant, view)

                    await eventually(is_equal)
                    assert len(await find(index, tenant, "titulo")) > 3


async def test_an_edit_is_found_within_a_second_and_a_deleted_index_is_built(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    with PersistenceProcess(tmp_path) as persistence:
        async with PersistenceClient("localhost", persistence.port) as client, index_of(tmp_path) as index:
            book = await add(client, 0)
            async with running(processes, tmp_path, persistence.port):

                async def is_found(word: str) -> bool:
                    return await find(index, "main", word) == [book]

                await eventually(lambda: is_found("t0"))
                seconds = []
                for number in range(1, EDITS + 1):
                    began = time.monotonic()
                    await shop.change_book(client, book, {"title": f"titulo t{number}"})
                    await eventually(partial(is_found, f"t{number}"))
                    seconds.append(time.monotonic() - began)
                    assert await find(index, "main", f"t{number - 1}") == []
                assert sorted(seconds)[len(seconds) // 2] < PATIENCE / 10
                # The service may be deleting files of it at the same time.
                shutil.rmtree(tmp_path / "search", ignore_errors=True)
                await eventually(lambda: is_found(f"t{EDITS}"))
                for path in (tmp_path / "search").rglob("meta.json"):
                    path.write_bytes(path.read_bytes()[:9])
                assert await is_found("") is False
                await eventually(lambda: is_found(f"t{EDITS}"))
