"""Tasks, stored as records of the persistence server."""

import datetime

from msgspec import UNSET, Struct, UnsetType, to_builtins

from clients.persistence import PersistenceClient, StoredItem
from services.gateway.api.task_numbers import TaskNumbers
from services.gateway.api.task_records import Description, TaskRecords, Title, etag_of_task, status_of, task_members
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.principal import OPERATORS, VIEWERS
from services.gateway.http.responses import is_named, json_response, not_modified
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.upstream.backend import Backend


class NewTask(Struct, frozen=True, forbid_unknown_fields=True):
    """A new task."""

    title: Title
    description: Description = ""
    completed: bool = False


class TaskChange(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Changes of a task."""

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
    """Selection of tasks."""

    completed: bool | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


_CHANGES = ("not_found", "precondition_failed", *UPSTREAM_ERRORS)
_TASK = {200: ResponseSpec(Task, "The task")}


class TaskRoutes:
    """Routes below /tasks."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._persistence = persistence

    def _records_of(self, request: HttpRequest) -> TaskRecords:
        return TaskRecords(self._persistence.of(request.principal.tenant))

    @route(
        "GET",
        "/tasks",
        id="list_get_tasks",
        tag="tasks",
        access=VIEWERS,
        summary="List tasks, newest first",
        query=TaskQuery,
        responses={200: ResponseSpec(TaskPage, "A page of tasks")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_tasks(self, request: HttpRequest) -> HttpResponse:
        query: TaskQuery = request.query
        page = await self._records_of(request).list(
            query.completed, newest_first=True, limit=query.limit, cursor=query.cursor
        )
        return json_response(TaskPage([_public_task(stored) for stored in page.tasks], page.cursor))

    @route(
        "POST",
        "/tasks",
        id="add_post_tasks",
        tag="tasks",
        access=OPERATORS,
        summary="Add a task",
        body=NewTask,
        example={"title": "Buy bread", "description": "wholemeal"},
        responses={201: ResponseSpec(Task, "The task is stored")},
        errors=UPSTREAM_ERRORS,
    )
    async def _add_task(self, request: HttpRequest) -> HttpResponse:
        stored = await self._records_of(request).add(task_members(to_builtins(request.body)))
        task = _public_task(stored)
        return json_response(task, status=201, etag=etag_of_task(stored), location=f"/tasks/{task.id}")

    @route(
        "GET",
        "/tasks/{id}",
        id="show_get_tasks",
        tag="tasks",
        access=VIEWERS,
        summary="Look at a task",
        headers=NoneMatch,
        responses={**_TASK, 304: ResponseSpec(None, "It is what the ETag stands for")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_task(self, request: HttpRequest) -> HttpResponse:
        stored = await self._records_of(request).get(request.id)
        etag = etag_of_task(stored)
        return (
            not_modified(etag)
            if is_named(etag, request.headers.if_none_match)
            else json_response(_public_task(stored), etag=etag)
        )

    @route(
        "PUT",
        "/tasks/{id}",
        id="change_put_tasks",
        tag="tasks",
        access=OPERATORS,
        summary="Replace a task",
        headers=Match,
        body=NewTask,
        example={"title": "Buy bread", "description": "wholemeal"},
        responses=_TASK,
        errors=_CHANGES,
    )
    @route(
        "PATCH",
        "/tasks/{id}",
        id="change_patch_tasks",
        tag="tasks",
        access=OPERATORS,
        summary="Change some of a task",
        headers=Match,
        body=TaskChange,
        example={"completed": True},
        responses=_TASK,
        errors=_CHANGES,
    )
    async def _change_task(self, request: HttpRequest) -> HttpResponse:
        members = task_members(to_builtins(request.body))
        stored = await self._records_of(request).change(request.id, members, request.headers.if_match)
        return json_response(_public_task(stored), etag=etag_of_task(stored))

    @route(
        "DELETE",
        "/tasks/{id}",
        id="remove_delete_tasks",
        tag="tasks",
        access=OPERATORS,
        summary="Remove a task",
        headers=Match,
        responses={204: ResponseSpec(None, "It is gone")},
        errors=_CHANGES,
    )
    async def _remove_task(self, request: HttpRequest) -> HttpResponse:
        number = await TaskNumbers(self._persistence.of(request.principal.tenant)).removal(request.id)
        await self._records_of(request).remove(request.id, request.headers.if_match, number)
        return HttpResponse(204, [], b"")


def _public_task(stored: StoredItem) -> Task:
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
