"""A move: everything of one end copied to the other, then both read and compared."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.tools.migrate.ends import End
from shared.stores.ports.transfer import ITEM_SUM, ItemPlace, TransferredItem, TransferredOrder, TransferredRow

_PAGE = 2000
_MODULUS = 2**128
_encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode

Step = Callable[[int], None]
"""Is told of so many orders or items more."""


class Contents(NamedTuple):
    """How much an end holds, and the sum of the SHA-256 of each, modulo 2^128: their order does not matter."""

    orders: int
    order_sum: int
    items: int
    item_sum: int
    followed_sum: int
    """The same of items whose changes are in the feed."""
    rows: int
    row_sum: int


class Mark(Struct):
    """How far a move has come; it is kept in a file until the move is done."""

    source: str
    target: str
    node: int | None
    sequence: int = 0
    place: ItemPlace | None = None
    items_done: bool = False


async def contents(end: End, step: Step) -> Contents:
    """Reads everything that an end holds. Raises StoreError."""
    orders = order_sum = items = item_sum = followed_sum = rows = row_sum = 0
    async for found in _orders(end, 0):
        orders += len(found)
        order_sum = (order_sum + sum(map(_sum, found))) % _MODULUS
        step(len(found))
    async for page, _ in _items(end, None):
        items += len(page)
        sums = [(_sum(item), item.table in end.followed) for item in page]
        item_sum = (item_sum + sum(one for one, _ in sums)) % _MODULUS
        followed_sum = (followed_sum + sum(one for one, followed in sums if followed)) % _MODULUS
        step(len(page))
    async for carried in end.carried.read_pages():
        found_rows = [row for row in carried if row.table != ITEM_SUM]
        rows += len(found_rows)
        row_sum = (row_sum + sum(map(_sum, found_rows))) % _MODULUS
        step(len(found_rows))
    return Contents(orders, order_sum, items, item_sum, followed_sum, rows, row_sum)


class MarkFile:
    """Keeps a mark until the move is done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Mark | None:
        """The mark of a move that was interrupted."""
        return msgspec.json.decode(self.path.read_bytes(), type=Mark) if self.path.exists() else None

    def write(self, mark: Mark) -> None:
        """Notes how far the move has come."""
        self.path.write_bytes(msgspec.json.encode(mark))

    def remove(self) -> None:
        """The move is done."""
        self.path.unlink(missing_ok=True)


async def begin(source: End, target: End, kinds: tuple[str, str], file: MarkFile) -> Mark:
    """Where a move begins: where an earlier one was interrupted, or at the start of an empty target.

    Raises ClientError.
    """
    mark = Mark(*kinds, await source.orders.read_node())
    before = file.read()
    if before is not None and (before.source, before.target, before.node) == (mark.source, mark.target, mark.node):
        return before
    full = await target.orders.read_node() is not None or not await target.items.is_empty()
    if full or not await target.carried.is_empty():
        raise ClientError(
            f"{kinds[1]} is not empty",
            hint="move into a DATA_DIR or a DYNAMODB_PREFIX of its own; what is there would be mixed with what comes",
        )
    return mark


async def copy(source: End, target: End, mark: Mark, file: MarkFile, had: Contents, step: Step) -> None:
    """Copies what is not there yet, and notes how far it has come; `had` is what the source has. Raises StoreError."""
    async for orders in _orders(source, mark.sequence):
        await target.orders.write_orders(orders)
        mark.sequence = orders[-1].sequence
        file.write(mark)
        step(len(orders))
    if not mark.items_done:
        async for items, following in _items(source, mark.place):
            await target.items.write_items(items)
            mark.place, mark.items_done = following, following is None
            file.write(mark)
            step(len(items))
    await _copy_rest(source, target, had, step)


async def _copy_rest(source: End, target: End, had: Contents, step: Step) -> None:
    """Copies what is neither an order nor an item: from the beginning, since it is little."""
    page, marked = 0, False
    async for rows in source.carried.read_pages():
        await target.carried.write_page(page, rows)
        marked = marked or any(row.table == ITEM_SUM for row in rows)
        page += 1
        step(len(rows))
    if not marked:
        # By which the way back knows whether items were changed since.
        await target.carried.write_page(page, [TransferredRow(ITEM_SUM, [str(had.followed_sum)])])


async def _orders(end: End, after: int) -> AsyncIterator[list[TransferredOrder]]:
    while orders := await end.orders.read_orders(after, _PAGE):
        yield orders
        after = orders[-1].sequence


async def _items(end: End, after: ItemPlace | None) -> AsyncIterator[tuple[list[TransferredItem], ItemPlace | None]]:
    while True:
        items, after = await end.items.read_items(after, _PAGE)
        yield items, after
        if after is None:
            return


def _sum(stored: Any) -> int:
    return int.from_bytes(hashlib.sha256(_encode(stored)).digest()[:16])
