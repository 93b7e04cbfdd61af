"""Legacy over HTTP, in this process."""

import pytest

from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp


@pytest.fixture
async def older(suite: Suite, http: InProcessHttp) -> InProcessHttp:
    """A client of a gateway that serves them at the root."""
    return InProcessHttp(await suite.start_gateway(legacy_routes=True))


async def test_items_are_a_bare_array(http: InProcessHttp, older: InProcessHttp) -> None:
    for item, count in (("pan", 3), ("agua", 0)):
        assert (await http.ask("PUT", f"/items/Lugo/{item}", {"count": count})).status == 200
    expected = [{"store": "Lugo", "item": "agua", "count": 0}, {"store": "Lugo", "item": "pan", "count": 3}]
    assert (
        (await older.get("/items")).json
        == (await older.get("/items/lugo")).json
        == (await http.get("/legacy/items")).json
        == expected
    )
    assert (await older.get("/items/nowhere")).json == (await http.get("/legacy/items/nowhere")).json == []
    first = await older.get("/items?limit=1")
    assert first.json == expected[:1]
    following = first.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    last = await older.get(f"/items{following}")
    assert (last.json, last.headers.get("link")) == (expected[1:], None)
    # What is at the root elsewhere is there still, below /api/v1.
    for client in (http, older):
        assert [one["item"] for one in (await client.get("/api/v1/items/Lugo")).json["items"]] == ["agua", "pan"]
    assert (await older.get("/items/Lugo/pan")).json["count"] == 3


async def test_tasks_have_whole_numbers(http: InProcessHttp, older: InProcessHttp) -> None:
    natives = [(await http.post("/tasks", {"title": title})).json["id"] for title in ("a", "b")]
    made = await older.post("/tasks", {"id": 77, "title": "c", "description": None})
    assert made.status == 201
    task = made.json
    assert (task["id"], task["title"], task["description"], task["completed"]) == (1, "c", None, False)
    assert (await older.get(f"/{made.headers['location']}")).json == task
    listed = (await older.get("/tasks")).json
    assert [(one["id"], one["title"]) for one in listed] == [(2, "a"), (3, "b"), (1, "c")]
    assert (await older.get("/tasks")).json == (await http.get("/legacy/tasks")).json == listed
    assert (await older.get("/tasks/3")).json == (await older.get(f"/tasks/{natives[1]}")).json == listed[1]
    changed = await older.ask("PUT", "/tasks/3", {"title": "B", "description": "two", "completed": True})
    assert (changed.json["id"], changed.json["description"], changed.json["completed"]) == (3, "two", True)
    assert (await older.ask("PATCH", "/tasks/3", {"description": None})).json["description"] is None
    assert (
        await older.ask("PUT", "/tasks/3", {"title": "x"}, headers={"If-Match": changed.headers["etag"]})
    ).status == 412
    assert (await http.get(f"/tasks/{natives[1]}")).json["title"] == "B"
    assert (await older.ask("DELETE", "/tasks/2")).status == 204
    assert (await http.ask("DELETE", f"/tasks/{natives[1]}")).status == 204
    assert (
        (await older.get("/tasks/2")).status
        == (await older.get("/tasks/3")).status
        == (await older.get("/tasks/99")).status
        == 404
    )
    assert (await older.post("/tasks", {"title": "d"})).json["id"] == 4
    assert [one["id"] for one in (await older.get("/tasks")).json] == [1, 4]


async def test_many_tasks_are_numbered_once(http: InProcessHttp, older: InProcessHttp) -> None:
    for number in range(60):
        await http.post("/tasks", {"title": str(number)})
    listed = (await older.get("/tasks")).json
    assert len({one["id"] for one in listed}) == len(listed)
    assert (await older.get("/tasks")).json == listed
    page = await older.get("/tasks?limit=50")
    assert page.json == listed[:50]
    assert "link" in page.headers


@pytest.mark.parametrize("number", ["0", "1" * 20, "-1", "1.5", "\u0663".encode().hex()])
async def test_number_that_no_task_has(older: InProcessHttp, number: str) -> None:
    assert (await older.get(f"/tasks/{number}")).problem["error"] == "not_found"
