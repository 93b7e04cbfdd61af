"""Books over real stores: two servers on the tables of DynamoDB, and a load that is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from clients.persistence import PersistenceClient
from clients.shop import lists
from clients.shop.books import count_books, create_book, iterate_books
from clients.shop.listing import list_newest, list_oldest
from clients.shop.loads import BookLoad, LoadDefaults, undo_load
from shared.domain.errors import ComandaError
from shared.domain.isbn import complete_isbn
from tests.support.dynamodb import own_tables, settings_of
from tests.support.intake import PATIENCE, PersistenceProcess

HEAD = b"".join((Path(__file__).parents[2] / "clients/samples/books.csv").read_bytes().splitlines(keepends=True)[:41])


async def listed(records: PersistenceClient) -> int:
    """Returns the number of listed books, which is counted as it is."""
    found = sum([len(page) async for page in iterate_books(records)])
    assert found == await count_books(records)
    return found


def prepare(records: PersistenceClient, data: bytes) -> BookLoad:
    load = BookLoad(records, name="x", exponent=2, max_bytes=10**7, defaults=LoadDefaults(price=1290, stock=2))
    load.feed(data)
    load.finish(partial=False)
    return load


def test_servers_on_dynamodb_share_a_shop(tmp_path: Path, dynamodb: str) -> None:
    settings = settings_of(own_tables(dynamodb))

    async def use_both(ports: list[int]) -> None:
        async with PersistenceClient("localhost", ports[0]) as one, PersistenceClient("localhost", ports[1]) as other:
            shops = one.of("books"), other.of("books")
            members = {"isbn": complete_isbn("978043902348"), "title": "T", "author": "A", "price": 1290}
            made = await asyncio.gather(*(create_book(shop, members, 1) for shop in shops * 3), return_exceptions=True)
            assert sum(not isinstance(one, ComandaError) for one in made) == 1
            load = prepare(shops[0], HEAD)
            report = await load.add(lambda _: None)
            assert (report.new, report.present, await listed(shops[1])) == (39, 1, 40)
            ids = await list_newest(shops[1], limit=20)
            assert ids == sorted(ids, reverse=True)
            back = await list_oldest(shops[0], limit=19, newer_than=ids[-1])
            assert back == ids[-2::-1]
            await lists.add_wish(shops[0], "ana", ids[0], 2)
            assert [wish.book for wish in await lists.list_wishes(shops[1], "ana")] == [ids[0]]
            await undo_load(shops[1], load.load, lambda _: None)
            assert await listed(shops[0]) == 1

    with PersistenceProcess(tmp_path, settings) as one, PersistenceProcess(tmp_path, settings) as other:
        asyncio.run(use_both([one.port, other.port]))


def test_a_load_that_was_killed_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "books.csv"
    file.write_text("title\n" + "".join(f"Libro {number}\n" for number in range(3000)))
    command = [sys.executable, "-m", "clients", "shop", "load", str(file)]

    async def count(port: int, *, loading: bool = False) -> int:
        async with PersistenceClient("localhost", port) as records:
            return await (count_books(records) if loading else listed(records))

    with PersistenceProcess(tmp_path) as server:
        environ = {**os.environ, "ENV_FILE": "/dev/null", "TCP_PERSIST_PORT": str(server.port)}
        loading = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
        while not asyncio.run(count(server.port, loading=True)):
            assert loading.poll() is None
        loading.send_signal(signal.SIGKILL)
        loading.wait(PATIENCE)
        assert asyncio.run(count(server.port)) < 3000
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)
        assert asyncio.run(count(server.port)) == 3000
