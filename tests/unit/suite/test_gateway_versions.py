"""Versions over HTTP, in this process."""

from urllib.parse import quote

import pytest

from shared.domain.tables import STOCK, TASKS
from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp


async def remove_item(suite: Suite, store: str, item: str) -> None:
    async with suite.persistence() as client:
        await client.delete_item(STOCK.name, {"store": store, "item": item})


async def test_etag_of_an_item_that_was_removed_fits_nothing_that_comes_after(
    http: InProcessHttp, suite: Suite
) -> None:
    path = "/items/Lugo/Sal"
    first = await http.ask("PUT", path, {"count": 3})
    etag = first.headers["etag"]
    assert (await http.ask("GET", path, headers={"If-None-Match": etag})).status == 304
    await remove_item(suite, "Lugo", "Sal")
    assert (await http.get(path)).status == 404
    assert (await http.ask("PUT", path, {"count": 7}, headers={"If-Match": etag})).status == 412
    second = await http.ask("PUT", path, {"count": 3})
    assert second.headers["etag"] != etag
    assert (await http.ask("PUT", path, {"count": 9}, headers={"If-Match": etag})).status == 412
    seen = await http.ask("GET", path, headers={"If-None-Match": etag})
    assert (seen.status, seen.json["count"]) == (200, 3)
    assert (await http.ask("PUT", path, {"count": 9}, headers={"If-Match": second.headers["etag"]})).status == 200


async def test_etag_of_a_task_that_was_removed_fits_nothing_that_comes_after(http: InProcessHttp, suite: Suite) -> None:
    async def put_back() -> None:
        async with suite.persistence() as client:
            members = {"title": "b", "description": "", "status": "open", "created": now, "updated": now}
            await client.put_item(TASKS.name, {"id": task, **members})

    made = await http.post("/tasks", {"title": "a"})
    task, now, etag = (
        made.json["id"],
        made.json["created_at"],
        (await http.get(made.headers["location"])).headers["etag"],
    )
    assert (await http.ask("DELETE", f"/tasks/{task}")).status == 204
    await put_back()
    assert (await http.ask("PATCH", f"/tasks/{task}", {"completed": True}, headers={"If-Match": etag})).status == 412
    assert (await http.ask("GET", f"/tasks/{task}", headers={"If-None-Match": etag})).json["title"] == "b"


@pytest.mark.parametrize("spelling", ["CAFE\u0301", "caf\u00e9 ", "Caf\u00e9\u00a0", "Caf\u00e9\u00ad"])
async def test_item_is_one_under_every_spelling(http: InProcessHttp, spelling: str) -> None:
    assert (await http.ask("PUT", "/items/Vigo/Caf%C3%A9", {"count": 3})).status == 200
    changed = (await http.ask("PUT", f"/items/VIGO/{quote(spelling)}", {"count": 4})).json
    assert (changed["store"], changed["item"], changed["count"]) == ("Vigo", "Caf\u00e9", 4)
    assert [one["count"] for one in (await http.get("/items/vigo")).json["items"]] == [4]
