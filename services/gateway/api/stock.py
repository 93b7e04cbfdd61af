"""Stock: counts by store, their movements, and alerts of what is low."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from clients.inventory import stock
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.responses import answer, is_named, seen_version, unchanged
from services.gateway.http.router import ASKING, Answer, Meant, Operation, Request
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.deadlines import Longer
from shared.domain.stock import MAX_COUNT, check_item, check_store
from shared.wire.sheet_export import HEAD, export_lines

_CSV = "text/csv"
_EXPORT_ROWS = 1000
StoreName = Annotated[str, Meta(min_length=1, max_length=100)]


class StockItem(Struct, frozen=True):
    """How many there are of an item in a store; `low` below LOW_STOCK. Each change counts `version` up."""

    store: str
    item: str
    count: int
    low: bool
    version: int
    changed: str | None


class StockPage(Struct, frozen=True):
    """Items by store and name; `cursor` leads to the next page."""

    items: list[StockItem]
    cursor: str | None


class StorePage(Struct, frozen=True):
    """Stores by name; `cursor` leads to the next page."""

    stores: Sequence[stock.Store]
    cursor: str | None


class MovementPage(Struct, frozen=True, omit_defaults=True):
    """Changes of a count, newest first; `cursor` leads to the next page."""

    movements: Sequence[stock.Movement]
    cursor: str | None


class AlertPage(Struct, frozen=True):
    """Alerts, newest first; `cursor` leads to the next page."""

    alerts: Sequence[stock.Alert]
    cursor: str | None


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page."""

    limit: Limit = 50
    cursor: Cursor | None = None


class AlertQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which alerts: without a state, those that are open and those that are acknowledged."""

    state: stock.OpenStates | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which store; without one, all of them."""

    store: StoreName | None = None


class NewCount(Struct, frozen=True, forbid_unknown_fields=True):
    """A count that somebody has made by hand."""

    count: Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class Named(Struct, frozen=True, forbid_unknown_fields=True):
    """An item of a store."""

    store: StoreName
    item: Annotated[str, Meta(min_length=1, max_length=200)]


class StockRoutes:
    """Everything below /items, /stores and /alerts but what brings in files; an item is low below `low`."""

    def __init__(self, persistence: Backend[PersistenceClient], *, low: int, request_seconds: float) -> None:
        self._records = persistence
        self._low = low
        self._request_seconds = request_seconds

    def operations(self) -> Sequence[Operation]:
        """What can be asked."""
        return [
            Operation(
                method="GET",
                path="/items",
                serve=self._all,
                tag="stock",
                summary="List the stock of all stores",
                query=PageQuery,
                answers={200: Meant(StockPage, "A page of items")},
                refusals=("invalid_params", *ASKING),
            ),
            Operation(
                method="GET",
                path="/items.csv",
                serve=self._export,
                tag="stock",
                summary="The stock as a file for spreadsheets",
                description="No cell is taken for a formula; the file can be sent in again as it is.",
                query=ExportQuery,
                answers={200: Meant(str, "Lines of store,item,count", _CSV)},
                refusals=("not_found", *ASKING),
            ),
            Operation(
                method="GET",
                path="/items/{store}",
                serve=self._of_store,
                tag="stock",
                summary="List the stock of a store",
                query=PageQuery,
                answers={200: Meant(StockPage, "A page of items")},
                refusals=("not_found", *ASKING),
            ),
            Operation(
                method="GET",
                path="/items/{store}/{item}",
                serve=self._show,
                tag="stock",
                summary="Look at one item",
                headers=NoneMatch,
                answers={200: Meant(StockItem, "The item"), 304: Meant(None, "It is what the ETag stands for")},
                refusals=("not_found", *ASKING),
            ),
            Operation(
                method="PUT",
                path="/items/{store}/{item}",
                serve=self._set,
                tag="stock",
                summary="Set a count by hand",
                headers=Match,
                body=NewCount,
                example={"count": 7},
                answers={200: Meant(StockItem, "The item")},
                refusals=("precondition_failed", "conflict", *ASKING),
            ),
            Operation(
                method="GET",
                path="/items/{store}/{item}/movements",
                serve=self._movements,
                tag="stock",
                summary="What has changed a count, newest first",
                description="They follow the count by moments; their sum is the count.",
                query=PageQuery,
                answers={200: Meant(MovementPage, "A page of movements")},
                refusals=ASKING,
            ),
            Operation(
                method="GET",
                path="/stores",
                serve=self._stores,
                tag="stock",
                summary="List stores with their sums",
                description="The sums follow the counts by moments.",
                query=PageQuery,
                answers={200: Meant(StorePage, "A page of stores")},
                refusals=ASKING,
            ),
            Operation(
                method="GET",
                path="/alerts",
                serve=self._alerts,
                tag="stock",
                summary="List what is low",
                query=AlertQuery,
                answers={200: Meant(AlertPage, "A page of alerts")},
                refusals=ASKING,
            ),
            Operation(
                method="POST",
                path="/alerts/acknowledge",
                serve=self._acknowledge,
                tag="stock",
                summary="Say that an alert was seen",
                body=Named,
                example={"store": "Berlin", "item": "Echo Dot"},
                answers={200: Meant(stock.Alert, "The alert")},
                refusals=("not_found", "conflict", *ASKING),
            ),
        ]

    async def _all(self, request: Request) -> Answer:
        query: PageQuery = request.query
        return self._page(await stock.list_stock(self._records.lists, limit=query.limit, cursor=query.cursor))

    async def _of_store(self, request: Request) -> Answer:
        query: PageQuery = request.query
        store = check_store(request.named["store"])
        return self._page(await stock.list_stock(self._records.lists, store, limit=query.limit, cursor=query.cursor))

    def _page(self, page: stock.StockPage) -> Answer:
        return answer(StockPage([self._item(stored) for stored in page.items], page.cursor))

    def _item(self, stored: StoredItem) -> StockItem:
        item = stored.item
        assert item is not None
        count = item["count"]
        return StockItem(item["store"], item["item"], count, count < self._low, stored.version, item.get("changed"))

    async def _export(self, request: Request) -> Answer:
        store: str | None = request.query.store
        records = Longer(self._records, request.request_id, seconds=self._request_seconds)
        rows = stock.all_stock(records, store)
        # Refused here, or not at all.
        first = await anext(rows, None)
        headers = [
            (b"content-type", b"text/csv; charset=utf-8"),
            (b"content-disposition", b'attachment; filename="stock.csv"'),
        ]
        return Answer(200, headers, _lines(first, rows))

    async def _show(self, request: Request) -> Answer:
        store, item = check_store(request.named["store"]), check_item(request.named["item"])
        stored = await stock.get_stock(self._records, store, item)
        etag = f'"{stored.version}"'
        if is_named(etag, request.headers.if_none_match):
            return unchanged(etag)
        return answer(self._item(stored), etag=etag)

    async def _set(self, request: Request) -> Answer:
        store, item = check_store(request.named["store"]), check_item(request.named["item"])
        version = seen_version(request.headers.if_match)
        stored = await stock.set_count(self._records, store, item, request.body.count, version=version)
        return answer(self._item(stored), etag=f'"{stored.version}"')

    async def _movements(self, request: Request) -> Answer:
        query: PageQuery = request.query
        movements, cursor = await stock.list_movements(
            self._records.lists,
            check_store(request.named["store"]),
            check_item(request.named["item"]),
            limit=query.limit,
            cursor=query.cursor,
        )
        return answer(MovementPage(movements, cursor))

    async def _stores(self, request: Request) -> Answer:
        query: PageQuery = request.query
        return answer(StorePage(*await stock.list_stores(self._records.lists, limit=query.limit, cursor=query.cursor)))

    async def _alerts(self, request: Request) -> Answer:
        query: AlertQuery = request.query
        found = await stock.list_alerts(self._records.lists, query.state, limit=query.limit, cursor=query.cursor)
        return answer(AlertPage(*found))

    async def _acknowledge(self, request: Request) -> Answer:
        return answer(await stock.acknowledge(self._records, request.body.store, request.body.item))


async def _lines(first: tuple[str, str, int] | None, rows: AsyncIterator[tuple[str, str, int]]) -> AsyncIterator[bytes]:
    """The lines of a file, some at a time."""
    yield HEAD
    waiting = [] if first is None else [first]
    async for row in rows:
        waiting.append(row)
        if len(waiting) == _EXPORT_ROWS:
            yield export_lines(waiting)
            waiting = []
    yield export_lines(waiting)
