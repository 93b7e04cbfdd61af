"""Migration between stores: copies all data, then reads and compares both."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.migrate.open_stores import OpenStore
from shared.stores.ports.transfer import ITEM_SUM, ItemPlace, TransferredItem, TransferredOrder, TransferredRow

_PAGE = 2000
_MODULUS = 2**128
_encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode

ProgressCallback = Callable[[int], None]
"""Gets the number of orders or items since the last call."""


class StoreContents(NamedTuple):
    """Counts of a store, and sums of the SHA-256 of all entries, modulo 2^128, which do not depend on their order."""

    orders: int
    order_sum: int
    items: int
    item_sum: int
    followed_sum: int
    """The sum of the items whose changes are in the feed."""
    rows: int
    row_sum: int


class MigrationProgress(Struct):
    """The state of a migration, kept in a file until it is complete."""

    source: str
    target: str
    node: int | None
    sequence: int = 0
    place: ItemPlace | None = None
    items_done: bool = False


async def read_contents(end: OpenStore, step: ProgressCallback) -> StoreContents:
    """Reads all data of a store. Raises StoreError."""
    orders = order_sum = items = item_sum = followed_sum = rows = row_sum = 0
    async for found in _iterate_orders(end, 0):
        orders += len(found)
        order_sum = (order_sum + sum(map(_record_sum, found))) % _MODULUS
        step(len(found))
    async for page, _ in _iterate_items(end, None):
        items += len(page)
        sums = [(_record_sum(item), item.table in end.followed) for item in page]
        item_sum = (item_sum + sum(one for one, _ in sums)) % _MODULUS
        followed_sum = (followed_sum + sum(one for one, followed in sums if followed)) % _MODULUS
        step(len(page))
    async for carried in end.carried.read_pages():
        found_rows = [row for row in carried if row.table != ITEM_SUM]
        rows += len(found_rows)
        row_sum = (row_sum + sum(map(_record_sum, found_rows))) % _MODULUS
        step(len(found_rows))
    return StoreContents(orders, order_sum, items, item_sum, followed_sum, rows, row_sum)


class ProgressFile:
    """Stores the progress of an unfinished migration."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_progress(self) -> MigrationProgress | None:
        """Returns the progress of an interrupted migration; None without one."""
        return msgspec.json.decode(self.path.read_bytes(), type=MigrationProgress) if self.path.exists() else None

    def write_progress(self, mark: MigrationProgress) -> None:
        """Stores the progress."""
        self.path.write_bytes(msgspec.json.encode(mark))

    def remove_file(self) -> None:
        """Removes the file after the migration."""
        self.path.unlink(missing_ok=True)


async def begin_migration(
    source: OpenStore, target: OpenStore, kinds: tuple[str, str], file: ProgressFile
) -> MigrationProgress:
    """Returns the progress of an interrupted migration, or a new one if the target is empty.

    Raises ClientError.
    """
    mark = MigrationProgress(*kinds, await source.orders.read_node())
    before = file.read_progress()
    if before is not None and (before.source, before.target, before.node) == (mark.source, mark.target, mark.node):
        return before
    full = await target.orders.read_node() is not None or not await target.items.is_empty()
    if full or not await target.carried.is_empty():
        raise ClientError(
            f"{kinds[1]} is not empty",
            hint="move into a DATA_DIR or a DYNAMODB_PREFIX of its own; what is there would be mixed with what comes",
        )
    return mark


async def copy_contents(
    source: OpenStore,
    target: OpenStore,
    mark: MigrationProgress,
    file: ProgressFile,
    had: StoreContents,
    step: ProgressCallback,
) -> None:
    """Copies the remaining data, and stores the progress. Raises StoreError.

    `had` is the contents of the source.
    """
    async for orders in _iterate_orders(source, mark.sequence):
        await target.orders.write_orders(orders)
        mark.sequence = orders[-1].sequence
        file.write_progress(mark)
        step(len(orders))
    if not mark.items_done:
        async for items, following in _iterate_items(source, mark.place):
            await target.items.write_items(items)
            mark.place, mark.items_done = following, following is None
            file.write_progress(mark)
            step(len(items))
    await _copy_rest(source, target, had, step)


async def _copy_rest(source: OpenStore, target: OpenStore, had: StoreContents, step: ProgressCallback) -> None:
    """Copies everything except orders and items, from the beginning, since it is little."""
    page, marked = 0, False
    async for rows in source.carried.read_pages():
        await target.carried.write_page(page, rows)
        marked = marked or any(row.table == ITEM_SUM for row in rows)
        page += 1
        step(len(rows))
    if not marked:
        # A migration back compares this sum to detect changes of items.
        await target.carried.write_page(page, [TransferredRow(ITEM_SUM, [str(had.followed_sum)])])


async def _iterate_orders(end: OpenStore, after: int) -> AsyncIterator[list[TransferredOrder]]:
    while orders := await end.orders.read_orders(after, _PAGE):
        yield orders
        after = orders[-1].sequence


async def _iterate_items(
    end: OpenStore, after: ItemPlace | None
) -> AsyncIterator[tuple[list[TransferredItem], ItemPlace | None]]:
    while True:
        items, after = await end.items.read_items(after, _PAGE)
        yield items, after
        if after is None:
            return


def _record_sum(stored: Any) -> int:
    return int.from_bytes(hashlib.sha256(_encode(stored)).digest()[:16])
