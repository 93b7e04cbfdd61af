"""The commands around the bookstore, in this process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clients.errors import ConnectionLost
from clients.persistence import PersistenceClient
from clients.shop import loads
from clients.shop.books import change_book, count_books, get_book_by_isbn, iterate_books
from clients.shop.loads import BookLoad, LoadDefaults
from shared.domain.books import is_for_sale
from shared.domain.errors import NotFound
from shared.domain.tables import BOOK_ISBNS, BOOK_LOAD_ROWS, BOOKS, STOCK
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli

SAMPLE = str(Path(__file__).parents[3] / "clients/samples/books.csv")
HUNGER = "0439023483"


@pytest.fixture(autouse=True)
async def records(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """The records of the shop of tenant `main`."""
    await suite.start_persistence()
    async with suite.persistence() as client:
        yield client


async def listed(records: PersistenceClient) -> int:
    found = sum([len(page) async for page in iterate_books(records)])
    assert found == await count_books(records)
    return found


async def test_a_file_is_loaded_once_however_often_it_is_sent(cli: InProcessCli, records: PersistenceClient) -> None:
    status, (report,), _ = await cli.run("shop", "load", SAMPLE, "--dry-run")
    assert (status, report["new"], report["present"], await listed(records)) == (0, 200, 0, 0)
    words = ("shop", "load", SAMPLE, "--price", "12.90", "--stock", "4", "--category", "Novela")
    status, (report,), _ = await cli.run(*words)
    assert (status, report["new"], report["without_isbn"], report["notes"]) == (0, 200, 13, 3)
    found = await get_book_by_isbn(records, HUNGER)
    assert (found.book.price, found.stock, found.book.category, found.book.editorial) == (1290, 4, "Novela", "")
    assert is_for_sale(found.book, found.stock)
    status, (again,), _ = await cli.run(*words)
    assert (status, again["new"], again["present"], again["load"]) == (0, 0, 200, report["load"])
    assert await listed(records) == 200
    numbers = [one.book.seq async for page in iterate_books(records) for one in page]
    assert len(set(numbers)) == 200
    status, (shown,), _ = await cli.run("shop", "loads")
    assert (shown["state"], shown["books"], shown["name"]) == ("loaded", 200, "books.csv")
    assert (await cli.show_on_terminal("shop", "loads"))[0] == 0
    assert (await cli.show_on_terminal("shop", "load", SAMPLE))[0] == 0


async def test_a_load_is_undone_and_can_be_done_again(cli: InProcessCli, records: PersistenceClient) -> None:
    _, (report,), _ = await cli.run("shop", "load", SAMPLE, "--stock", "4")
    book = (await get_book_by_isbn(records, HUNGER)).book.book
    await change_book(records, book, {"price": 990})
    status, (undone,), _ = await cli.run("shop", "undo", report["load"])
    assert (status, undone["state"], undone["books"], undone["kept"]) == (0, "undone", 1, 1)
    assert await listed(records) == 1
    assert [stored.item["item"] for stored in (await records.query(STOCK.name, "all")).items if stored.item] == [book]
    assert (await cli.run("shop", "undo", report["load"]))[1][0]["books"] == 1
    _, (again,), _ = await cli.run("shop", "load", SAMPLE)
    assert (again["new"], again["present"], await listed(records)) == (199, 1, 200)
    status, _, told = await cli.run("shop", "undo", "none")
    assert (status, "no load" in told) == (1, True)


async def test_rows_that_are_no_books_are_shown_and_nothing_is_taken(
    cli: InProcessCli, records: PersistenceClient
) -> None:
    text = "isbn,title,price\n0439023483,A,1\n,,2\n,B,x\n"
    status, errors, told = await cli.run("shop", "load", "-", stdin=text)
    assert (status, [(error["line"], error["field"]) for error in errors]) == (1, [(3, "title"), (4, "price")])
    assert "2 of the rows are no books" in told
    assert await listed(records) == 0
    status, (report,), _ = await cli.run("shop", "load", "-", "--partial", stdin=text)
    assert (status, report["new"], report["faults"]) == (1, 1, 2)
    for words in (["--price", "free"], ["--price", "-1"], ["--stock", "-1"]):
        assert (await cli.run("shop", "load", SAMPLE, *words))[0] == 2
    assert (await cli.run("shop", "load", SAMPLE, "--tenant", "nobody"))[0] == 1


def prepare(records: PersistenceClient, text: str) -> BookLoad:
    load = BookLoad(records, name="x", exponent=2, max_bytes=10**6, defaults=LoadDefaults(stock=1))
    load.feed(text.encode())
    load.finish(partial=False)
    return load


def catalogue(count: int) -> str:
    return "title\n" + "".join(f"Libro {number}\n" for number in range(count))


async def test_loads_of_one_file_at_once_add_each_book_once(records: PersistenceClient) -> None:
    made = [prepare(records, catalogue(100)) for _ in range(4)]
    reports = await asyncio.gather(*(load.add(lambda _: None) for load in made))
    assert sum(report.new or 0 for report in reports) == 100
    assert (await listed(records), (await loads.get_load(records, made[0].load)).books) == (100, 100)


async def test_a_load_that_was_interrupted_goes_on(records: PersistenceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    transact, calls = records.transact, 0

    async def cut_off(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise ConnectionLost("cut off")
        return await transact(*given, **named)

    monkeypatch.setattr(records, "transact", cut_off)
    with pytest.raises(ConnectionLost):
        await prepare(records, catalogue(200)).add(lambda _: None)
    before = await listed(records)
    assert 0 < before < 200
    load = prepare(records, catalogue(200))
    report = await load.add(lambda _: None)
    assert (report.new, report.present, await listed(records)) == (200 - before, before, 200)
    done: list[int] = []
    assert (await loads.undo_load(records, load.load, done.append)).state == "undone"
    assert (done[-1], await listed(records)) == (200, 0)
    rows = await records.query(BOOK_LOAD_ROWS.name, partition=load.load)
    claims = await records.get_items(BOOK_ISBNS.name, [{"isbn": "9780439023481"}])
    assert (rows.items, claims[0].item) == ([], None)


async def test_an_answer_that_was_lost_is_no_second_book(
    records: PersistenceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    transact = records.transact

    async def send_twice(*given: Any, **named: Any) -> Any:
        answer = await transact(*given, **named)
        return await transact(*given, **named) if len(given[0]) > 2 else answer

    monkeypatch.setattr(records, "transact", send_twice)
    report = await prepare(records, catalogue(40)).add(lambda _: None)
    assert (report.new, await listed(records)) == (40, 40)


async def test_what_is_not_there_is_not_found(records: PersistenceClient) -> None:
    with pytest.raises(NotFound):
        await loads.undo_load(records, "none", lambda _: None)
    assert (await records.get_item(BOOKS.name, {"book": "none"})).item is None
