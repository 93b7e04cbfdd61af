"""The change feed of records on SQLite, for the writing server and for followers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import aiosqlite
import msgspec

from shared.domain.errors import Gone, InvalidParams
from shared.domain.records import Item, Record, Table, text_bytes
from shared.stores.keys import tenant_of
from shared.stores.ports.records import ITEM_BYTES, PAGE_BYTES, Change, Changes
from shared.stores.sqlite.database import Writer

NEWEST = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)"
"""The number of the last change."""
NO_IMAGE = (0, "")
"""Version and document of an item that is not there: binding one None takes longer than inserting the row."""
CHANGED = """
INSERT INTO changes (collection, partition, at, old_version, old, new_version, new)
VALUES (?, ?, ?, nullif(?, 0), nullif(?, ''), nullif(?, 0), nullif(?, ''))"""
_FORGOTTEN = "SELECT coalesce((SELECT value FROM meta WHERE name = 'forgotten'), 0)"
_GAP = "SELECT coalesce((SELECT value FROM meta WHERE name = '{}'), 0)"
_STATE = " UNION ALL ".join([NEWEST, _FORGOTTEN, _GAP.format("gap_from"), _GAP.format("gap_to")])
_CHANGES = """
SELECT sequence, collection, partition, at, old_version, old, new_version, new FROM changes
WHERE sequence > ? ORDER BY sequence LIMIT ?"""

decode_item = msgspec.json.Decoder(Item, float_hook=Decimal).decode
"""Decodes an item of the file."""


async def read_changes(
    reader: aiosqlite.Connection, tables: Mapping[int, Table], after: str | None, limit: int
) -> Changes:
    """See `RecordStore.read_changes`; `tables` are the followed tables by number."""
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise InvalidParams("after is not a position", field="after", hint="take the one of an earlier answer")
    (newest,), (forgotten,), (gap_from,), (gap_to,) = await reader.execute_fetchall(_STATE)
    position = forgotten if after is None else int(after)
    if position < forgotten:
        raise Gone("the changes behind this position are older than a day", hint="read the tables anew")
    if gap_from < position < gap_to:
        raise Gone("the changes before this position are not in the store any more", hint="read the tables anew")
    if position > newest:
        raise InvalidParams("after lies in the future", field="after", hint=f"the newest position is {newest}")
    changes: list[Change] = []
    size = 0
    async with reader.execute(_CHANGES, (position, limit)) as found:
        async for sequence, collection, partition, at, old_version, old, new_version, new in found:
            table = tables.get(collection)
            if table is None:
                position = sequence
                continue
            size += 2 * ITEM_BYTES + text_bytes(old or "") + text_bytes(new or "")
            if changes and size > PAGE_BYTES:
                break
            position = sequence
            before, behind = _decode_image(old, old_version), _decode_image(new, new_version)
            changes.append(Change(table.name, tenant_of(partition), before, behind, at))
    return Changes(changes, str(position))


def _decode_image(document: Any, version: int) -> Record | None:
    return None if document is None else Record(decode_item(document), version)


class FeedGap(NamedTuple):
    """Numbers of changes that followers have read and that this file lacks, for example after a restore."""

    newest: int
    """The last change before the gap, the newest in the file."""
    next: int
    """The number of the next change."""


def skip_changes(writer: Writer, followed: int) -> FeedGap | None:
    """Continues the numbers of changes after `followed` if the file has fewer; returns None if it has these changes.

    Reading from a position within the gap raises Gone. Raises StoreError.
    """
    newest = int(writer.connection.execute(NEWEST).fetchone()[0])
    if followed <= newest:
        return None
    # Skips one number more, so that positions after the gap only come from new changes.
    last = followed + 1
    with writer.transaction(3) as connection:
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'changes'")
        connection.execute("INSERT INTO sqlite_sequence VALUES ('changes', ?)", (last,))
        values = [("gap_from", newest), ("gap_to", last)]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)
    return FeedGap(newest, last + 1)
