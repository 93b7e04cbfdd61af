"""Integer ids of tasks, assigned in the order in which these routes first see a task, and never reused."""

from collections.abc import Sequence
from typing import Any

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.upstream.backend import Backend
from shared.domain.errors import Conflict, NotFound
from shared.domain.records import Action, Condition, Delete, Put, Update
from shared.domain.tables import TASK_NUMBERS, TASKS
from shared.wire.strict_json import shorten_text

# Two records for each, and the last number.
_AT_ONCE = 49
_ATTEMPTS = 20
_DIGITS = 15
_LAST = {"name": "last"}


class TaskNumbers:
    """Assigns numbers to tasks, and finds tasks by number."""

    def __init__(self, persistence: Backend[PersistenceClient]) -> None:
        self._persistence = persistence

    async def add(self, task: dict[str, Any]) -> tuple[StoredItem, int]:
        """Stores a new task together with its number."""
        new = Put(TASKS.name, task, Condition(exists=False))
        for _ in range(_ATTEMPTS):
            written = await self._assign_numbers([task["id"]], [new])
            if written is not None:
                number = written[2].item
                assert number is not None
                return written[0], number["number"]
        raise _too_many_conflicts()

    async def numbers(self, tasks: Sequence[str]) -> list[int]:
        """Returns the numbers of tasks, and assigns the next ones to tasks without a number."""
        for _ in range(_ATTEMPTS):
            stored = await self._load_records([_task_key(task) for task in tasks])
            missing = [task for task, one in zip(tasks, stored, strict=True) if one.item is None]
            if not missing:
                return [one.item["number"] for one in stored if one.item is not None]
            for start in range(0, len(missing), _AT_ONCE):
                if await self._assign_numbers(missing[start : start + _AT_ONCE], []) is None:
                    break
        raise _too_many_conflicts()

    async def find(self, number: str) -> str:
        """Returns the id of the task with a number; what is no number is an id already. Raises NotFound."""
        if not (number.isascii() and number.isdigit()):
            return number
        stored = await self._load_records([_number_key(int(number))]) if len(number) <= _DIGITS else []
        if not stored or stored[0].item is None:
            raise NotFound(
                f"there is no task {shorten_text(number)}", field="id", hint="GET /tasks lists what there is"
            )
        task: str = stored[0].item["task"]
        return task

    async def removal(self, task: str) -> list[Action]:
        """Returns the actions that remove the number of a task."""
        (stored,) = await self._load_records([_task_key(task)])
        if stored.item is None:
            return []
        keys = (_task_key(task), _number_key(stored.item["number"]))
        return [Delete(TASK_NUMBERS.name, key) for key in keys]

    async def _load_records(self, keys: Sequence[dict[str, str]]) -> Sequence[StoredItem]:
        if not keys:
            return []
        return await self._persistence.lookups.get_items(TASK_NUMBERS.name, keys)

    async def _assign_numbers(self, tasks: Sequence[str], also: Sequence[Action]) -> Sequence[StoredItem] | None:
        """Assigns the next numbers in one transaction with `also`; returns None after a conflict."""
        (last,) = await self._load_records([_LAST])
        first = 1 if last.item is None else last.item["number"] + 1
        actions: list[Action] = [*also]
        unchanged = Condition(version=last.version)
        actions.append(Update(TASK_NUMBERS.name, dict(_LAST), set={"number": first + len(tasks) - 1}, when=unchanged))
        for number, task in enumerate(tasks, first):
            actions.append(Put(TASK_NUMBERS.name, {**_task_key(task), "number": number}, Condition(exists=False)))
            actions.append(Put(TASK_NUMBERS.name, {**_number_key(number), "task": task}, Condition(exists=False)))
        try:
            return await self._persistence.lookups.transact(actions)
        except Refused as refusal:
            if not is_conflict(refusal):
                raise
            return None


def _task_key(task: str) -> dict[str, str]:
    return {"name": f"task:{task}"}


def _number_key(number: int) -> dict[str, str]:
    return {"name": f"number:{number}"}


def _too_many_conflicts() -> Conflict:
    return Conflict("others are given numbers all the time", hint="try again")
