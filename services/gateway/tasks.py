"""Tasks: things to do, kept as records of the persistence server."""

import datetime
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Response, delete, get, patch, post, put
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from clients.errors import Refused
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.answers import answer, is_named, refusals, unchanged
from services.gateway.backend import Backend
from services.gateway.orders import Cursor, IfMatch, IfNoneMatch, Limit
from shared.domain.errors import InvalidParams, NotFound, PreconditionFailed
from shared.domain.records import Condition
from shared.domain.tables import TASKS

Title = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=10_000)]


class NewTask(Struct, frozen=True, forbid_unknown_fields=True):
    """A task as it is sent in."""

    title: Title
    description: Description = ""
    completed: bool = False


class TaskChange(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to become different of a task."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    completed: bool | UnsetType = UNSET


class Task(Struct, frozen=True):
    """A task."""

    id: str
    title: str
    description: str
    completed: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime


class TaskPage(Struct, frozen=True):
    """Tasks, newest first; `cursor` leads to the next page."""

    tasks: list[Task]
    cursor: str | None


def task_routes(persistence: Backend[PersistenceClient]) -> Sequence[BaseRouteHandler]:
    """Everything below /tasks."""
    bodies = ("invalid_json", "unsupported_media_type", "invalid_params", "timeout", "deadline_exceeded")
    changes = refusals(*bodies, "not_found", "precondition_failed")

    @get(
        "/tasks",
        tags=["tasks"],
        summary="List tasks, newest first",
        responses=refusals("invalid_params", "deadline_exceeded"),
    )
    async def listed(completed: bool | None = None, limit: Limit = 50, cursor: Cursor = None) -> Response[TaskPage]:
        index = "by_time" if completed is None else "by_status"
        partition = None if completed is None else _status(completed)
        page = await persistence.ask(
            lambda client: client.query(
                TASKS.name, index, partition=partition, descending=True, page_size=limit, cursor=cursor
            )
        )
        return answer(TaskPage([_task(stored) for stored in page.items], page.cursor))

    @post("/tasks", tags=["tasks"], summary="Add a task", responses=refusals(*bodies))
    async def added(data: JSONBody[NewTask]) -> Response[Task]:
        _check(data.title)
        now = _now()
        item = {"id": str(uuid.uuid4()), **_members(to_builtins(data)), "created": now, "updated": now}
        when = Condition(exists=False)
        stored = await persistence.ask(lambda client: client.put_item(TASKS.name, item, when=when))
        return answer(_task(stored), status=201, etag=_etag(stored), headers={"Location": f"/tasks/{item['id']}"})

    @get(
        "/tasks/{id:str}",
        tags=["tasks"],
        summary="Look at a task",
        responses={
            304: ResponseSpec(None, generate_examples=False, description="It is what the ETag stands for"),
            **refusals("not_found", "invalid_params", "deadline_exceeded"),
        },
    )
    async def shown(id: str, if_none_match: IfNoneMatch = None) -> Response[Task]:  # noqa: A002
        stored = await found(id)
        etag = _etag(stored)
        return unchanged(etag) if is_named(etag, if_none_match) else answer(_task(stored), etag=etag)

    @put("/tasks/{id:str}", tags=["tasks"], summary="Write a task anew", responses=changes)
    async def replaced(id: str, data: JSONBody[NewTask], if_match: IfMatch = None) -> Response[Task]:  # noqa: A002
        return await change(id, to_builtins(data), if_match)

    @patch("/tasks/{id:str}", tags=["tasks"], summary="Change some of a task", responses=changes)
    async def changed(id: str, data: JSONBody[TaskChange], if_match: IfMatch = None) -> Response[Task]:  # noqa: A002
        return await change(id, to_builtins(data), if_match)

    @delete("/tasks/{id:str}", tags=["tasks"], summary="Remove a task", responses=changes)
    async def removed(id: str, if_match: IfMatch = None) -> None:  # noqa: A002
        async def remove(when: Condition) -> None:
            await persistence.ask(lambda client: client.delete_item(TASKS.name, {"id": id}, when=when))

        await where_it_is(id, if_match, remove)

    async def change(task: str, members: dict[str, Any], if_match: str | None) -> Response[Any]:
        _check(members.get("title", "-"))
        members = {**_members(members), "updated": _now()}

        async def update(when: Condition) -> StoredItem:
            return await persistence.ask(
                lambda client: client.update_item(TASKS.name, {"id": task}, members, when=when)
            )

        stored = await where_it_is(task, if_match, update)
        return answer(_task(stored), etag=_etag(stored))

    async def where_it_is(task: str, if_match: str | None, write: Any) -> Any:
        """Writes on the condition that the task is there, in the version that the caller has seen."""
        try:
            return await write(_condition(if_match))
        except Refused as refusal:
            if refusal.error != "conflict":
                raise
        await found(task)
        raise PreconditionFailed(
            "the task is of another version", field="If-Match", hint="get it again, and send the ETag it has then"
        )

    async def found(task: str) -> StoredItem:
        if not 1 <= len(task) <= 64:
            raise NotFound("there is no task of this id", field="id")
        stored = await persistence.ask(lambda client: client.get_item(TASKS.name, {"id": task}))
        if stored.item is None:
            raise NotFound(f"there is no task {task}", field="id", hint="GET /tasks lists what there is")
        return stored

    return [listed, added, shown, replaced, changed, removed]


def _condition(if_match: str | None) -> Condition:
    if if_match is None or if_match.strip() == "*":
        return Condition(exists=True)
    version = if_match.strip().removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 16):
        raise PreconditionFailed("no version of a task has this ETag", field="If-Match", hint="send one ETag")
    return Condition(exists=True, version=int(version))


def _check(title: str) -> None:
    if not title.strip():
        raise InvalidParams("title must not be blank", field="title")


def _members(sent: dict[str, Any]) -> dict[str, Any]:
    """A task's members as the table has them."""
    kept: dict[str, Any] = {name: sent[name] for name in ("title", "description") if name in sent}
    if "completed" in sent:
        kept["status"] = _status(sent["completed"])
    return kept


def _status(completed: bool) -> str:
    return "done" if completed else "open"


def _task(stored: StoredItem) -> Task:
    item = stored.item
    assert item is not None
    return Task(
        id=item["id"],
        title=item["title"],
        description=item["description"],
        completed=item["status"] == _status(True),
        created_at=datetime.datetime.fromisoformat(item["created"]),
        updated_at=datetime.datetime.fromisoformat(item["updated"]),
    )


def _etag(stored: StoredItem) -> str:
    return f'"{stored.version}"'


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
