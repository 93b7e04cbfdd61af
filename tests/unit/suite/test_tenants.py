"""Tenants in this process: items of one are not there for another."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from clients.access import Access
from clients.errors import Refused
from clients.persistence import PersistenceClient
from services.gateway.http.parameters import Cursor
from shared.domain.errors import InvalidParams
from shared.domain.records import Action, Check, Condition, Put
from shared.domain.tables import PRIVATE
from tests.support.in_process import Suite

TOKEN = "a token that is long enough for the servers"


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[PersistenceClient]:
    """A client of a persistence server."""
    async with PersistenceClient("127.0.0.1", await suite.start_persistence()) as made:
        yield made


async def test_view_has_the_items_of_its_tenant(client: PersistenceClient) -> None:
    acme = client.of("acme")
    await acme.put_item("Tasks", {"id": "1", "created": "a", "status": "open"})
    await client.put_item("Tasks", {"id": "1", "created": "b", "status": "open"})
    await acme.update_item("Tasks", {"id": "1"}, {"title": "Acme's"})
    await acme.transact([Put("Tasks", {"id": "2", "created": "c", "status": "open"})])
    await acme.batch([Put("Tasks", {"id": "3", "created": "d", "status": "done"})])
    item = (await client.of("main").get_item("Tasks", {"id": "1"})).item
    assert item == {"id": "1", "created": "b", "status": "open"}
    assert [one.version for one in await client.get_items("Tasks", [{"id": "1"}, {"id": "2"}, {"id": "3"}])] == [
        1,
        0,
        0,
    ]
    assert [one.version for one in await acme.get_items("Tasks", [{"id": "1"}, {"id": "2"}, {"id": "3"}])] == [2, 1, 1]
    pages = [page async for page in acme.iterate_pages("Tasks", "by_time", page_size=1)]
    assert [one.item["id"] for page in pages for one in page.items if one.item] == ["1", "2", "3"]
    await acme.delete_item("Tasks", {"id": "1"})
    assert (await acme.get_item("Tasks", {"id": "1"})).item is None
    assert (await client.get_item("Tasks", {"id": "1"})).version == 1


async def test_view_shares_the_connection(client: PersistenceClient) -> None:
    view = client.of("acme").of("other")
    view.close()
    await client.ping()
    assert client._connection is view._connection
    with pytest.raises(InvalidParams, match="not the name of a tenant"):
        client.of("..")


async def test_query_has_bounds(client: PersistenceClient) -> None:
    await client.batch([Put("Tasks", {"id": name, "created": name, "status": "open"}) for name in "abcd"])
    page = await client.query("Tasks", "by_time", low="b", high="c")
    assert [one.item["id"] for one in page.items if one.item] == ["b", "c"]


@pytest.mark.parametrize("table", sorted(PRIVATE))
async def test_private_table_needs_a_token_in_production(suite: Suite, table: str) -> None:
    port = await suite.start_persistence(stage="prod")
    async with PersistenceClient("127.0.0.1", port) as client:
        with pytest.raises(Refused) as caught:
            await client.query(table, partition="x")
        assert caught.value.error == "unauthorized"
        with pytest.raises(Refused, match="not open to programs"):
            await client.transact([Put(table, {"user": "x"}, Condition(exists=False))])


async def test_private_table_is_open_with_the_token(suite: Suite) -> None:
    port = await suite.start_persistence(stage="prod", service_token=TOKEN)
    async with PersistenceClient("127.0.0.1", port, Access(TOKEN)) as client:
        await client.put_item("AccountEmails", {"email": "ana@example.com", "user": "u1"}, when=Condition(exists=False))
        assert [change.table for change in (await client.changes(None)).changes] == ["Tenants"]


async def test_changes_of_all_tenants_name_theirs(client: PersistenceClient) -> None:
    start = (await client.changes(None)).position
    for tenant in ("main", "acme", "main", "other"):
        await client.of(tenant).put_item("Scores", {"user_id": 1, "tenant": tenant})
    page = await client.changes(start, tenant=None)
    assert [change.tenant for change in page.changes] == ["main", "acme", "main", "other"]
    assert all(change.new is not None and change.new.item for change in page.changes)
    assert [change.tenant for change in (await client.changes(start)).changes] == ["main", "main"]
    assert [change.tenant for change in (await client.changes(start, tenant="other")).changes] == ["other"]
    own = await client.of("acme").changes(start)
    assert [change.tenant for change in own.changes] == ["acme"]
    assert own.position == page.position
    assert [one.tenant for one in (await client.of("acme").changes(start, tenant="main")).changes] == ["main", "main"]
    with pytest.raises(InvalidParams):
        await client.changes(start, tenant="*")


async def test_conflict_names_the_refused_action(client: PersistenceClient) -> None:
    new = Condition(exists=False)
    await client.put_item("Stock", {"store": "A", "item": "x", "count": 1})
    check = Check("Stock", {"store": "A", "item": "x"}, Condition(at_least={"count": 2}))
    actions: list[Action] = [
        Put("Scores", {"user_id": 1}, new),
        Put("Stock", {"store": "A", "item": "y", "count": 1}, new),
        check,
    ]
    with pytest.raises(Refused) as caught:
        await client.transact(actions)
    assert caught.value.action == 2
    assert (caught.value.reply["table"], caught.value.reply["key"]) == ("Stock", {"store": "A", "item": "x"})
    results = await client.batch([*actions, Put("Scores", {"user_id": 1}, new)])
    found = [(one.action, one.reply["key"]) for one in results if isinstance(one, Refused)]
    assert found == [(2, {"store": "A", "item": "x"}), (3, {"user_id": 1})]


async def test_cursor_of_a_long_tenant_fits_the_gateway(client: PersistenceClient) -> None:
    view = client.of("t" * 40)
    items = [{"store": "s" * 40, "item": f"{n:040}", "count": 1} for n in range(3)]
    await view.batch([Put("Stock", item) for item in items])
    page = await view.query("Stock", "all", page_size=1)
    cursor = msgspec.convert(page.cursor, Cursor)
    # The limit was 200 once.
    assert len(cursor) > 200
    following = await view.query("Stock", "all", page_size=1, cursor=cursor)
    assert [one.item for one in following.items] == items[1:2]
    with pytest.raises(Refused):
        await client.query("Stock", "all", page_size=1, cursor=cursor)
