"""Stored imports: reads, lists, follows and undoes them."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from shared.domain.errors import Conflict, NotFound
from shared.domain.records import Condition
from shared.domain.stock import ImportState
from shared.domain.tables import IMPORTS
from shared.wire.strict_json import shorten_text

_POLL_SECONDS = 0.05
_FINAL_STATES = (ImportState.APPLIED, ImportState.UNDONE)


class Import(Struct, frozen=True):
    """An imported file. `applied` of its `rows` have taken effect; `faults` rows of the file were omitted."""

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
    """After an undo: the number of counts that were already lower than the import had added."""
    finished: datetime.datetime | None = None


class StoredImportPage(NamedTuple):
    """Imports, newest first; `cursor` continues with the next page."""

    imports: Sequence[Import]
    cursor: str | None


async def get_import(records: PersistenceClient, name: str) -> Import:
    """Returns one import. Raises NotFound."""
    stored = await records.get_item(IMPORTS.name, {"id": name})
    return _read_import(stored, name)


async def list_imports(records: PersistenceClient, *, limit: int, cursor: str | None) -> StoredImportPage:
    """Returns a page of imports."""
    page = await records.query(IMPORTS.name, "by_time", descending=True, page_size=limit, cursor=cursor)
    found: list[Import] = []
    for stored in page.items:
        # Records that other clients have written may be invalid.
        with contextlib.suppress(msgspec.ValidationError):
            found.append(_convert_import(stored))
    return StoredImportPage(found, page.cursor)


async def follow_import(records: PersistenceClient, name: str) -> AsyncGenerator[Import, None]:
    """Yields an import at first and after each progress, until it has ended. Raises NotFound."""
    seen: Import | None = None
    while seen is None or seen.state not in _FINAL_STATES:
        found = await get_import(records, name)
        if found != seen:
            yield found
        seen = found
        if found.state not in _FINAL_STATES:
            await asyncio.sleep(_POLL_SECONDS)


async def wait_for_import(records: PersistenceClient, name: str, *, seconds: float) -> Import:
    """Returns an import that has ended, or its state after `seconds`. Raises NotFound."""
    found = await get_import(records, name)
    try:
        async with asyncio.timeout(seconds):
            async for now in follow_import(records, name):
                found = now
    except TimeoutError:
        pass
    return found


async def undo_import(records: PersistenceClient, name: str) -> Import:
    """Starts to undo an import; one that is being undone already stays as it is.

    Raises NotFound, and Conflict for an import that is still being applied.
    """
    stored = await records.get_item(IMPORTS.name, {"id": name})
    found = _read_import(stored, name)
    if found.state in (ImportState.UNDOING, ImportState.UNDONE):
        return found
    if found.state is not ImportState.APPLIED:
        raise Conflict(
            f"the import is {found.state}, not applied yet", field="id", hint="wait until it is applied, then undo it"
        )
    change = {"state": ImportState.UNDOING.value, "finished": None}
    when = Condition(version=stored.version)
    try:
        return _convert_import(await records.update_item(IMPORTS.name, {"id": name}, change, when=when))
    except Refused as refusal:
        if not is_conflict(refusal):
            raise
        # Another client has undone it just now.
        return await get_import(records, name)


def _read_import(stored: StoredItem, name: str) -> Import:
    if stored.item is None or stored.item["state"] == ImportState.STAGED:
        raise NotFound(f"there is no import {shorten_text(name)}", field="id", hint="GET /imports lists what there is")
    return _convert_import(stored)


def _convert_import(stored: StoredItem) -> Import:
    return msgspec.convert(stored.item, Import)
