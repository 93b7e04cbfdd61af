"""Tasks as records of the persistence server, shared by both families of routes."""

import datetime
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from msgspec import Meta

from clients.errors import Refused
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.http.responses import seen_version
from services.gateway.upstream.backend import Backend
from shared.domain.errors import InvalidParams, NotFound, PreconditionFailed
from shared.domain.records import Action, Condition, Delete
from shared.domain.tables import TASKS
from shared.wire.strict_json import shorten_text

T = TypeVar("T")

Title = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=10_000)]


class StoredTasks(NamedTuple):
    """Stored tasks; `cursor` leads to the next page."""

    tasks: Sequence[StoredItem]
    cursor: str | None


class TaskRecords:
    """Reads and writes tasks. Every method raises what the persistence server's client does."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._persistence = persistence

    async def list(self, completed: bool | None, *, newest_first: bool, limit: int, cursor: str | None) -> StoredTasks:
        """Returns a page of tasks in the order of their creation."""
        index = "by_time" if completed is None else "by_status"
        partition = None if completed is None else status_of(completed)
        page = await self._persistence.lists.query(
            TASKS.name, index, partition=partition, descending=newest_first, page_size=limit, cursor=cursor
        )
        return StoredTasks(page.items, page.cursor)

    async def get(self, task: str) -> StoredItem:
        """Returns a task. Raises NotFound."""
        stored = await self._persistence.at_once.get_item(TASKS.name, {"id": task})
        if stored.item is None:
            raise NotFound(f"there is no task {shorten_text(task)}", field="id", hint="GET /tasks lists what there is")
        return stored

    async def add(self, members: dict[str, Any]) -> StoredItem:
        """Stores a new task."""
        item = new_task(members)
        when = Condition(exists=False)
        return await self._persistence.lookups.put_item(TASKS.name, item, when=when)

    async def change(self, task: str, members: dict[str, Any], if_match: str | None) -> StoredItem:
        """Changes members of a task. Raises NotFound, and PreconditionFailed for another version than `if_match`."""
        changed = members | {"updated": _current_time()}

        def update(client: PersistenceClient, when: Condition) -> Awaitable[StoredItem]:
            return client.update_item(TASKS.name, {"id": task}, changed, when=when)

        return await self._write_task(task, if_match, update)

    async def remove(self, task: str, if_match: str | None, also: Sequence[Action] = ()) -> None:
        """Removes a task in one transaction with `also`. Raises the errors of `change`."""

        def remove(client: PersistenceClient, when: Condition) -> Awaitable[Any]:
            if not also:
                return client.delete_item(TASKS.name, {"id": task}, when=when)
            return client.transact([Delete(TASKS.name, {"id": task}, when), *also])

        await self._write_task(task, if_match, remove)

    async def _write_task(
        self, task: str, if_match: str | None, write: Callable[[PersistenceClient, Condition], Awaitable[T]]
    ) -> T:
        """Writes if the task exists in the version that the client has seen."""
        when = Condition(exists=True, version=seen_version(if_match))
        try:
            return await self._persistence.ask(lambda client: write(client, when))
        except Refused as refusal:
            if refusal.error != "conflict":
                raise
        await self.get(task)
        raise PreconditionFailed(
            "the task is of another version", field="If-Match", hint="get it again, and send the ETag it has then"
        )


def new_task(members: dict[str, Any]) -> dict[str, Any]:
    """Returns a new task as the table stores it."""
    now = _current_time()
    return {"id": str(uuid.uuid4()), **members, "created": now, "updated": now}


def task_members(sent: dict[str, Any]) -> dict[str, Any]:
    """Returns members of a task as the table stores them. Raises InvalidParams."""
    members = dict(sent)
    if "title" in members and not members["title"].strip():
        raise InvalidParams("title must not be blank", field="title")
    if "completed" in members:
        members["status"] = status_of(members.pop("completed"))
    return members


def status_of(completed: bool) -> str:
    """Returns the status that a task has."""
    return "done" if completed else "open"


def etag_of_task(stored: StoredItem) -> str:
    """Returns the entity tag of a task."""
    return f'"{stored.version}"'


def _current_time() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
