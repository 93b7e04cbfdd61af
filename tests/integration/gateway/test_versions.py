"""Versions and names over HTTP: an ETag never means two contents, and an item has one record under every spelling."""

import asyncio
from urllib.parse import quote

import pytest

from clients.persistence import PersistenceClient
from shared.domain.tables import STOCK, TASKS
from tests.integration.gateway.conftest import Suite
from tests.support.http import Http


async def remove_item(suite: Suite, store: str, item: str) -> None:
    async with PersistenceClient("127.0.0.1", suite.persistence.port) as client:
        await client.delete_item(STOCK.name, {"store": store, "item": item})


def test_etag_of_an_item_that_was_removed_fits_nothing_that_comes_after(http: Http, suite: Suite) -> None:
    path = "/items/Lugo/Sal"
    first = http.ask("PUT", path, {"count": 3})
    etag = first.headers["etag"]
    assert http.ask("GET", path, headers={"If-None-Match": etag}).status == 304
    asyncio.run(remove_item(suite, "Lugo", "Sal"))
    assert http.get(path).status == 404
    assert http.ask("PUT", path, {"count": 7}, headers={"If-Match": etag}).status == 412
    second = http.ask("PUT", path, {"count": 3})
    assert second.headers["etag"] != etag
    assert http.ask("PUT", path, {"count": 9}, headers={"If-Match": etag}).status == 412
    seen = http.ask("GET", path, headers={"If-None-Match": etag})
    assert (seen.status, seen.json["count"]) == (200, 3)
    assert http.ask("PUT", path, {"count": 9}, headers={"If-Match": second.headers["etag"]}).status == 200


def test_etag_of_a_task_that_was_removed_fits_nothing_that_comes_after(http: Http, suite: Suite) -> None:
    async def put_back() -> None:
        async with PersistenceClient("127.0.0.1", suite.persistence.port) as client:
            members = {"title": "b", "description": "", "status": "open", "created": now, "updated": now}
            await client.put_item(TASKS.name, {"id": task, **members})

    made = http.post("/tasks", {"title": "a"})
    task, now, etag = made.json["id"], made.json["created_at"], http.get(made.headers["location"]).headers["etag"]
    assert http.ask("DELETE", f"/tasks/{task}").status == 204
    asyncio.run(put_back())
    assert http.ask("PATCH", f"/tasks/{task}", {"completed": True}, headers={"If-Match": etag}).status == 412
    assert http.ask("GET", f"/tasks/{task}", headers={"If-None-Match": etag}).json["title"] == "b"


@pytest.mark.parametrize("spelling", ["CAFE\u0301", "caf\u00e9 ", "Caf\u00e9\u00a0", "Caf\u00e9\u00ad"])
def test_item_is_one_under_every_spelling(http: Http, spelling: str) -> None:
    assert http.ask("PUT", "/items/Vigo/Caf%C3%A9", {"count": 3}).status == 200
    changed = http.ask("PUT", f"/items/VIGO/{quote(spelling)}", {"count": 4}).json
    assert (changed["store"], changed["item"], changed["count"]) == ("Vigo", "Caf\u00e9", 4)
    assert [one["count"] for one in http.get("/items/vigo").json["items"]] == [4]
