"""The actions on corporate data. The audit log records each of them, in the commit of its turn."""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta

from services.persistence.audit import TENANT
from services.persistence.observers import Observer
from services.persistence.server import Limit, Outcome, PersistenceServer, RecordsRequest, Step, take_written
from shared.domain.errors import InvalidParams, NotFound
from shared.domain.records import (
    MAX_PARTITION_BYTES,
    Condition,
    Record,
    Transaction,
    Value,
    check_value,
)
from shared.domain.records import Delete as DeleteAction
from shared.domain.records import Put as PutAction
from shared.net.connection import Connection
from shared.server.actions import ActionRegistry, Members, Verb
from shared.stores.ports.records import ItemLookup, RecordQuery

RecordId = Annotated[str, Meta(min_length=1, max_length=MAX_PARTITION_BYTES)]

CORPORATE: ActionRegistry[PersistenceServer] = ActionRegistry()


class SetRecord(RecordsRequest, frozen=True, tag="set"):
    """Stores a record."""

    id: RecordId
    data: dict[str, Value]
    version: int | None = None
    """The version that the record must have; 0 if it must not exist."""


@CORPORATE.batched(
    SetRecord,
    usage=[('{"action":"set","id":"X","data":{...}}', 'stores a record; with "version", only over that version')],
)
def plan_set(server: PersistenceServer, request: SetRecord, session: str) -> Step:
    """Plans storing a record. Raises InvalidParams."""
    data = check_value(request.data, "data")
    if data.get("id", request.id) != request.id:
        raise InvalidParams("data has another id than the request", field="data.id")
    entry = server.make_entry(request, session, {"id": request.id, "data": data}, request.id)
    put = PutAction(server.data.name, {"id": request.id, **data}, _require_version(request.version))

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return _show_record(take_written(outcomes)[0].new)

    return Step((Transaction(TENANT, [put], entry),), (), answer)


class GetRecord(RecordsRequest, frozen=True, tag="get"):
    """A record."""

    id: RecordId


@CORPORATE.batched(GetRecord, verb=Verb("id"), usage=[("get ID, delete ID", "one record")], reads=True)
def plan_get(server: PersistenceServer, request: GetRecord, session: str) -> Step:
    """Plans reading a record."""
    entry = server.make_entry(request, session, {"id": request.id})
    ask = ItemLookup(TENANT, server.data.name, {"id": request.id})

    def answer(_: list[Outcome], found: list[Record | None]) -> Members:
        if found[0] is None:
            raise NotFound(f"there is no record {request.id}", field="id", hint="list tells the ids there are")
        return _show_record(found[0])

    return Step((Transaction(TENANT, [], entry),), (ask,), answer)


class DeleteRecord(RecordsRequest, frozen=True, tag="delete"):
    """Removes a record."""

    id: RecordId
    version: int | None = None


@CORPORATE.batched(DeleteRecord, verb=Verb("id"))
def plan_delete(server: PersistenceServer, request: DeleteRecord, session: str) -> Step:
    """Plans removing a record."""
    entry = server.make_entry(request, session, {"id": request.id}, request.id)
    delete = DeleteAction(server.data.name, {"id": request.id}, _require_version(request.version))

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return {"id": request.id, "deleted": take_written(outcomes)[0].old is not None}

    return Step((Transaction(TENANT, [delete], entry),), (), answer)


def _corporate_record(*details: str) -> Callable[[PersistenceServer, Any, str], Step]:
    """Returns a planner of only the audit entry, with these members of the request as its details."""

    def plan_entry(server: PersistenceServer, request: RecordsRequest, session: str) -> Step:
        entry = server.make_entry(request, session, {name: getattr(request, name) for name in details})
        return Step((Transaction(TENANT, [], entry),), (), lambda *_: {})

    return plan_entry


class ListRecords(RecordsRequest, frozen=True, tag="list"):
    """A page of records, in the order of their ids."""

    prefix: str | None = None
    limit: Limit = 50
    cursor: str | None = None


@CORPORATE.aside(
    ListRecords,
    verb=Verb("prefix"),
    usage=[("list [PREFIX]", "records by their ids, a page at a time")],
    prepare=_corporate_record("prefix"),
)
async def list_records(server: PersistenceServer, request: ListRecords, _: Connection) -> Members:
    """Reads a page of records."""
    query = RecordQuery(TENANT, server.data.name, "by_id", prefix=request.prefix, limit=request.limit)
    return await server.read_page(query, request.cursor, _show_record)


class RecordHistory(RecordsRequest, frozen=True, tag="history"):
    """The entries of the audit log about a record, newest first."""

    id: RecordId
    limit: Limit = 50
    cursor: str | None = None


@CORPORATE.aside(
    RecordHistory,
    verb=Verb("id"),
    usage=[("history ID", "what was done to a record, newest first")],
    prepare=_corporate_record("id"),
)
async def read_history(server: PersistenceServer, request: RecordHistory, _: Connection) -> Members:
    """Reads a page of the entries about a record."""
    query = RecordQuery(TENANT, server.log.name, "by_record", request.id, descending=True, limit=request.limit)
    return await server.read_page(query, request.cursor, _show_item)


class ListLogs(RecordsRequest, frozen=True, tag="list_logs"):
    """The audit log, newest first."""

    limit: Limit = 50
    cursor: str | None = None


@CORPORATE.aside(
    ListLogs,
    verb=Verb(synonyms=("logs",)),
    usage=[("logs", "the audit log, newest first")],
    prepare=_corporate_record(),
)
async def list_logs(server: PersistenceServer, request: ListLogs, _: Connection) -> Members:
    """Reads a page of the audit log."""
    query = RecordQuery(TENANT, server.log.name, "by_time", descending=True, limit=request.limit)
    return await server.read_page(query, request.cursor, _show_item)


class VerifyLog(RecordsRequest, frozen=True, tag="verify_log"):
    """Verifies the chains of the audit log, or names the first broken entry."""


@CORPORATE.aside(
    VerifyLog, verb=Verb(), usage=[("verify_log", "proves that the log is whole")], prepare=_corporate_record()
)
async def verify_log(server: PersistenceServer, _: VerifyLog, __: Connection) -> Members:
    """Verifies every chain of the audit log."""
    return await server.audit.verify_chains()


class WatchRecords(RecordsRequest, frozen=True, tag="watch"):
    """Changes of the corporate data, or of one record, from now on or after the position of an earlier event."""

    id: RecordId | None = None
    since: str | None = None


@CORPORATE.aside(
    WatchRecords,
    verb=Verb("id"),
    usage=[("watch [ID]", "every change at once; unwatch ends it")],
    prepare=_corporate_record("id"),
)
async def watch(server: PersistenceServer, request: WatchRecords, connection: Connection) -> Members:
    """Subscribes the connection to changes from now on, or after a position. Raises InvalidParams and Gone."""
    return await _add_observer(server, request, connection, in_dialect=False)


class SubscribeToRecords(WatchRecords, frozen=True, tag="subscribe"):
    """`watch` under its name in the upper-case dialect, which the audit log records."""


@CORPORATE.aside(SubscribeToRecords, prepare=_corporate_record("id"), is_named=False)
async def subscribe(server: PersistenceServer, request: SubscribeToRecords, connection: Connection) -> Members:
    """Subscribes the connection to changes in the upper-case dialect."""
    return await _add_observer(server, request, connection, in_dialect=True)


async def _add_observer(
    server: PersistenceServer, request: WatchRecords, connection: Connection, *, in_dialect: bool
) -> Members:
    position = await server.observers.add_observer(connection, Observer(request.id, in_dialect), request.since)
    return {"watching": request.id or "all", "position": position}


class UnwatchRecords(RecordsRequest, frozen=True, tag="unwatch"):
    """End of a subscription."""


@CORPORATE.immediate(UnwatchRecords, verb=Verb())
def unwatch(server: PersistenceServer, _: UnwatchRecords, connection: Connection) -> Members:
    """Ends the subscription of the connection."""
    server.observers.remove_observer(connection)
    return {"watching": None}


def _require_version(version: int | None) -> Condition | None:
    return None if version is None else Condition(version=version)


def _show_record(record: Record | None) -> Members:
    """Returns the members of a corporate record: its id apart from its data."""
    assert record is not None
    data = {name: value for name, value in record.item.items() if name != "id"}
    return {"id": record.item["id"], "version": record.version, "data": data}


def _show_item(record: Record) -> Members:
    return record.item
