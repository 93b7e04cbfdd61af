"""What each request writes and reads, and what is answered: everything that a turn can do in one commit."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from services.persistence import requests
from services.persistence.audit import TENANT, Audit
from services.persistence.requests import Request
from shared.domain.errors import ComandaError, InvalidParams, NotFound
from shared.domain.orders import iso_time
from shared.domain.records import (
    Action,
    Condition,
    Delete,
    Put,
    Record,
    Table,
    Transaction,
    Update,
    Written,
    check_key,
    check_value,
)
from shared.domain.scores import is_record
from shared.domain.tables import OPEN, SCORES, Tables
from shared.stores.ports.records import Ask
from shared.wire.replies import failure, success
from shared.wire.strict import shortened

_CHANGES = ("create", "set", "remove", "add", "largest", "when")
Outcome = list[Written] | ComandaError
Members = Mapping[str, Any]


class Step(NamedTuple):
    """A request's part in a turn. `answer` gets the outcomes of its transactions and the records it asked for.

    It raises the ComandaError that is to be answered.
    """

    transactions: Sequence[Transaction]
    asks: Sequence[Ask]
    answer: Callable[[list[Outcome], list[Record | None]], Members]
    is_page: bool = False
    """Whether fewer records may be found than were asked for, where they are large."""


class Operations:
    """Plans steps. Those on corporate data bring the entry of the audit log with them."""

    def __init__(self, audit: Audit, tables: Tables, data: Table) -> None:
        self._audit = audit
        self._tables = tables
        self._data = data
        self._now = ""

    def plan(self, request: Request, session: str) -> Step:
        """The step of a request; one that goes beyond a turn is only recorded in it. Raises InvalidParams."""
        match request:
            case requests.Get():
                return self._get(request, session)
            case requests.Set():
                return self._set(request, session)
            case requests.Delete():
                return self._delete(request, session)
            case requests.SaveScore():
                return _save_score(request, self._now)
            case requests.GetItem():
                check_key(self._tables.named(open_table(request.table)), request.key, alone=True)
                ask = Ask(request.tenant, request.table, request.key)
                return Step((), (ask,), lambda _, found: _item(found[0]))
            case requests.GetItems():
                table = self._tables.named(open_table(request.table))
                for key in request.keys:
                    check_key(table, key, alone=True)
                asks = [Ask(request.tenant, request.table, key) for key in request.keys]
                start = 0 if request.cursor is None else _opened(request.cursor, len(asks))
                return Step((), asks[start:], partial(_items, start, len(asks)), is_page=True)
            case requests.PutItem():
                return _write(request, Put(request.table, request.item, request.when))
            case requests.DeleteItem():
                return _write(request, Delete(request.table, request.key, request.when))
            case requests.UpdateItem():
                change = {name: getattr(request, name) for name in _CHANGES}
                return _write(request, Update(request.table, request.key, **change))
            case requests.Transact():
                return _transact(request)
            case requests.Batch():
                return _batch(request)
            case requests.ListRecords(prefix=prefix):
                return self._recorded(request, session, {"prefix": prefix})
            case requests.History(id=record) | requests.Watch(id=record):
                return self._recorded(request, session, {"id": record})
            case requests.ListLogs() | requests.VerifyLog():
                return self._recorded(request, session, {})
        return Step((), (), lambda *_: {})

    def _recorded(self, request: Request, session: str, details: Members) -> Step:
        journal = self._journal(request, session, details)
        return Step((Transaction(TENANT, [], journal),), (), lambda *_: {})

    def _journal(self, request: Request, session: str, details: Members, record: str | None = None) -> Put:
        action = str(request.__struct_config__.tag)
        return self._audit.entry(action, details, record=record, who=request.uuid, session=session, now=self._now)

    def begin_turn(self) -> None:
        """What is planned from here on happens at one time."""
        self._now = iso_time(time.time_ns() // 1000)

    def _get(self, request: requests.Get, session: str) -> Step:
        journal = self._journal(request, session, {"id": request.id})
        ask = Ask(TENANT, self._data.name, {"id": request.id})

        def answer(_: list[Outcome], found: list[Record | None]) -> Members:
            if found[0] is None:
                raise NotFound(f"there is no record {request.id}", field="id", hint="list tells the ids there are")
            return record_members(found[0])

        return Step((Transaction(TENANT, [], journal),), (ask,), answer)

    def _set(self, request: requests.Set, session: str) -> Step:
        data = check_value(request.data, "data")
        if data.get("id", request.id) != request.id:
            raise InvalidParams("data has another id than the request", field="data.id")
        journal = self._journal(request, session, {"id": request.id, "data": data}, request.id)
        put = Put(self._data.name, {"id": request.id, **data}, _version(request.version))

        def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
            return record_members(_only(outcomes)[0].new)

        return Step((Transaction(TENANT, [put], journal),), (), answer)

    def _delete(self, request: requests.Delete, session: str) -> Step:
        journal = self._journal(request, session, {"id": request.id}, request.id)
        delete = Delete(self._data.name, {"id": request.id}, _version(request.version))

        def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
            return {"id": request.id, "deleted": _only(outcomes)[0].old is not None}

        return Step((Transaction(TENANT, [delete], journal),), (), answer)


def _save_score(request: requests.SaveScore, now: str) -> Step:
    update = Update(
        SCORES.name,
        {"user_id": request.user_id},
        create={"fecha_registro": now},
        set={"fecha_ultimo_juego": now},
        add={"partidas": 1},
        largest={"puntaje_maximo": request.puntaje},
    )

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        old, new = _only(outcomes)[0]
        assert new is not None
        best = new.item["puntaje_maximo"]
        before = None if old is None else old.item.get("puntaje_maximo")
        return {"nuevo_record": is_record(best, before), "puntaje_maximo": best}

    return Step((Transaction(TENANT, [update]),), (), answer)


def _write(request: requests.RecordRequest, action: Action) -> Step:
    open_table(action.table)

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return _written(_only(outcomes)[0])

    return Step((Transaction(request.tenant, [action]),), (), answer)


def _transact(request: requests.Transact) -> Step:
    for action in request.actions:
        open_table(action.table)

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return {"items": [_written(written) for written in _only(outcomes)]}

    return Step((Transaction(request.tenant, request.actions),), (), answer)


def _batch(request: requests.Batch) -> Step:
    for action in request.actions:
        open_table(action.table)

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return {
            "results": [
                failure(outcome) if isinstance(outcome, ComandaError) else success(_written(outcome[0]))
                for outcome in outcomes
            ]
        }

    return Step([Transaction(request.tenant, [action]) for action in request.actions], (), answer)


def open_table(table: str) -> str:
    """The name of a table that anybody may use. Raises InvalidParams."""
    if table not in OPEN:
        known = ", ".join(sorted(OPEN))
        raise InvalidParams(f"there is no open table {shortened(table)!r}", field="table", hint=f"tables: {known}")
    return table


def _version(version: int | None) -> Condition | None:
    return None if version is None else Condition(version=version)


def _only(outcomes: list[Outcome]) -> list[Written]:
    """What the one transaction of a step has done. Raises what refused it."""
    (outcome,) = outcomes
    if isinstance(outcome, ComandaError):
        raise outcome
    return outcome


def _written(written: Written) -> Members:
    return _item(written.new)


def _items(start: int, keys: int, _: list[Outcome], found: list[Record | None]) -> Members:
    """Returns a page of the items of so many keys, that of the key `start` first."""
    stop = start + len(found)
    return {"items": [_item(record) for record in found], "cursor": None if stop == keys else str(stop)}


def _opened(cursor: str, keys: int) -> int:
    """Returns the key with which a page begins. Raises InvalidParams."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 5 and int(cursor) < keys):
        raise InvalidParams(
            "cursor is not one that get_items gave for these keys", field="cursor", hint="leave it out to begin"
        )
    return int(cursor)


def _item(record: Record | None) -> Members:
    return {"item": None, "version": 0} if record is None else {"item": record.item, "version": record.version}


def record_members(record: Record | None) -> Members:
    """A corporate record: its id apart from its data."""
    assert record is not None
    data = {name: value for name, value in record.item.items() if name != "id"}
    return {"id": record.item["id"], "version": record.version, "data": data}
