"""The search of books as the services know it: on OpenSearch, on a full disk, and after an upgrade of the index.

The servers run in this process, over records in memory; the service is a process where its disk is full.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from clients.access import Access
from clients.accounts.tenants import add_tenant
from clients.persistence import PersistenceClient
from clients.shop import books as shop
from clients.shop.loads import BookLoad, LoadDefaults
from clients.shop.search_state import read_heartbeat
from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from services.persistence.persistence import Persistence, tables
from services.persistence.settings import PersistenceSettings
from services.shop.book_documents import iterate_documents
from services.shop.settings import ShopSettings
from services.shop.shop import ShopService
from shared.domain.errors import IndexMissing
from shared.domain.isbn import complete_isbn
from shared.search.fields import SCHEMA_VERSION
from shared.search.port import BookIndex, BookSearch
from tests.support.eventually import eventually
from tests.support.in_process import JWT_KEYS, OPEN_FILES, serving
from tests.support.memory_records import MemoryRecords, MemoryRecordStore
from tests.support.ports import hold_port
from tests.support.search_servers import search_server
from tests.support.shop_process import run_shop

SAMPLE = Path(__file__).parents[2] / "clients" / "samples" / "books.csv"
BOOKS = "/api/v1/books"


@pytest.fixture(autouse=True)
def thawed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps servers from freezing the objects of the tests for good."""
    monkeypatch.setattr(gc, "freeze", lambda: None)


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[ShopSettings]:
    """The settings of a service beside a persistence server in this process."""
    async with contextlib.AsyncExitStack() as stack:
        chosen = PersistenceSettings(tcp_persist_port=hold_port(stack), data_dir=str(tmp_path), stage="dev")
        limits = chosen.build_limits(document_bytes=chosen.max_transaction_bytes, open_files=OPEN_FILES)
        store = MemoryRecordStore(MemoryRecords(), tables(chosen))
        await stack.enter_async_context(serving(Persistence(chosen, store, limits).serve))
        yield ShopSettings(data_dir=str(tmp_path), tcp_persist_port=chosen.tcp_persist_port)


@pytest.fixture
async def records(settings: ShopSettings) -> AsyncIterator[PersistenceClient]:
    """A client of that server."""
    async with PersistenceClient("127.0.0.1", settings.tcp_persist_port) as client:
        yield client


@contextlib.asynccontextmanager
async def running_shop(settings: ShopSettings) -> AsyncIterator[None]:
    """Runs the service in this process."""
    async with serving(ShopService(settings, Access(None), settings.open_book_index()).serve):
        yield


@contextlib.asynccontextmanager
async def opened(settings: ShopSettings) -> AsyncIterator[BookIndex]:
    """The index as a gateway opens it."""
    index = settings.open_book_index()
    try:
        yield index
    finally:
        await index.close()


async def add(records: PersistenceClient, number: int, title: str) -> str:
    members = {"isbn": complete_isbn(f"978{number:09}"), "title": title, "author": "Ana Paz", "price": 100}
    return (await shop.create_book(records, members, 1)).book.book


async def find(index: BookIndex, text: str) -> list[str]:
    query = BookSearch(text=text, fuzzy="never", limit=100)
    return [hit.book for hit in (await index.search("main", query)).hits]


async def is_healthy(records: PersistenceClient) -> bool:
    """Whether no index is built or behind."""
    beat = await read_heartbeat(records)
    return beat is not None and beat.status == "ok"


@pytest.mark.server
async def test_books_are_loaded_searched_and_edited_on_opensearch(
    records: PersistenceClient, settings: ShopSettings, tmp_path: Path
) -> None:
    await add_tenant(records, "acme", {})
    load = BookLoad(records, name="books.csv", exponent=2, max_bytes=2**20, defaults=LoadDefaults(1290, 3))
    load.feed(SAMPLE.read_bytes())
    load.finish(partial=False)
    loaded = (await load.add(lambda _: None)).new or 0
    await add(records.of("acme"), 1, "Cien años de otra editorial")
    with search_server("osmem") as address:
        search: dict[str, Any] = {"search": "opensearch", "search_url": address, "search_seconds": 60.0}
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(running_shop(msgspec.structs.replace(settings, **search)))
            port = hold_port(stack)
            gateway = GatewaySettings(
                main_server_host="127.0.0.1",
                main_server_port=port,
                tcp_persist_port=settings.tcp_persist_port,
                stage="dev",
                rate_limit="none",
                tenant_limits="none",
                data_dir=str(tmp_path),
                jwt_keys=JWT_KEYS,
                **search,
            )
            await stack.enter_async_context(serving(Gateway(gateway).serve))
            http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))

            async def look(query: str, tenant: str = "main") -> list[str]:
                headers = {"X-Tenant-Id": tenant}
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with http.get(f"{BOOKS}/search?limit=100&{query}", headers=headers) as reply:
                        if reply.status == 200:
                            return [one["title"] for one in (await reply.json())["data"]]
                return []

            async def is_found(query: str, *titles: str, tenant: str = "main") -> None:
                await eventually(lambda: found(query, titles, tenant))

            async def found(query: str, titles: tuple[str, ...], tenant: str) -> bool:
                return await look(query, tenant) == list(titles)

            await is_found("q=solitude", "One Hundred Years of Solitude")
            assert await look("q=Gárcia+MARQUEZ+solitude") == ["One Hundred Years of Solitude"]
            assert await look("q=solitdue") == ["One Hundred Years of Solitude"]
            await is_found("q=anos", "Cien años de otra editorial", tenant="acme")
            assert await look("q=solitude", "acme") == []
            book = await add(records, 2, "La canción del otoño")
            await is_found("q=CANCIONES+otono", "La canción del otoño")
            await shop.change_book(records, book, {"title": "El verano"})
            await is_found("q=verano", "El verano")
            assert await look("q=otono") == []
            async with http.get(f"{BOOKS}?limit=1&sort=title&facets=language") as reply:
                assert (await reply.json())["pagination"]["total_items"] == loaded + 1
            await shop.delete_book(records, book)
            await is_found("q=verano")
            await eventually(lambda: is_healthy(records))


async def test_a_full_disk_leaves_the_service_alive_and_its_index_behind(
    records: PersistenceClient, settings: ShopSettings, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=run_shop, args=(tmp_path, settings.tcp_persist_port), daemon=True)
    process.start()
    try:
        async with opened(settings) as index:
            book = await add(records, 0, "Antes")

            async def is_found(text: str) -> bool:
                with contextlib.suppress(IndexMissing):
                    return await find(index, text) == [book]
                return False

            async def is_behind() -> bool:
                beat = await read_heartbeat(records)
                return beat is not None and beat.behind == ["main"]

            await eventually(lambda: is_found("antes"))
            assert process.pid is not None
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            await shop.change_book(records, book, {"title": "Después"})
            await eventually(is_behind)
            assert await find(index, "antes") == [book]
            assert await find(index, "después") == []
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            await eventually(lambda: is_found("después"))
            await eventually(lambda: is_healthy(records))
            assert process.is_alive()
    finally:
        process.kill()
        await asyncio.to_thread(process.join)


async def test_an_index_of_another_version_answers_its_readers_until_there_is_a_new_one(
    records: PersistenceClient, settings: ShopSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await add(records, 0, "Niebla")
    tenant = tmp_path / "search" / "main"
    kept: list[bool] = []

    async def iterate_watched(*options: Any) -> AsyncIterator[Any]:
        async for batch in iterate_documents(*options):
            kept.append((tenant / "current").read_text() == old.name and (old / "meta.json").exists())
            yield batch

    async with opened(settings) as index:

        async def is_found() -> bool:
            with contextlib.suppress(IndexMissing):
                return await find(index, "niebla") == [book]
            return False

        async with running_shop(settings):
            await eventually(is_found)
        (made,) = tenant.glob("index-*")
        old = made.rename(tenant / f"index-{SCHEMA_VERSION + 1}-7")
        (tenant / "current").write_text(old.name)
        assert not await is_found()
        monkeypatch.setattr("services.shop.index_keeper.iterate_documents", iterate_watched)
        async with running_shop(settings):
            await eventually(is_found)
    assert kept == [True]
    assert [path.name for path in tenant.glob("index-*")] == [f"index-{SCHEMA_VERSION}-8"]
