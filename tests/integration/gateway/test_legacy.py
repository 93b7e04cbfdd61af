"""Stock and tasks for programs that expect bare arrays and whole numbers."""

from collections.abc import Iterator

import pytest

from tests.integration.gateway.conftest import Suite
from tests.support.http import Http
from tests.support.intake import GatewayProcess


@pytest.fixture(scope="module")
def older(suite: Suite) -> Iterator[Http]:
    """A client of a gateway that serves them at the root."""
    servers = [suite.intake, suite.persistence, suite.distributed]
    with GatewayProcess(suite.intake.data_dir, servers, {"LEGACY_ROUTES": "true"}) as gateway:
        yield Http(gateway)


def test_items_are_a_bare_array(http: Http, older: Http) -> None:
    for item, count in (("pan", 3), ("agua", 0)):
        assert http.ask("PUT", f"/items/Lugo/{item}", {"count": count}).status == 200
    expected = [{"store": "Lugo", "item": "agua", "count": 0}, {"store": "Lugo", "item": "pan", "count": 3}]
    assert older.get("/items").json == older.get("/items/lugo").json == http.get("/legacy/items").json == expected
    assert older.get("/items/nowhere").json == http.get("/legacy/items/nowhere").json == []
    first = older.get("/items?limit=1")
    assert first.json == expected[:1]
    following = first.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    last = older.get(f"/items{following}")
    assert (last.json, last.headers.get("link")) == (expected[1:], None)
    # What is at the root elsewhere is there still, below /api/v1.
    for client in (http, older):
        assert [one["item"] for one in client.get("/api/v1/items/Lugo").json["items"]] == ["agua", "pan"]
    assert older.get("/items/Lugo/pan").json["count"] == 3


def test_tasks_have_whole_numbers(http: Http, older: Http) -> None:
    natives = [http.post("/tasks", {"title": title}).json["id"] for title in ("a", "b")]
    made = older.post("/tasks", {"id": 77, "title": "c", "description": None})
    assert made.status == 201
    task = made.json
    assert (task["id"], task["title"], task["description"], task["completed"]) == (1, "c", None, False)
    assert older.get(f"/{made.headers['location']}").json == task
    listed = older.get("/tasks").json
    assert [(one["id"], one["title"]) for one in listed] == [(2, "a"), (3, "b"), (1, "c")]
    assert older.get("/tasks").json == http.get("/legacy/tasks").json == listed
    assert older.get("/tasks/3").json == older.get(f"/tasks/{natives[1]}").json == listed[1]
    changed = older.ask("PUT", "/tasks/3", {"title": "B", "description": "two", "completed": True})
    assert (changed.json["id"], changed.json["description"], changed.json["completed"]) == (3, "two", True)
    assert older.ask("PATCH", "/tasks/3", {"description": None}).json["description"] is None
    assert older.ask("PUT", "/tasks/3", {"title": "x"}, headers={"If-Match": changed.headers["etag"]}).status == 412
    assert http.get(f"/tasks/{natives[1]}").json["title"] == "B"
    assert older.ask("DELETE", "/tasks/2").status == 204
    assert http.ask("DELETE", f"/tasks/{natives[1]}").status == 204
    assert older.get("/tasks/2").status == older.get("/tasks/3").status == older.get("/tasks/99").status == 404
    assert older.post("/tasks", {"title": "d"}).json["id"] == 4
    assert [one["id"] for one in older.get("/tasks").json] == [1, 4]


def test_many_tasks_are_numbered_once(http: Http, older: Http) -> None:
    for number in range(60):
        http.post("/tasks", {"title": str(number)})
    listed = older.get("/tasks").json
    assert len({one["id"] for one in listed}) == len(listed)
    assert older.get("/tasks").json == listed
    page = older.get("/tasks?limit=50")
    assert page.json == listed[:50]
    assert "link" in page.headers


@pytest.mark.parametrize("number", ["0", "1" * 20, "-1", "1.5", "\u0663".encode().hex()])
def test_number_that_no_task_has(older: Http, number: str) -> None:
    assert older.get(f"/tasks/{number}").problem["error"] == "not_found"
