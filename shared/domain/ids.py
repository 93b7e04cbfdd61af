"""Order ids: unique across machines, sorted by time of receipt, and found without an index.

An id is a UUID of version 7 (RFC 9562): 48 bits of milliseconds, 26 bits that name the store the
order was accepted by (drawn at random when the store is made), and 48 bits of that store's own
sequence. Orders accepted in one commit share all but the sequence, so a whole run of them is named by
one `Run`, and an id leads back to its row by arithmetic.
"""

import re
import secrets
from collections.abc import Iterable, Iterator

from msgspec import Struct

NODE_BITS = 26
SEQUENCE_BITS = 48

_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-([89ab][0-9a-f]{3})-([0-9a-f]{12})", re.IGNORECASE)


class Run(Struct, frozen=True, array_like=True, gc=False):
    """Consecutive orders accepted in one commit: `count` of them from sequence `first` on.

    `received` is their time of receipt in microseconds since the epoch, `node` their store.
    """

    received: int
    node: int
    first: int
    count: int

    def ids(self) -> Iterator[str]:
        """The ids of the run's orders, in order."""
        prefix = id_prefix(self.received, self.node)
        return (f"{prefix}{sequence:012x}" for sequence in range(self.first, self.first + self.count))


def split_run(run: Run, sequences: Iterable[int]) -> list[Run]:
    """The runs that hold just the given sequences of `run`, which come in ascending order."""
    parts: list[Run] = []
    first = count = 0
    for sequence in sequences:
        if count and sequence == first + count:
            count += 1
            continue
        if count:
            parts.append(Run(run.received, run.node, first, count))
        first, count = sequence, 1
    if count:
        parts.append(Run(run.received, run.node, first, count))
    return parts


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
