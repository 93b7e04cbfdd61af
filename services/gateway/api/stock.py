"""Stock: counts by store, movements, and alerts for low counts."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from clients.inventory import stock
from clients.persistence import PersistenceClient, StoredItem
from services.gateway.http.parameters import Cursor, Limit, Match, NoneMatch
from services.gateway.http.principal import OPERATORS, VIEWERS
from services.gateway.http.responses import is_named, json_response, not_modified, seen_version
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.upstream.backend import Backend
from services.gateway.upstream.deadlines import long_request_client
from shared.csv.export import HEAD, export_lines
from shared.domain.stock import MAX_COUNT, check_item, check_store

_CSV = "text/csv"
_EXPORT_ROWS = 1000
StoreName = Annotated[str, Meta(min_length=1, max_length=100)]


class StockItem(Struct, frozen=True):
    """The count of an item in a store; `low` if it is below LOW_STOCK. Each change increments `version`."""

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
    """Position and size of a page."""

    limit: Limit = 50
    cursor: Cursor | None = None


class AlertQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Selection of alerts; without a state, the open and the acknowledged ones."""

    state: stock.OpenStates | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Selection of a store; without one, all stores."""

    store: StoreName | None = None


class NewCount(Struct, frozen=True, forbid_unknown_fields=True):
    """A count that is set by hand."""

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

    @route(
        "GET",
        "/items",
        id="all_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="List the stock of all stores",
        query=PageQuery,
        responses={200: ResponseSpec(StockPage, "A page of items")},
        errors=("invalid_params", *UPSTREAM_ERRORS),
    )
    async def _list_all(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: PageQuery = request.query
        return self._stock_page(await stock.list_stock(records.lists, limit=query.limit, cursor=query.cursor))

    @route(
        "GET",
        "/items/{store}",
        id="of_store_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="List the stock of a store",
        query=PageQuery,
        responses={200: ResponseSpec(StockPage, "A page of items")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _list_store(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: PageQuery = request.query
        store = check_store(request.path_values["store"])
        return self._stock_page(await stock.list_stock(records.lists, store, limit=query.limit, cursor=query.cursor))

    def _stock_page(self, page: stock.StoredStockPage) -> HttpResponse:
        return json_response(StockPage([self._stock_item(stored) for stored in page.items], page.cursor))

    def _stock_item(self, stored: StoredItem) -> StockItem:
        item = stored.item
        assert item is not None
        count = item["count"]
        return StockItem(item["store"], item["item"], count, count < self._low, stored.version, item.get("changed"))

    @route(
        "GET",
        "/items.csv",
        id="export_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="The stock as a file for spreadsheets",
        description="No cell is taken for a formula; the file can be sent in again as it is.",
        query=ExportQuery,
        responses={200: ResponseSpec(str, "Lines of store,item,count", _CSV)},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _export_stock(self, request: HttpRequest) -> HttpResponse:
        store: str | None = request.query.store
        records = long_request_client(
            self._records.of(request.principal.tenant), request.request_id, seconds=self._request_seconds
        )
        rows = stock.iterate_stock(records, store)
        # Refused here, or not at all.
        first = await anext(rows, None)
        headers = [
            (b"content-type", b"text/csv; charset=utf-8"),
            (b"content-disposition", b'attachment; filename="stock.csv"'),
        ]
        return HttpResponse(200, headers, _export_rows(first, rows))

    @route(
        "GET",
        "/items/{store}/{item}",
        id="show_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="Look at one item",
        headers=NoneMatch,
        responses={200: ResponseSpec(StockItem, "The item"), 304: ResponseSpec(None, "It is what the ETag stands for")},
        errors=("not_found", *UPSTREAM_ERRORS),
    )
    async def _show_item(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        store, item = check_store(request.path_values["store"]), check_item(request.path_values["item"])
        stored = await stock.get_stock(records.lookups, store, item)
        etag = f'"{stored.version}"'
        if is_named(etag, request.headers.if_none_match):
            return not_modified(etag)
        return json_response(self._stock_item(stored), etag=etag)

    @route(
        "PUT",
        "/items/{store}/{item}",
        id="set_put_stock",
        tag="stock",
        access=OPERATORS,
        summary="Set a count by hand",
        headers=Match,
        body=NewCount,
        example={"count": 7},
        responses={200: ResponseSpec(StockItem, "The item")},
        errors=("precondition_failed", "conflict", *UPSTREAM_ERRORS),
    )
    async def _set_count(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        store, item = check_store(request.path_values["store"]), check_item(request.path_values["item"])
        version = seen_version(request.headers.if_match)
        stored = await stock.set_count(records.lookups, store, item, request.body.count, version=version)
        return json_response(self._stock_item(stored), etag=f'"{stored.version}"')

    @route(
        "GET",
        "/items/{store}/{item}/movements",
        id="movements_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="What has changed a count, newest first",
        description="They follow the count by moments; their sum is the count.",
        query=PageQuery,
        responses={200: ResponseSpec(MovementPage, "A page of movements")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_movements(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: PageQuery = request.query
        movements, cursor = await stock.list_movements(
            records.lists,
            check_store(request.path_values["store"]),
            check_item(request.path_values["item"]),
            limit=query.limit,
            cursor=query.cursor,
        )
        return json_response(MovementPage(movements, cursor))

    @route(
        "GET",
        "/stores",
        id="stores_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="List stores with their sums",
        description="The sums follow the counts by moments.",
        query=PageQuery,
        responses={200: ResponseSpec(StorePage, "A page of stores")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_stores(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: PageQuery = request.query
        return json_response(StorePage(*await stock.list_stores(records.lists, limit=query.limit, cursor=query.cursor)))

    @route(
        "GET",
        "/alerts",
        id="alerts_get_stock",
        tag="stock",
        access=VIEWERS,
        summary="List what is low",
        query=AlertQuery,
        responses={200: ResponseSpec(AlertPage, "A page of alerts")},
        errors=UPSTREAM_ERRORS,
    )
    async def _list_alerts(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        query: AlertQuery = request.query
        found = await stock.list_alerts(records.lists, query.state, limit=query.limit, cursor=query.cursor)
        return json_response(AlertPage(*found))

    @route(
        "POST",
        "/alerts/acknowledge",
        id="acknowledge_post_stock",
        tag="stock",
        access=OPERATORS,
        summary="Say that an alert was seen",
        body=Named,
        example={"store": "Berlin", "item": "Echo Dot"},
        responses={200: ResponseSpec(stock.Alert, "The alert")},
        errors=("not_found", "conflict", *UPSTREAM_ERRORS),
    )
    async def _acknowledge_alert(self, request: HttpRequest) -> HttpResponse:
        records = self._records.of(request.principal.tenant)
        return json_response(await stock.acknowledge_alert(records.lookups, request.body.store, request.body.item))


async def _export_rows(
    first: tuple[str, str, int] | None, rows: AsyncIterator[tuple[str, str, int]]
) -> AsyncIterator[bytes]:
    """Yields the lines of a CSV file in blocks."""
    yield HEAD
    waiting = [] if first is None else [first]
    async for row in rows:
        waiting.append(row)
        if len(waiting) == _EXPORT_ROWS:
            yield export_lines(waiting)
            waiting = []
    yield export_lines(waiting)
