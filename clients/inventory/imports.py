"""Imports as they are stored: asked for, listed, followed, and taken back."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from clients.errors import Refused
from clients.inventory.records import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from shared.domain.errors import Conflict, NotFound
from shared.domain.records import Condition
from shared.domain.stock import ImportState
from shared.domain.tables import IMPORTS
from shared.wire.strict import shortened

_LOOK_SECONDS = 0.05
_ENDS = (ImportState.APPLIED, ImportState.UNDONE)


class Import(Struct, frozen=True):
    """A file that came in. `applied` of its `rows` are in force; `faults` rows of the file were left out."""

    id: str
    name: str
    source: str
    state: ImportState
    rows: int
    received: datetime.datetime
    applied: int = 0
    new: int = 0
    changed: int = 0
    same: int = 0
    faults: int = 0
    short: int = 0
    """Of one that was taken back: counts from which less was left than it had brought."""
    finished: datetime.datetime | None = None


class ImportPage(NamedTuple):
    """Imports, newest first; `cursor` leads to the next page."""

    imports: Sequence[Import]
    cursor: str | None


async def get_import(records: PersistenceClient, name: str) -> Import:
    """One import. Raises NotFound."""
    stored = await records.get_item(IMPORTS.name, {"id": name})
    return _seen(stored, name)


async def list_imports(records: PersistenceClient, *, limit: int, cursor: str | None) -> ImportPage:
    """A page of imports."""
    page = await records.query(IMPORTS.name, "by_time", descending=True, page_size=limit, cursor=cursor)
    found: list[Import] = []
    for stored in page.items:
        # What somebody has written there by hand may be none.
        with contextlib.suppress(msgspec.ValidationError):
            found.append(_import(stored))
    return ImportPage(found, page.cursor)


async def follow_import(records: PersistenceClient, name: str) -> AsyncGenerator[Import, None]:
    """An import as it goes on, to its end: once at first, then whenever more of it is done. Raises NotFound."""
    seen: Import | None = None
    while seen is None or seen.state not in _ENDS:
        found = await get_import(records, name)
        if found != seen:
            yield found
        seen = found
        if found.state not in _ENDS:
            await asyncio.sleep(_LOOK_SECONDS)


async def wait_for_import(records: PersistenceClient, name: str, *, seconds: float) -> Import:
    """An import at its end, or as it is after `seconds`. Raises NotFound."""
    found = await get_import(records, name)
    try:
        async with asyncio.timeout(seconds):
            async for now in follow_import(records, name):
                found = now
    except TimeoutError:
        pass
    return found


async def undo_import(records: PersistenceClient, name: str) -> Import:
    """Has an import taken back, which goes on behind this call; one that is taken back already is left as it is.

    Raises NotFound, and Conflict for one that is still being applied.
    """
    stored = await records.get_item(IMPORTS.name, {"id": name})
    found = _seen(stored, name)
    if found.state in (ImportState.UNDOING, ImportState.UNDONE):
        return found
    if found.state is not ImportState.APPLIED:
        raise Conflict(
            f"the import is {found.state}, not applied yet", field="id", hint="wait until it is, then undo it"
        )
    change = {"state": ImportState.UNDOING.value, "finished": None}
    when = Condition(version=stored.version)
    try:
        return _import(await records.update_item(IMPORTS.name, {"id": name}, change, when=when))
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        # Somebody else has undone it just now.
        return await get_import(records, name)


def _seen(stored: StoredItem, name: str) -> Import:
    if stored.item is None or stored.item["state"] == ImportState.STAGED:
        raise NotFound(f"there is no import {shortened(name)}", field="id", hint="GET /imports lists what there is")
    return _import(stored)


def _import(stored: StoredItem) -> Import:
    return msgspec.convert(stored.item, Import)
