"""Reads what the lake has of records from the records themselves: books, and purchases when changes were missed."""

import datetime
from collections.abc import AsyncIterator, Collection
from typing import Any, Final, NamedTuple

import structlog

from clients.accounts.tenants import get_tenant, iterate_tenants
from clients.persistence import PersistenceClient
from shared.domain.books import SHARDS as BOOK_SHARDS
from shared.domain.errors import InvalidParams
from shared.domain.purchases import SHARDS
from shared.domain.tables import BOOKS, PURCHASES
from shared.domain.tenants import MAIN
from shared.lake.rows import ItemChange, make_book_row, make_purchase_row

_PAGE: Final = 500
_FIRST_DAY: Final = datetime.date(2026, 11, 27)
"""Purchases exist since this day."""


class PurchaseDay(NamedTuple):
    """All purchases of a day, as lines of JSON."""

    day: str
    lines: bytes


async def list_tenants(records: PersistenceClient) -> list[str]:
    """Returns the names of all tenants. Raises ClientError."""
    return sorted({MAIN, *[found.record.tenant async for found in iterate_tenants(records)]})


async def read_books(records: PersistenceClient, tenant: str) -> list[dict[str, Any]]:
    """Returns the rows of the listed books of a tenant. Raises ClientError and NotFound."""
    shop = (await get_tenant(records, tenant)).record
    own = records.of(tenant)
    rows: list[dict[str, Any]] = []
    for shard in range(BOOK_SHARDS):
        async for page in own.iterate_pages(BOOKS.name, "by_shard", partition=shard, page_size=_PAGE):
            for stored in page.items:
                if stored.item is None:
                    continue
                try:
                    rows.append(make_book_row(stored.item, stored.version, shop.currency, shop.exponent))
                except InvalidParams as error:
                    _report(BOOKS.name, tenant, error)
    return sorted(rows, key=lambda row: str(row["book_id"]))


async def iterate_purchases(
    records: PersistenceClient, tenant: str, forgotten: Collection[str]
) -> AsyncIterator[PurchaseDay]:
    """Yields the purchases of a tenant day by day, of days that have some. Raises ClientError."""
    own = records.of(tenant)
    day = _FIRST_DAY
    while day <= datetime.datetime.now(datetime.UTC).date():
        lines: list[bytes] = []
        for shard in range(SHARDS):
            partition = f"{day.isoformat()}#{shard:x}"
            async for page in own.iterate_pages(PURCHASES.name, "by_day", partition=partition, page_size=_PAGE):
                for stored in page.items:
                    if stored.item is None:
                        continue
                    change = ItemChange(tenant, "", None, (stored.item, stored.version))
                    try:
                        lines.append(make_purchase_row(change, forgotten).line)
                    except InvalidParams as error:
                        _report(PURCHASES.name, tenant, error)
        if lines:
            yield PurchaseDay(day.isoformat(), b"".join(lines))
        day += datetime.timedelta(days=1)


def _report(table: str, tenant: str, error: InvalidParams) -> None:
    structlog.get_logger().warning("lake_row_skipped", table=table, tenant=tenant, reason=error.message)
