"""Tasks over HTTP."""

from typing import Any

import pytest

from tests.support.http import Http, Reply


def added(http: Http, **members: Any) -> Reply:
    reply = http.post("/tasks", {"title": "Buy bread", **members})
    assert reply.status == 201
    return reply


def test_a_task_is_added_looked_at_changed_and_removed(http: Http) -> None:
    task = added(http, description="wholemeal").json
    path = f"/tasks/{task['id']}"
    assert http.get(path).json == task
    assert task["completed"] is False
    assert task["created_at"] == task["updated_at"]
    done = http.ask("PATCH", path, {"completed": True}).json
    assert done == {**task, "completed": True, "updated_at": done["updated_at"]}
    assert done["updated_at"] > task["updated_at"]
    anew = http.ask("PUT", path, {"title": "Bake bread"}).json
    assert (anew["title"], anew["description"], anew["completed"]) == ("Bake bread", "", False)
    assert anew["created_at"] == task["created_at"]
    gone = http.ask("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert http.get(path).problem["error"] == "not_found"


def test_tasks_are_listed_newest_first_by_page_and_state(http: Http) -> None:
    ids = [added(http).json["id"] for _ in range(3)]
    http.ask("PATCH", f"/tasks/{ids[1]}", {"completed": True})
    first = http.get("/tasks?limit=2").json
    assert [task["id"] for task in first["tasks"]] == [ids[2], ids[1]]
    second = http.get(f"/tasks?limit=1&cursor={first['cursor']}").json
    assert [task["id"] for task in second["tasks"]] == [ids[0]]
    assert http.get("/tasks?completed=true&limit=1").json["tasks"][0]["id"] == ids[1]
    open_ids = [task["id"] for task in http.get("/tasks?completed=false&limit=2").json["tasks"]]
    assert open_ids == [ids[2], ids[0]]


def test_an_etag_saves_sending_and_guards_against_surprise(http: Http) -> None:
    reply = added(http)
    path, etag = reply.headers["location"], reply.headers["etag"]
    assert http.get(path, If_None_Match=f'"x", {etag}').status == 304
    changed = http.ask("PATCH", path, {"title": "Mine"}, headers={"If-Match": etag})
    assert changed.status == 200
    assert changed.headers["etag"] != etag
    for method, body in (("PATCH", {"title": "Late"}), ("PUT", {"title": "Late"}), ("DELETE", None)):
        late = http.ask(method, path, body, headers={"If-Match": etag})
        assert late.status == 412, method
        assert late.problem["field"] == "If-Match"
    assert http.get(path).json["title"] == "Mine"
    assert http.ask("DELETE", path, headers={"If-Match": "*"}).status == 204


def test_what_is_not_there_is_not_found(http: Http) -> None:
    for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("PUT", {"title": "x"}), ("DELETE", None)):
        assert http.ask(method, "/tasks/nobody", body).status == 404, method
    assert http.ask("DELETE", "/tasks/nobody", headers={"If-Match": '"3"'}).status == 404


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
def test_a_wrong_task_is_told_by_field(http: Http, body: Any, field: str) -> None:
    reply = http.post("/tasks", body)
    assert reply.status == 422
    assert reply.problem["field"] == field
