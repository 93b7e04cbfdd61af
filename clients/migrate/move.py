"""A move: everything of one end copied to the other, then both read and compared."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from clients.errors import ClientError
from clients.migrate.ends import End
from shared.stores.transfer import ItemPlace, StoredItem, StoredOrder

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
    last: int
    """The largest sequence."""


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
    orders = order_sum = items = item_sum = last = 0
    async for found in _orders(end, 0):
        orders += len(found)
        order_sum = (order_sum + sum(map(_sum, found))) % _MODULUS
        last = found[-1].sequence
        step(len(found))
    async for page, _ in _items(end, None):
        items += len(page)
        item_sum = (item_sum + sum(map(_sum, page))) % _MODULUS
        step(len(page))
    return Contents(orders, order_sum, items, item_sum, last)


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
    mark = Mark(*kinds, await source.orders.node())
    before = file.read()
    if before is not None and (before.source, before.target, before.node) == (mark.source, mark.target, mark.node):
        return before
    if await target.orders.node() is not None or not await target.items.empty():
        raise ClientError(
            f"{kinds[1]} is not empty",
            hint="move into a DATA_DIR or a DYNAMODB_PREFIX of its own; what is there would be mixed with what comes",
        )
    return mark


async def copy(source: End, target: End, mark: Mark, file: MarkFile, step: Step) -> None:
    """Copies what is not there yet, and notes how far it has come. Raises StoreError."""
    async for orders in _orders(source, mark.sequence):
        await target.orders.take(orders)
        mark.sequence = orders[-1].sequence
        file.write(mark)
        step(len(orders))
    if mark.items_done:
        return
    async for items, following in _items(source, mark.place):
        await target.items.take(items)
        mark.place, mark.items_done = following, following is None
        file.write(mark)
        step(len(items))


async def _orders(end: End, after: int) -> AsyncIterator[list[StoredOrder]]:
    while orders := await end.orders.give(after, _PAGE):
        yield orders
        after = orders[-1].sequence


async def _items(end: End, after: ItemPlace | None) -> AsyncIterator[tuple[list[StoredItem], ItemPlace | None]]:
    while True:
        items, after = await end.items.give(after, _PAGE)
        yield items, after
        if after is None:
            return


def _sum(stored: Any) -> int:
    return int.from_bytes(hashlib.sha256(_encode(stored)).digest()[:16])
