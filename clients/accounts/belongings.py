"""Items that belong to a user beside the account: those whose partition is the user.

Purchases are exported, and stay when an account is removed: the books of a shop need them.
"""

from collections.abc import AsyncIterator
from typing import Any

from clients.persistence import PersistenceClient
from shared.domain.records import Action, Delete, Table
from shared.domain.tables import CARTS, CHECKOUTS, FAVORITES, NOTICES, PURCHASES, WISHES

_EXPORTED: tuple[Table, ...] = (CARTS, FAVORITES, NOTICES, PURCHASES, WISHES)
_REMOVED: tuple[Table, ...] = (CARTS, CHECKOUTS, FAVORITES, NOTICES, WISHES)
_BATCH = 100


async def export_belongings(records: PersistenceClient, user: str) -> dict[str, list[dict[str, Any]]]:
    """Returns all items of a user by table."""
    return {
        table.name: [item async for page in _iterate_items(records, table, user) for item in page]
        for table in _EXPORTED
    }


async def delete_belongings(records: PersistenceClient, user: str) -> None:
    """Removes all items of a user; may be repeated."""
    for table in _REMOVED:
        names = [name for name in (table.partition, table.sort) if name is not None]
        async for page in _iterate_items(records, table, user):
            removed: list[Action] = [Delete(table.name, {name: item[name] for name in names}) for item in page]
            await records.batch(removed, safe=True)


async def _iterate_items(records: PersistenceClient, table: Table, user: str) -> AsyncIterator[list[dict[str, Any]]]:
    cursor: str | None = None
    while True:
        page = await records.query(table.name, partition=user, page_size=_BATCH, cursor=cursor)
        if items := [stored.item for stored in page.items if stored.item is not None]:
            yield items
        cursor = page.cursor
        if cursor is None:
            return
