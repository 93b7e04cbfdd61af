"""Tasks over HTTP, in this process."""

from typing import Any

import pytest

from tests.support.http import Reply
from tests.support.in_process_http import InProcessHttp


async def added(http: InProcessHttp, **members: Any) -> Reply:
    reply = await http.post("/tasks", {"title": "Buy bread", **members})
    assert reply.status == 201
    return reply


async def test_a_task_is_added_looked_at_changed_and_removed(http: InProcessHttp) -> None:
    task = (await added(http, description="wholemeal")).json
    path = f"/tasks/{task['id']}"
    assert (await http.get(path)).json == task
    assert task["completed"] is False
    assert task["created_at"] == task["updated_at"]
    done = (await http.ask("PATCH", path, {"completed": True})).json
    assert done == {**task, "completed": True, "updated_at": done["updated_at"]}
    assert done["updated_at"] > task["updated_at"]
    anew = (await http.ask("PUT", path, {"title": "Bake bread"})).json
    assert (anew["title"], anew["description"], anew["completed"]) == ("Bake bread", "", False)
    assert anew["created_at"] == task["created_at"]
    gone = await http.ask("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert (await http.get(path)).problem["error"] == "not_found"


async def test_tasks_are_listed_newest_first_by_page_and_state(http: InProcessHttp) -> None:
    ids = [(await added(http)).json["id"] for _ in range(3)]
    await http.ask("PATCH", f"/tasks/{ids[1]}", {"completed": True})
    first = (await http.get("/tasks?limit=2")).json
    assert [task["id"] for task in first["tasks"]] == [ids[2], ids[1]]
    second = (await http.get(f"/tasks?limit=1&cursor={first['cursor']}")).json
    assert [task["id"] for task in second["tasks"]] == [ids[0]]
    assert (await http.get("/tasks?completed=true&limit=1")).json["tasks"][0]["id"] == ids[1]
    open_ids = [task["id"] for task in (await http.get("/tasks?completed=false&limit=2")).json["tasks"]]
    assert open_ids == [ids[2], ids[0]]


async def test_an_etag_saves_sending_and_guards_against_surprise(http: InProcessHttp) -> None:
    reply = await added(http)
    path, etag = reply.headers["location"], reply.headers["etag"]
    assert (await http.get(path, If_None_Match=f'"x", {etag}')).status == 304
    changed = await http.ask("PATCH", path, {"title": "Mine"}, headers={"If-Match": etag})
    assert changed.status == 200
    assert changed.headers["etag"] != etag
    for method, body in (("PATCH", {"title": "Late"}), ("PUT", {"title": "Late"}), ("DELETE", None)):
        late = await http.ask(method, path, body, headers={"If-Match": etag})
        assert late.status == 412, method
        assert late.problem["field"] == "If-Match"
    assert (await http.get(path)).json["title"] == "Mine"
    assert (await http.ask("DELETE", path, headers={"If-Match": "*"})).status == 204


async def test_what_is_not_there_is_not_found(http: InProcessHttp) -> None:
    for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("PUT", {"title": "x"}), ("DELETE", None)):
        assert (await http.ask(method, "/tasks/nobody", body)).status == 404, method
    assert (await http.ask("DELETE", "/tasks/nobody", headers={"If-Match": '"3"'})).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "x", "completed": "yes"}, "completed"),
        ({"title": "x", "titel": "y"}, "titel"),
    ],
)
async def test_a_wrong_task_is_told_by_field(http: InProcessHttp, body: Any, field: str) -> None:
    reply = await http.post("/tasks", body)
    assert reply.status == 422
    assert reply.problem["field"] == field
