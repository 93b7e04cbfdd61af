"""Requests that read more than a turn should: pages of records, of the log and of changes, and the log's proof."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec import structs

from services.persistence import requests
from services.persistence.audit import TENANT, Audit
from services.persistence.operations import Members, open_table, record_members
from services.persistence.requests import Request
from shared.domain.errors import InvalidParams
from shared.domain.orders import iso_time
from shared.domain.records import Record, Table, check_value
from shared.domain.tables import OPEN, Tables
from shared.stores.ports.records import Change, Position, Query, RecordStore
from shared.wire.cursors import Cursors

KINDS = (
    requests.ListRecords,
    requests.History,
    requests.ListLogs,
    requests.VerifyLog,
    requests.QueryItems,
    requests.ListChanges,
)


class Pages:
    """Answers them one by one. What has to be recorded first is recorded by the turn."""

    def __init__(
        self, store: RecordStore, tables: Tables, data: Table, log: Table, audit: Audit, cursors: Cursors
    ) -> None:
        self._store = store
        self._tables = tables
        self._data = data
        self._log = log
        self._audit = audit
        self._cursors = cursors

    async def perform(self, request: Request) -> Members:
        """The members of the answer. Raises ComandaError."""
        match request:
            case requests.ListRecords(prefix=prefix):
                query = Query(TENANT, self._data.name, "by_id", prefix=prefix, limit=request.limit)
                return await self._page(query, request.cursor, record_members)
            case requests.History(id=record):
                query = Query(TENANT, self._log.name, "by_record", record, descending=True, limit=request.limit)
                return await self._page(query, request.cursor, _item)
            case requests.ListLogs():
                query = Query(TENANT, self._log.name, "by_time", descending=True, limit=request.limit)
                return await self._page(query, request.cursor, _item)
            case requests.VerifyLog():
                return await self._audit.verify()
            case requests.QueryItems():
                return await self._query(request)
            case requests.ListChanges():
                return await self._changes(request)
        raise AssertionError(f"{type(request).__name__} is no page")

    async def _query(self, request: requests.QueryItems) -> Members:
        table = self._tables.named(open_table(request.table))
        if request.index is None:
            partition, sort = table.partition, table.sort
        else:
            index = table.index(request.index)
            partition, sort = index.partition or "", index.sort
        _check_bound(table, "partition", partition or None, request.partition, needed=bool(partition))
        for field in ("low", "high", "prefix"):
            _check_bound(table, field, sort, getattr(request, field))
        if request.prefix is not None and sort in table.numbers:
            raise InvalidParams(f"{sort} is a number: it has no prefix", field="prefix", hint="use low and high")
        members = ("tenant", "table", "index", "partition", "prefix", "low", "high", "descending", "limit")
        query = Query(**{name: getattr(request, name) for name in members})
        return await self._page(query, request.cursor, _versioned)

    async def _page(self, query: Query, cursor: str | None, shown: Callable[[Record], Members]) -> Members:
        scope = structs.asdict(query) | {"limit": None}
        if cursor is not None:
            query = structs.replace(query, after=Position(*self._cursors.open(scope, cursor)))
        page = await self._store.query(query)
        following = None if page.after is None else self._cursors.seal(scope, list(page.after))
        return {"items": [shown(record) for record in page.records], "cursor": following}

    async def _changes(self, request: requests.ListChanges) -> Members:
        found = await self._store.changes(request.after, limit=request.limit)
        shown = [
            _change(change) for change in found.changes if change.tenant == request.tenant and change.table in OPEN
        ]
        return {"changes": shown, "position": found.position}


def _check_bound(table: Table, field: str, member: str | None, value: Any, *, needed: bool = False) -> None:
    """Raises InvalidParams unless a value can be compared with a member of the key."""
    if value is None:
        if needed:
            raise InvalidParams(f"{field} is missing: the value of {member}", field=field)
    elif member is None:
        raise InvalidParams(f"{field} means nothing here", field=field, hint="leave it out")
    elif isinstance(value, bool) or not isinstance(value, int | Decimal if member in table.numbers else str):
        raise InvalidParams(f"{field} must be {'a number' if member in table.numbers else 'text'}", field=field)
    else:
        check_value(value, field)


def _item(record: Record) -> Members:
    return record.item


def _versioned(record: Record) -> Members:
    return {"item": record.item, "version": record.version}


def _change(change: Change) -> Members:
    return {
        "table": change.table,
        "at": iso_time(change.at),
        "old": None if change.old is None else _versioned(change.old),
        "new": None if change.new is None else _versioned(change.new),
    }
