"""Whole numbers for tasks: given in the order in which tasks are first seen here, and kept for good."""

from collections.abc import Sequence
from typing import Any

from clients.errors import Refused
from clients.inventory.records import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.upstream.backend import Backend
from shared.domain.errors import Conflict, NotFound
from shared.domain.records import Action, Condition, Delete, Put, Update
from shared.domain.tables import TASK_NUMBERS, TASKS
from shared.wire.strict import shortened

# Two records for each, and the last number.
_AT_ONCE = 49
_ATTEMPTS = 20
_DIGITS = 15
_LAST = {"name": "last"}


class TaskNumbers:
    """Gives numbers, and finds the tasks that have them."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._persistence = persistence

    async def add(self, task: dict[str, Any]) -> tuple[StoredItem, int]:
        """Stores a new task together with its number."""
        new = Put(TASKS.name, task, Condition(exists=False))
        for _ in range(_ATTEMPTS):
            written = await self._give([task["id"]], [new])
            if written is not None:
                number = written[2].item
                assert number is not None
                return written[0], number["number"]
        raise _busy()

    async def numbers(self, tasks: Sequence[str]) -> list[int]:
        """Returns the numbers of tasks; those that have none yet are given the next, in their order."""
        for _ in range(_ATTEMPTS):
            stored = await self._get([_of_task(task) for task in tasks])
            missing = [task for task, one in zip(tasks, stored, strict=True) if one.item is None]
            if not missing:
                return [one.item["number"] for one in stored if one.item is not None]
            for start in range(0, len(missing), _AT_ONCE):
                if await self._give(missing[start : start + _AT_ONCE], []) is None:
                    break
        raise _busy()

    async def find(self, number: str) -> str:
        """Returns the id of the task with a number; what is no number is an id already. Raises NotFound."""
        if not (number.isascii() and number.isdigit()):
            return number
        stored = await self._get([_of_number(int(number))]) if len(number) <= _DIGITS else []
        if not stored or stored[0].item is None:
            raise NotFound(f"there is no task {shortened(number)}", field="id", hint="GET /tasks lists what there is")
        task: str = stored[0].item["task"]
        return task

    async def removal(self, task: str) -> list[Action]:
        """Returns what removes a task's number."""
        (stored,) = await self._get([_of_task(task)])
        if stored.item is None:
            return []
        keys = (_of_task(task), _of_number(stored.item["number"]))
        return [Delete(TASK_NUMBERS.name, key) for key in keys]

    async def _get(self, keys: Sequence[dict[str, str]]) -> Sequence[StoredItem]:
        if not keys:
            return []
        return await self._persistence.lookups.get_items(TASK_NUMBERS.name, keys)

    async def _give(self, tasks: Sequence[str], also: Sequence[Action]) -> Sequence[StoredItem] | None:
        """Gives tasks the next numbers, in one transaction with what else there is; None where others were faster."""
        (last,) = await self._get([_LAST])
        first = 1 if last.item is None else last.item["number"] + 1
        actions: list[Action] = [*also]
        unchanged = Condition(version=last.version)
        actions.append(Update(TASK_NUMBERS.name, dict(_LAST), set={"number": first + len(tasks) - 1}, when=unchanged))
        for number, task in enumerate(tasks, first):
            actions.append(Put(TASK_NUMBERS.name, {**_of_task(task), "number": number}, Condition(exists=False)))
            actions.append(Put(TASK_NUMBERS.name, {**_of_number(number), "task": task}, Condition(exists=False)))
        try:
            return await self._persistence.lookups.transact(actions)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            return None


def _of_task(task: str) -> dict[str, str]:
    return {"name": f"task:{task}"}


def _of_number(number: int) -> dict[str, str]:
    return {"name": f"number:{number}"}


def _busy() -> Conflict:
    return Conflict("others are given numbers all the time", hint="try again")
