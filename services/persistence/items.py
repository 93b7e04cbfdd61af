"""The actions of other services: items of their tables, scores, and the change feed."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

from msgspec import Meta, field

from services.persistence.audit import TENANT
from services.persistence.server import Limit, Outcome, PersistenceServer, RecordsRequest, Step, take_written
from shared.domain.errors import ComandaError, Conflict, InvalidParams, Unauthorized
from shared.domain.orders import iso_time
from shared.domain.records import (
    MAX_ACTIONS,
    MAX_ITEM_BYTES,
    MAX_LEFT_BYTES,
    Action,
    Condition,
    Delete,
    Put,
    Record,
    ReplyRoom,
    Table,
    Tenant,
    Transaction,
    Update,
    Value,
    Written,
    check_key,
    check_value,
)
from shared.domain.scores import UserId, is_record
from shared.domain.tables import OPEN, PRIVATE, SCORES
from shared.domain.tenants import MAIN
from shared.net.connection import Connection
from shared.server.actions import ActionRegistry, Members
from shared.stores.ports.records import Change, ItemLookup, RecordQuery
from shared.wire.replies import error_reply, success_reply
from shared.wire.strict_json import shorten_text

_CHANGES = ("create", "set", "remove", "add", "largest", "when")
_QUERY = ("tenant", "table", "index", "partition", "prefix", "low", "high", "descending", "limit")
_SMALL_PAGE = 8
# Of a request with more writes, the audit log has their number.
_AUDITED_ITEMS = 5

Score = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Actions = Annotated[list[Action], Meta(min_length=1, max_length=MAX_ACTIONS)]

ITEMS: ActionRegistry[PersistenceServer] = ActionRegistry()


class SaveScore(RecordsRequest, frozen=True, tag="save_score"):
    """A score of a user; the highest one is stored."""

    user_id: UserId
    puntaje: Score


@ITEMS.batched(
    SaveScore,
    usage=[('{"action":"save_score","user_id":1,"puntaje":100}', "")],
    audited=lambda _, request: None if request.user is None else {"player": request.user_id},
)
def plan_save_score(server: PersistenceServer, request: SaveScore, _: str) -> Step:
    """Plans storing a score."""
    update = Update(
        SCORES.name,
        {"user_id": request.user_id},
        create={"fecha_registro": server.now},
        set={"fecha_ultimo_juego": server.now},
        add={"partidas": 1},
        largest={"puntaje_maximo": request.puntaje},
    )

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        old, new = take_written(outcomes)[0]
        assert new is not None
        best = new.item["puntaje_maximo"]
        before = None if old is None else old.item.get("puntaje_maximo")
        return {"nuevo_record": is_record(best, before), "puntaje_maximo": best}

    return Step((Transaction(TENANT, [update]),), (), answer)


class ItemRequest(RecordsRequest, frozen=True, kw_only=True):
    """A request about the items of one tenant."""

    tenant: Tenant = MAIN


def _weigh_actions(request: "Transact | Batch") -> int:
    # An action costs about a quarter of a request of its own. Larger weights would mean more commits.
    return 1 + len(request.actions) // 4


def _describe_write(server: PersistenceServer, request: "PutItem | DeleteItem | UpdateItem") -> Members | None:
    """Returns the written item for the audit log; None for the suite's own writes, which are for nobody."""
    if request.user is None:
        return None
    key = request.item if isinstance(request, PutItem) else request.key
    return {"tenant": request.tenant, "items": [_describe_key(server, request.table, key)]}


def _describe_writes(server: PersistenceServer, request: "Transact | Batch") -> Members | None:
    """Returns the first written items for the audit log; None for the suite's own writes."""
    if request.user is None:
        return None
    return {
        "tenant": request.tenant,
        "items": [
            _describe_key(server, action.table, action.item if isinstance(action, Put) else action.key)
            for action in request.actions[:_AUDITED_ITEMS]
        ],
        "writes": len(request.actions),
    }


def _describe_key(server: PersistenceServer, name: str, item: Mapping[str, Value]) -> Members:
    """Returns table and key of an item, and nothing else of it: other members may be secrets."""
    table = server.tables.get_table(name)
    return {"table": name} | {member: item.get(member) for member in (table.partition, table.sort) if member}


class GetItem(ItemRequest, frozen=True, tag="get_item"):
    """An item."""

    table: str
    key: dict[str, Value]


@ITEMS.batched(GetItem, reads=True)
def plan_get_item(server: PersistenceServer, request: GetItem, _: str) -> Step:
    """Plans reading an item. Raises InvalidParams."""
    check_key(server.tables.get_table(_open_table(server, request.table)), request.key, alone=True)
    ask = ItemLookup(request.tenant, request.table, request.key)
    return Step((), (ask,), lambda _, found: _show_item(found[0]))


class GetItems(ItemRequest, frozen=True, tag="get_items"):
    """Several items of a table, in the order of their keys."""

    table: str
    keys: Annotated[list[dict[str, Value]], Meta(min_length=1, max_length=1000)]
    cursor: str | None = None


@ITEMS.batched(GetItems, reads=True, is_page=lambda request: len(request.keys) > _SMALL_PAGE)
def plan_get_items(server: PersistenceServer, request: GetItems, _: str) -> Step:
    """Plans reading a page of the items of these keys. Raises InvalidParams."""
    table = server.tables.get_table(_open_table(server, request.table))
    for key in request.keys:
        check_key(table, key, alone=True)
    asks = [ItemLookup(request.tenant, request.table, key) for key in request.keys]
    start = 0 if request.cursor is None else _read_cursor(request.cursor, len(asks))
    return Step((), asks[start:], partial(_show_items, start, len(asks)), is_page=True)


class PutItem(ItemRequest, frozen=True, tag="put_item"):
    """Stores an item."""

    table: str
    item: dict[str, Value]
    when: Condition | None = None


@ITEMS.batched(PutItem, audited=_describe_write)
def plan_put_item(server: PersistenceServer, request: PutItem, _: str) -> Step:
    """Plans storing an item. Raises InvalidParams."""
    return _plan_write(server, request, Put(request.table, request.item, request.when))


class DeleteItem(ItemRequest, frozen=True, tag="delete_item"):
    """Removes an item."""

    table: str
    key: dict[str, Value]
    when: Condition | None = None


@ITEMS.batched(DeleteItem, audited=_describe_write)
def plan_delete_item(server: PersistenceServer, request: DeleteItem, _: str) -> Step:
    """Plans removing an item. Raises InvalidParams."""
    return _plan_write(server, request, Delete(request.table, request.key, request.when))


class UpdateItem(ItemRequest, frozen=True, tag="update_item"):
    """Changes members of an item."""

    table: str
    key: dict[str, Value]
    create: dict[str, Value] = field(default_factory=dict)
    set: dict[str, Value] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    add: dict[str, Value] = field(default_factory=dict)
    largest: dict[str, Value] = field(default_factory=dict)
    when: Condition | None = None


@ITEMS.batched(UpdateItem, audited=_describe_write)
def plan_update_item(server: PersistenceServer, request: UpdateItem, _: str) -> Step:
    """Plans changing an item. Raises InvalidParams."""
    change = {name: getattr(request, name) for name in _CHANGES}
    return _plan_write(server, request, Update(request.table, request.key, **change))


class Transact(ItemRequest, frozen=True, tag="transact"):
    """Actions on different items in one transaction; the answer has the items that they leave unless it needs none."""

    actions: Actions
    items: bool = True


@ITEMS.batched(Transact, weigh=_weigh_actions, audited=_describe_writes)
def plan_transact(server: PersistenceServer, request: Transact, _: str) -> Step:
    """Plans one transaction of all actions. Raises InvalidParams."""
    _open_tables(server, request.actions)

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        (outcome,) = outcomes
        if isinstance(outcome, Conflict) and outcome.action is not None:
            raise _describe_conflict(server, outcome, request.actions, outcome.action)
        written = take_written(outcomes)
        return {"items": [_show_written(one) for one in written]} if request.items else {}

    return Step(
        (Transaction(request.tenant, request.actions, room=_make_room(request.actions), returns=request.items),),
        (),
        answer,
    )


def _make_room(actions: Sequence[Action]) -> ReplyRoom | None:
    """Returns the room for the items of a request; None if it is surely enough, so that they need not be measured."""
    return ReplyRoom() if len(actions) > MAX_LEFT_BYTES // MAX_ITEM_BYTES else None


class Batch(ItemRequest, frozen=True, tag="batch"):
    """Independent actions in one request."""

    actions: Actions


@ITEMS.batched(Batch, weigh=_weigh_actions, audited=_describe_writes)
def plan_batch(server: PersistenceServer, request: Batch, _: str) -> Step:
    """Plans a transaction for each action. Raises InvalidParams."""
    _open_tables(server, request.actions)

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return {"results": [show_outcome(number, outcome) for number, outcome in enumerate(outcomes)]}

    def show_outcome(number: int, outcome: Outcome) -> Members:
        if isinstance(outcome, Conflict):
            outcome = _describe_conflict(server, outcome, request.actions, number)
        return error_reply(outcome) if isinstance(outcome, ComandaError) else success_reply(_show_written(outcome[0]))

    room = _make_room(request.actions)
    return Step([Transaction(request.tenant, [action], room=room) for action in request.actions], (), answer)


class QueryItems(ItemRequest, frozen=True, tag="query"):
    """A page of items of one partition of a table or an index."""

    table: str
    index: str | None = None
    partition: Value = None
    prefix: str | None = None
    low: Value = None
    high: Value = None
    descending: bool = False
    limit: Limit = 50
    cursor: str | None = None


@ITEMS.aside(QueryItems)
async def query_items(server: PersistenceServer, request: QueryItems, _: Connection) -> Members:
    """Reads a page of items. Raises InvalidParams."""
    table = server.tables.get_table(_open_table(server, request.table))
    if request.index is None:
        partition, sort = table.partition, table.sort
    else:
        index = table.get_index(request.index)
        partition, sort = index.partition or "", index.sort
    _check_bound(table, "partition", partition or None, request.partition, needed=bool(partition))
    for bound in ("low", "high", "prefix"):
        _check_bound(table, bound, sort, getattr(request, bound))
    if request.prefix is not None and sort in table.numbers:
        raise InvalidParams(f"{sort} is a number: it has no prefix", field="prefix", hint="use low and high")
    query = RecordQuery(**{name: getattr(request, name) for name in _QUERY})
    return await server.read_page(query, request.cursor, _show_versioned)


class ListChanges(RecordsRequest, frozen=True, tag="changes"):
    """Changes of all tables of a tenant after a position; without one, from the oldest stored change."""

    tenant: Tenant | None = MAIN
    """None for the changes of all tenants."""
    after: str | None = None
    limit: Limit = 1000


@ITEMS.aside(ListChanges)
async def list_changes(server: PersistenceServer, request: ListChanges, _: Connection) -> Members:
    """Reads changes of the public tables."""
    found = await server.store.read_changes(request.after, limit=request.limit)
    shown = [
        _show_change(change)
        for change in found.changes
        if change.table in OPEN and request.tenant in (None, change.tenant)
    ]
    return {"changes": shown, "position": found.position}


def _plan_write(server: PersistenceServer, request: ItemRequest, action: Action) -> Step:
    _open_table(server, action.table)

    def answer(outcomes: list[Outcome], _: list[Record | None]) -> Members:
        return _show_written(take_written(outcomes)[0])

    return Step((Transaction(request.tenant, [action]),), (), answer)


def _open_table(server: PersistenceServer, table: str) -> str:
    """Returns the name of a table that this connection may use. Raises Unauthorized, and InvalidParams for others."""
    if table in OPEN:
        return table
    if table in PRIVATE:
        if server.opens_private_tables:
            return table
        raise Unauthorized(
            f"{table} is not open to programs that have not authenticated",
            field="table",
            hint="set SERVICE_TOKEN for all servers, or STAGE=dev on a machine of your own",
        )
    known = ", ".join(sorted(OPEN))
    raise InvalidParams(f"there is no open table {shorten_text(table)!r}", field="table", hint=f"tables: {known}")


def _open_tables(server: PersistenceServer, actions: Sequence[Action]) -> None:
    for action in actions:
        _open_table(server, action.table)


def _describe_conflict(
    server: PersistenceServer, conflict: Conflict, actions: Sequence[Action], number: int
) -> Conflict:
    """Adds the index of the refused action to a conflict, with the table and the key of its item."""
    action = actions[number]
    table = server.tables.get_table(action.table)
    members = action.item if isinstance(action, Put) else action.key
    key = {name: members[name] for name in (table.partition, table.sort) if name is not None}
    conflict.details |= {"action": number, "table": table.name, "key": key}
    return conflict


def _read_cursor(cursor: str, keys: int) -> int:
    """Returns the key at which a page starts. Raises InvalidParams."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 5 and int(cursor) < keys):
        raise InvalidParams(
            "cursor is not one that get_items gave for these keys", field="cursor", hint="leave it out to begin"
        )
    return int(cursor)


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


def _show_item(record: Record | None) -> Members:
    return {"item": None, "version": 0} if record is None else _show_versioned(record)


def _show_versioned(record: Record) -> Members:
    return {"item": record.item, "version": record.version}


def _show_written(written: Written) -> Members:
    return _show_item(written.new)


def _show_items(start: int, keys: int, _: list[Outcome], found: list[Record | None]) -> Members:
    """Returns a page of the items of these keys, from the key `start` on."""
    stop = start + len(found)
    return {"items": [_show_item(record) for record in found], "cursor": None if stop == keys else str(stop)}


def _show_change(change: Change) -> Members:
    return {
        "tenant": change.tenant,
        "table": change.table,
        "at": iso_time(change.at),
        "old": None if change.old is None else _show_versioned(change.old),
        "new": None if change.new is None else _show_versioned(change.new),
    }
