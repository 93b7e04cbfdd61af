"""Compatible routes for stock and tasks: bare arrays instead of pages, and integers as ids of tasks.

Everything here is below /legacy, and with LEGACY_ROUTES at the root as well, where it takes the place of the
routes that have the same paths. Those are below /api/v1 in any case.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Struct, UnsetType, to_builtins

from clients.inventory.stock import StoredStockPage, list_stock
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.api.task_numbers import TaskNumbers
from services.gateway.api.task_records import (
    Description,
    TaskRecords,
    Title,
    etag_of_task,
    new_task,
    status_of,
    task_members,
)
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.principal import OPERATORS, VIEWERS
from services.gateway.http.responses import is_named, json_response, not_modified
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, Route, route
from services.gateway.upstream.backend import Backend
from shared.domain.errors import NotFound
from shared.domain.stock import check_store

PREFIX = "/legacy"
NATIVE_PREFIX = "/api/v1"
_PAGE = 1000


class PlainItem(Struct, frozen=True):
    """The count of an item in a store."""

    store: str
    item: str
    count: int


class PlainTask(Struct, frozen=True):
    """A task with an integer id; `description` may be null."""

    id: int
    title: str
    description: str | None
    completed: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime


class NewPlainTask(Struct, frozen=True):
    """A new task; unknown members are ignored."""

    title: Title
    description: Description | None = None
    completed: bool = False


class PlainTaskChange(Struct, frozen=True, omit_defaults=True):
    """Changes of a task; unknown members are ignored."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    completed: bool | UnsetType = UNSET


class PlainQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Position and size of a page; its header `Link` leads to the next page."""

    limit: Limit = _PAGE
    cursor: Cursor | None = None


def _describe_array(kind: type[Struct]) -> Mapping[int, ResponseSpec]:
    return {200: ResponseSpec(list[kind], "All of them, or a page with a header Link to the next")}  # type: ignore[valid-type]


_TASK = {200: ResponseSpec(PlainTask, "The task")}
_CHANGE_ERRORS = ("not_found", "precondition_failed", "conflict", *UPSTREAM_ERRORS)
_EXAMPLE = {"title": "Buy bread", "description": None}


class LegacyRoutes:
    """Arrays of items and tasks below PREFIX."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._persistence = persistence

    def _tasks_of(self, request: HttpRequest) -> tuple[TaskRecords, TaskNumbers]:
        """Returns the tasks of the request's tenant, and their numbers."""
        persistence = self._persistence.of(request.principal.tenant)
        return TaskRecords(persistence), TaskNumbers(persistence)

    @route(
        "GET",
        "/items",
        id="items_get_legacy",
        tag="legacy",
        access=VIEWERS,
        summary="All stock",
        query=PlainQuery,
        responses=_describe_array(PlainItem),
        errors=UPSTREAM_ERRORS,
    )
    @route(
        "GET",
        "/items/{store}",
        id="store_items_get_legacy",
        tag="legacy",
        access=VIEWERS,
        summary="The stock of a store",
        query=PlainQuery,
        responses=_describe_array(PlainItem),
        errors=UPSTREAM_ERRORS,
    )
    async def _list_items(self, request: HttpRequest) -> HttpResponse:
        query: PlainQuery = request.query
        records = self._persistence.of(request.principal.tenant)
        store = check_store(request.path_values["store"]) if "store" in request.path_values else None
        try:
            page = await list_stock(records.lists, store, limit=query.limit, cursor=query.cursor)
        except NotFound:
            page = StoredStockPage([], None)
        items = [stored.item for stored in page.items if stored.item is not None]
        return _array_response(
            [PlainItem(item["store"], item["item"], item["count"]) for item in items], query, page.cursor
        )

    @route(
        "GET",
        "/tasks",
        id="list_get_legacy",
        tag="legacy",
        access=VIEWERS,
        summary="All tasks, oldest first",
        query=PlainQuery,
        responses=_describe_array(PlainTask),
        errors=UPSTREAM_ERRORS,
    )
    async def _list_tasks(self, request: HttpRequest) -> HttpResponse:
        tasks, numbers = self._tasks_of(request)
        query: PlainQuery = request.query
        page = await tasks.list(None, newest_first=False, limit=query.limit, cursor=query.cursor)
        found = await numbers.numbers([stored.item["id"] for stored in page.tasks if stored.item is not None])
        shown = [_plain_task(stored, number) for stored, number in zip(page.tasks, found, strict=True)]
        return _array_response(shown, query, page.cursor)

    @route(
        "POST",
        "/tasks",
        id="add_post_legacy",
        tag="legacy",
        access=OPERATORS,
        summary="Add a task",
        body=NewPlainTask,
        example=_EXAMPLE,
        responses={201: ResponseSpec(PlainTask, "The task is stored")},
        errors=("conflict", *UPSTREAM_ERRORS),
    )
    async def _add_task(self, request: HttpRequest) -> HttpResponse:
        _, numbers = self._tasks_of(request)
        stored, number = await numbers.add(new_task(_task_members(request.body)))
        return json_response(
            _plain_task(stored, number), status=201, etag=etag_of_task(stored), location=f"tasks/{number}"
        )

    @route(
        "GET",
        "/tasks/{id}",
        id="show_get_legacy",
        tag="legacy",
        access=VIEWERS,
        summary="Look at a task",
        headers=NoneMatch,
        responses={**_TASK, 304: ResponseSpec(None, "It is what the ETag stands for")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_task(self, request: HttpRequest) -> HttpResponse:
        tasks, numbers = self._tasks_of(request)
        stored = await tasks.get(await numbers.find(request.id))
        etag = etag_of_task(stored)
        if is_named(etag, request.headers.if_none_match):
            return not_modified(etag)
        return await _task_response(numbers, stored)

    @route(
        "PUT",
        "/tasks/{id}",
        id="change_put_legacy",
        tag="legacy",
        access=OPERATORS,
        summary="Replace a task",
        headers=Match,
        body=NewPlainTask,
        example=_EXAMPLE,
        responses=_TASK,
        errors=_CHANGE_ERRORS,
    )
    @route(
        "PATCH",
        "/tasks/{id}",
        id="change_patch_legacy",
        tag="legacy",
        access=OPERATORS,
        summary="Change some of a task",
        headers=Match,
        body=PlainTaskChange,
        example={"completed": True},
        responses=_TASK,
        errors=_CHANGE_ERRORS,
    )
    async def _change_task(self, request: HttpRequest) -> HttpResponse:
        tasks, numbers = self._tasks_of(request)
        task = await numbers.find(request.id)
        return await _task_response(
            numbers, await tasks.change(task, _task_members(request.body), request.headers.if_match)
        )

    @route(
        "DELETE",
        "/tasks/{id}",
        id="remove_delete_legacy",
        tag="legacy",
        access=OPERATORS,
        summary="Remove a task",
        headers=Match,
        responses={204: ResponseSpec(None, "It is gone")},
        errors=_CHANGE_ERRORS,
    )
    async def _remove_task(self, request: HttpRequest) -> HttpResponse:
        tasks, numbers = self._tasks_of(request)
        task = await numbers.find(request.id)
        await tasks.remove(task, request.headers.if_match, await numbers.removal(task))
        return HttpResponse(204, [], b"")


async def _task_response(numbers: TaskNumbers, stored: StoredItem) -> HttpResponse:
    assert stored.item is not None
    (number,) = await numbers.numbers([stored.item["id"]])
    return json_response(_plain_task(stored, number), etag=etag_of_task(stored))


def add_legacy_paths(native: Sequence[Route], legacy: Sequence[Route], *, at_root: bool) -> list[Route]:
    """Returns all routes with their paths: `legacy` ones below PREFIX, and those whose paths they have twice."""
    taken = {(route.method, route.path) for route in legacy}
    covered = [route for route in native if (route.method, route.path) in taken]
    found = [*_add_prefix(PREFIX, legacy, listed=False), *_add_prefix(NATIVE_PREFIX, covered, listed=at_root)]
    if not at_root:
        return [*native, *found]
    rest = [route for route in native if (route.method, route.path) not in taken]
    return [*rest, *legacy, *found]


def _add_prefix(prefix: str, routes: Sequence[Route], *, listed: bool) -> list[Route]:
    return [msgspec.structs.replace(one, path=prefix + one.path, listed=listed) for one in routes]


def _array_response(content: Sequence[Any], query: PlainQuery, cursor: str | None) -> HttpResponse:
    found = json_response(content)
    if cursor is not None:
        following = urlencode({"limit": query.limit, "cursor": cursor})
        found.headers.append((b"link", f'<?{following}>; rel="next"'.encode()))
    return found


def _task_members(sent: NewPlainTask | PlainTaskChange) -> dict[str, Any]:
    members: dict[str, Any] = to_builtins(sent)
    if members.get("description", "") is None:
        members["description"] = ""
    return task_members(members)


def _plain_task(stored: StoredItem, number: int) -> PlainTask:
    item = stored.item
    assert item is not None
    return PlainTask(
        id=number,
        title=item["title"],
        description=item["description"] or None,
        completed=item["status"] == status_of(True),
        created_at=datetime.datetime.fromisoformat(item["created"]),
        updated_at=datetime.datetime.fromisoformat(item["updated"]),
    )
