"""Order ids: unique across machines, sorted by time of receipt, and found without an index.

An id is a UUID of version 7 (RFC 9562): 48 bits of milliseconds, 26 bits that name the store the
order was accepted by (drawn at random when the store is made), and 48 bits of that store's own
sequence. Orders accepted in one commit share all but the sequence, so all of them are named by one
`OrderRange`, and an id leads back to its row by arithmetic.
"""

import re
import secrets
from collections.abc import Iterable, Iterator

from msgspec import Struct

NODE_BITS = 26
SEQUENCE_BITS = 48
_NANOSECONDS = 1_000_000

_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-([89ab][0-9a-f]{3})-([0-9a-f]{12})", re.IGNORECASE)


class OrderRange(Struct, frozen=True, array_like=True, gc=False):
    """Consecutive orders accepted in one commit: `count` of them from sequence `first` on.

    `received` is their time of receipt in microseconds since the epoch, `node` their store.
    """

    received: int
    node: int
    first: int
    count: int

    @property
    def stop(self) -> int:
        """The sequence behind the last order."""
        return self.first + self.count

    @property
    def sequences(self) -> range:
        """The sequences of the orders, in order."""
        return range(self.first, self.first + self.count)

    def ids(self) -> Iterator[str]:
        """Returns the ids of the orders, in order."""
        prefix = id_prefix(self.received, self.node)
        return (f"{prefix}{sequence:012x}" for sequence in self.sequences)

    def split(self, count: int) -> "tuple[OrderRange, OrderRange]":
        """Returns the first `count` orders, and the rest."""
        head = OrderRange(self.received, self.node, self.first, count)
        return head, OrderRange(self.received, self.node, self.first + count, self.count - count)

    def select(self, sequences: Iterable[int]) -> "list[OrderRange]":
        """Returns the ranges that hold just the given sequences, which come in ascending order."""
        parts: list[OrderRange] = []
        first = count = 0
        for sequence in sequences:
            if count and sequence == first + count:
                count += 1
                continue
            if count:
                parts.append(OrderRange(self.received, self.node, first, count))
            first, count = sequence, 1
        if count:
            parts.append(OrderRange(self.received, self.node, first, count))
        return parts


def new_uuid7(nanoseconds: int) -> str:
    """Returns a new UUID of version 7 for a time in nanoseconds since 1970: later ones sort behind it.

    Its 12 bits after the milliseconds are their fraction (RFC 9562, section 6.2, method 3), a quarter of a microsecond.
    """
    milliseconds, rest = divmod(nanoseconds, _NANOSECONDS)
    fraction = (rest << 12) // _NANOSECONDS
    bits = milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_node() -> int:
    """A random name for a new store."""
    return secrets.randbits(NODE_BITS)


def id_prefix(received: int, node: int) -> str:
    """All of an id but its last 12 digits, which are the sequence in hexadecimal."""
    time = f"{received // 1000:012x}"
    variant = 0x8000 | (node & 0x3FFF)
    return f"{time[:8]}-{time[8:]}-7{node >> 14:03x}-{variant:04x}-"


def parse_id(text: str) -> tuple[int, int, int] | None:
    """Milliseconds, node and sequence of an id; None when `text` cannot be one."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    high, low, node_high, node_low, sequence = match.groups()
    node = (int(node_high, 16) << 14) | (int(node_low, 16) & 0x3FFF)
    return int(high + low, 16), node, int(sequence, 16)
