"""Stock and tasks for pages and programs that expect bare arrays, and whole numbers as ids of tasks.

Everything here is below /legacy, and with LEGACY_ROUTES at the root as well, where it takes the place of the
operations that have the same paths. Those are below /api/v1 in any case.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Struct, UnsetType, to_builtins

from clients.inventory.stock import StockPage, list_stock
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
from services.gateway.http.responses import answer, is_named, unchanged
from services.gateway.http.router import ASKING, Answer, Meant, Operation, Request
from services.gateway.upstream.backend import Backend
from shared.domain.errors import NotFound
from shared.domain.stock import check_store

PREFIX = "/legacy"
NATIVE_PREFIX = "/api/v1"
_PAGE = 1000


class PlainItem(Struct, frozen=True):
    """How many there are of an item in a store."""

    store: str
    item: str
    count: int


class PlainTask(Struct, frozen=True):
    """A task with a whole number; `description` is null where there is none."""

    id: int
    title: str
    description: str | None
    completed: bool
    created_at: datetime.datetime
    updated_at: datetime.datetime


class NewPlainTask(Struct, frozen=True):
    """A task as it is sent in; other members are passed over."""

    title: Title
    description: Description | None = None
    completed: bool = False


class PlainTaskChange(Struct, frozen=True, omit_defaults=True):
    """What is to become different of a task; other members are passed over."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    completed: bool | UnsetType = UNSET


class PlainQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page: a header `Link` leads to the next."""

    limit: Limit = _PAGE
    cursor: Cursor | None = None


class LegacyRoutes:
    """Arrays of items and tasks below PREFIX."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._records = persistence
        self._tasks = TaskRecords(persistence)
        self._numbers = TaskNumbers(persistence)

    def operations(self) -> Sequence[Operation]:
        """What can be asked, at the root."""
        task = {200: Meant(PlainTask, "The task")}
        changes = ("not_found", "precondition_failed", "conflict", *ASKING)
        example = {"title": "Buy bread", "description": None}
        return [
            self._operation("GET", "/items", self._items, "All stock", query=PlainQuery, answers=_array(PlainItem)),
            self._operation(
                "GET",
                "/items/{store}",
                self._items,
                "The stock of a store",
                query=PlainQuery,
                answers=_array(PlainItem),
            ),
            self._operation(
                "GET", "/tasks", self._list, "All tasks, oldest first", query=PlainQuery, answers=_array(PlainTask)
            ),
            self._operation(
                "POST",
                "/tasks",
                self._add,
                "Add a task",
                body=NewPlainTask,
                example=example,
                answers={201: Meant(PlainTask, "The task is stored")},
                refusals=("conflict", *ASKING),
            ),
            self._operation(
                "GET",
                "/tasks/{id}",
                self._show,
                "Look at a task",
                headers=NoneMatch,
                answers={**task, 304: Meant(None, "It is what the ETag stands for")},
                refusals=("not_found", *ASKING),
            ),
            self._operation(
                "PUT",
                "/tasks/{id}",
                self._change,
                "Write a task anew",
                headers=Match,
                body=NewPlainTask,
                example=example,
                answers=task,
                refusals=changes,
            ),
            self._operation(
                "PATCH",
                "/tasks/{id}",
                self._change,
                "Change some of a task",
                headers=Match,
                body=PlainTaskChange,
                example={"completed": True},
                answers=task,
                refusals=changes,
            ),
            self._operation(
                "DELETE",
                "/tasks/{id}",
                self._remove,
                "Remove a task",
                headers=Match,
                answers={204: Meant(None, "It is gone")},
                refusals=changes,
            ),
        ]

    def _operation(self, method: str, path: str, serve: Any, summary: str, **members: Any) -> Operation:
        members.setdefault("refusals", ASKING)
        return Operation(method=method, path=path, serve=serve, tag="legacy", summary=summary, **members)

    async def _items(self, request: Request) -> Answer:
        query: PlainQuery = request.query
        store = check_store(request.named["store"]) if "store" in request.named else None
        try:
            page = await list_stock(self._records.lists, store, limit=query.limit, cursor=query.cursor)
        except NotFound:
            page = StockPage([], None)
        items = [stored.item for stored in page.items if stored.item is not None]
        return _page([PlainItem(item["store"], item["item"], item["count"]) for item in items], query, page.cursor)

    async def _list(self, request: Request) -> Answer:
        query: PlainQuery = request.query
        page = await self._tasks.list(None, newest_first=False, limit=query.limit, cursor=query.cursor)
        numbers = await self._numbers.numbers([stored.item["id"] for stored in page.tasks if stored.item is not None])
        tasks = [_task(stored, number) for stored, number in zip(page.tasks, numbers, strict=True)]
        return _page(tasks, query, page.cursor)

    async def _add(self, request: Request) -> Answer:
        stored, number = await self._numbers.add(new_task(_members(request.body)))
        return answer(_task(stored, number), status=201, etag=etag_of_task(stored), location=f"tasks/{number}")

    async def _show(self, request: Request) -> Answer:
        stored = await self._tasks.get(await self._numbers.find(request.id))
        etag = etag_of_task(stored)
        if is_named(etag, request.headers.if_none_match):
            return unchanged(etag)
        return await self._shown(stored)

    async def _change(self, request: Request) -> Answer:
        task = await self._numbers.find(request.id)
        return await self._shown(await self._tasks.change(task, _members(request.body), request.headers.if_match))

    async def _shown(self, stored: StoredItem) -> Answer:
        assert stored.item is not None
        (number,) = await self._numbers.numbers([stored.item["id"]])
        return answer(_task(stored, number), etag=etag_of_task(stored))

    async def _remove(self, request: Request) -> Answer:
        task = await self._numbers.find(request.id)
        await self._tasks.remove(task, request.headers.if_match, await self._numbers.removal(task))
        return Answer(204, [], b"")


def legacy_paths(native: Sequence[Operation], legacy: Sequence[Operation], *, at_root: bool) -> list[Operation]:
    """Returns all operations with their paths: `legacy` ones below PREFIX, and those whose paths they have twice."""
    taken = {(operation.method, operation.path) for operation in legacy}
    covered = [operation for operation in native if (operation.method, operation.path) in taken]
    found = [*_below(PREFIX, legacy, listed=False), *_below(NATIVE_PREFIX, covered, listed=at_root)]
    if not at_root:
        return [*native, *found]
    rest = [operation for operation in native if (operation.method, operation.path) not in taken]
    return [*rest, *legacy, *found]


def _below(prefix: str, operations: Sequence[Operation], *, listed: bool) -> list[Operation]:
    return [msgspec.structs.replace(operation, path=prefix + operation.path, listed=listed) for operation in operations]


def _array(kind: type[Struct]) -> Mapping[int, Meant]:
    return {200: Meant(list[kind], "All of them, or a page with a header Link to the next")}  # type: ignore[valid-type]


def _page(content: Sequence[Any], query: PlainQuery, cursor: str | None) -> Answer:
    found = answer(content)
    if cursor is not None:
        following = urlencode({"limit": query.limit, "cursor": cursor})
        found.headers.append((b"link", f'<?{following}>; rel="next"'.encode()))
    return found


def _members(sent: NewPlainTask | PlainTaskChange) -> dict[str, Any]:
    members: dict[str, Any] = to_builtins(sent)
    if members.get("description", "") is None:
        members["description"] = ""
    return task_members(members)


def _task(stored: StoredItem, number: int) -> PlainTask:
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
