"""Tasks: things to do, kept as records of the persistence server."""

import datetime
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from clients.errors import Refused
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.answers import answer, is_named, seen_version, unchanged
from services.gateway.backend import Backend, Work
from services.gateway.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.routing import ASKING, Answer, Meant, Operation, Request
from shared.domain.errors import InvalidParams, NotFound, PreconditionFailed
from shared.domain.records import Condition
from shared.domain.tables import TASKS
from shared.wire.strict import shortened

T = TypeVar("T")

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


class TaskQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which tasks."""

    completed: bool | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class TaskRoutes:
    """Everything below /tasks, kept by the persistence server."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._persistence = persistence

    def operations(self) -> Sequence[Operation]:
        """What can be asked."""
        changes = ("not_found", "precondition_failed", *ASKING)
        task = {200: Meant(Task, "The task")}
        return [
            Operation(
                method="GET",
                path="/tasks",
                serve=self._list,
                tag="tasks",
                summary="List tasks, newest first",
                query=TaskQuery,
                answers={200: Meant(TaskPage, "A page of tasks")},
                refusals=ASKING,
            ),
            Operation(
                method="POST",
                path="/tasks",
                serve=self._add,
                tag="tasks",
                summary="Add a task",
                body=NewTask,
                example={"title": "Buy bread", "description": "wholemeal"},
                answers={201: Meant(Task, "The task is stored")},
                refusals=ASKING,
            ),
            Operation(
                method="GET",
                path="/tasks/{id}",
                serve=self._show,
                tag="tasks",
                summary="Look at a task",
                headers=NoneMatch,
                answers={**task, 304: Meant(None, "It is what the ETag stands for")},
                refusals=("not_found", *ASKING),
            ),
            Operation(
                method="PUT",
                path="/tasks/{id}",
                serve=self._change,
                tag="tasks",
                summary="Write a task anew",
                headers=Match,
                body=NewTask,
                example={"title": "Buy bread", "description": "wholemeal"},
                answers=task,
                refusals=changes,
            ),
            Operation(
                method="PATCH",
                path="/tasks/{id}",
                serve=self._change,
                tag="tasks",
                summary="Change some of a task",
                headers=Match,
                body=TaskChange,
                example={"completed": True},
                answers=task,
                refusals=changes,
            ),
            Operation(
                method="DELETE",
                path="/tasks/{id}",
                serve=self._remove,
                tag="tasks",
                summary="Remove a task",
                headers=Match,
                answers={204: Meant(None, "It is gone")},
                refusals=changes,
            ),
        ]

    async def _list(self, request: Request) -> Answer:
        query: TaskQuery = request.query
        index = "by_time" if query.completed is None else "by_status"
        partition = None if query.completed is None else _status(query.completed)
        page = await self._persistence.lists.ask(
            lambda client: client.query(
                TASKS.name, index, partition=partition, descending=True, page_size=query.limit, cursor=query.cursor
            )
        )
        return answer(TaskPage([_task(stored) for stored in page.items], page.cursor))

    async def _add(self, request: Request) -> Answer:
        members = _members(request.body)
        now = _now()
        item = {"id": str(uuid.uuid4()), **members, "created": now, "updated": now}
        when = Condition(exists=False)
        stored = await self._persistence.ask(lambda client: client.put_item(TASKS.name, item, when=when))
        return answer(_task(stored), status=201, etag=_etag(stored), location=f"/tasks/{item['id']}")

    async def _show(self, request: Request) -> Answer:
        stored = await self._found(request.id)
        etag = _etag(stored)
        return unchanged(etag) if is_named(etag, request.headers.if_none_match) else answer(_task(stored), etag=etag)

    async def _change(self, request: Request) -> Answer:
        members = {**_members(request.body), "updated": _now()}

        def update(client: PersistenceClient, when: Condition) -> Awaitable[StoredItem]:
            return client.update_item(TASKS.name, {"id": request.id}, members, when=when)

        stored = await self._write(request, update)
        return answer(_task(stored), etag=_etag(stored))

    async def _remove(self, request: Request) -> Answer:
        def remove(client: PersistenceClient, when: Condition) -> Awaitable[None]:
            return client.delete_item(TASKS.name, {"id": request.id}, when=when)

        await self._write(request, remove)
        return Answer(204, [], b"")

    async def _write(self, request: Request, write: Callable[[PersistenceClient, Condition], Awaitable[T]]) -> T:
        """Writes on the condition that the task is there, in the version that the caller has seen."""
        when = Condition(exists=True, version=seen_version(request.headers.if_match))
        try:
            return await self._persistence.ask(lambda client: write(client, when))
        except Refused as refusal:
            if refusal.error != "conflict":
                raise
        await self._found(request.id)
        raise PreconditionFailed(
            "the task is of another version", field="If-Match", hint="get it again, and send the ETag it has then"
        )

    async def _found(self, task: str) -> StoredItem:
        """A task as it is stored. Raises NotFound."""
        stored = await self._persistence.ask(lambda client: client.get_item(TASKS.name, {"id": task}), Work.AT_ONCE)
        if stored.item is None:
            raise NotFound(f"there is no task {shortened(task)}", field="id", hint="GET /tasks lists what there is")
        return stored


def _members(sent: NewTask | TaskChange) -> dict[str, Any]:
    """A task's members as the table has them. Raises InvalidParams."""
    members: dict[str, Any] = to_builtins(sent)
    if "title" in members and not members["title"].strip():
        raise InvalidParams("title must not be blank", field="title")
    if "completed" in members:
        members["status"] = _status(members.pop("completed"))
    return members


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
