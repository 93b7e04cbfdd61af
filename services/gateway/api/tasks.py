"""Tasks: things to do, kept as records of the persistence server."""

import datetime
from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType, to_builtins

from clients.persistence import PersistenceClient, StoredItem
from services.gateway.api.task_numbers import TaskNumbers
from services.gateway.api.task_records import Description, TaskRecords, Title, etag_of_task, status_of, task_members
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.responses import answer, is_named, unchanged
from services.gateway.http.router import ASKING, Answer, Meant, Operation, Request
from services.gateway.upstream.backend import Backend


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
        self._records = TaskRecords(persistence)
        self._numbers = TaskNumbers(persistence)

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
        page = await self._records.list(query.completed, newest_first=True, limit=query.limit, cursor=query.cursor)
        return answer(TaskPage([_task(stored) for stored in page.tasks], page.cursor))

    async def _add(self, request: Request) -> Answer:
        stored = await self._records.add(task_members(to_builtins(request.body)))
        task = _task(stored)
        return answer(task, status=201, etag=etag_of_task(stored), location=f"/tasks/{task.id}")

    async def _show(self, request: Request) -> Answer:
        stored = await self._records.get(request.id)
        etag = etag_of_task(stored)
        return unchanged(etag) if is_named(etag, request.headers.if_none_match) else answer(_task(stored), etag=etag)

    async def _change(self, request: Request) -> Answer:
        members = task_members(to_builtins(request.body))
        stored = await self._records.change(request.id, members, request.headers.if_match)
        return answer(_task(stored), etag=etag_of_task(stored))

    async def _remove(self, request: Request) -> Answer:
        number = await self._numbers.removal(request.id)
        await self._records.remove(request.id, request.headers.if_match, number)
        return Answer(204, [], b"")


def _task(stored: StoredItem) -> Task:
    item = stored.item
    assert item is not None
    return Task(
        id=item["id"],
        title=item["title"],
        description=item["description"],
        completed=item["status"] == status_of(True),
        created_at=datetime.datetime.fromisoformat(item["created"]),
        updated_at=datetime.datetime.fromisoformat(item["updated"]),
    )
