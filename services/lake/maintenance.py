"""Work on all files of the lake: forgetting a person, rewriting files in today's columns, and retention."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from services.lake.progress import LakeDay
from shared.lake.layout import day_of_path, table_folder
from shared.lake.states import forget_user, read_state, write_state
from shared.lake.storage import LakeStorage
from shared.lake.tables import BY_EVENTS, FORGOTTEN, ORDER_TENANT, LakeTable, list_tables

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


async def list_event_days(storage: LakeStorage, tenant: str) -> list[LakeDay]:
    """Returns the days of all folders of events of a tenant. Raises StoreError."""
    found: set[LakeDay] = set()
    for folder in BY_EVENTS:
        for path in await storage.list_files(table_folder(tenant, folder)):
            if (day := day_of_path(path)) is not None:
                found.add(LakeDay(tenant, folder, day))
    return sorted(found)


async def rewrite_files(storage: LakeStorage, tenant: str) -> int:
    """Writes all Parquet files of a tenant in today's columns; returns how many have changed. Raises StoreError."""
    changed = 0
    for table in list_tables(tenant):
        for path in await storage.list_files(table_folder(tenant, table.name)):
            data = await storage.read(path)
            if data is not None and (rewritten := await asyncio.to_thread(_rewrite, data, table)) != data:
                await storage.write(path, rewritten)
                changed += 1
    return changed


async def forget_person(storage: LakeStorage, tenant: str, user: str) -> int:
    """Replaces a user by `FORGOTTEN` in all files; returns how many have changed. Raises StoreError.

    Orders of purchases, which the tenant `main` has, name their customer TENANT/USER.
    """
    changed = await _forget_in_tenant(storage, tenant, {user})
    return changed + await _forget_in_tenant(storage, ORDER_TENANT, {f"{tenant}/{user}"})


async def remove_old_files(storage: LakeStorage, retention: Mapping[str, float]) -> int:
    """Removes files of days before the retention of their folder; returns how many. Raises StoreError."""
    today = datetime.now(UTC).date()
    removed = 0
    for path in await storage.list_files(""):
        day, parts = day_of_path(path), path.split("/")
        if day is None or len(parts) < 2 or (days := retention.get(parts[1])) is None:
            continue
        if datetime.fromisoformat(day).date() < today - timedelta(days=days):
            await storage.remove(path)
            removed += 1
    return removed


async def _forget_in_tenant(storage: LakeStorage, tenant: str, users: set[str]) -> int:
    changed = 0
    for table in list_tables(tenant):
        if table.user is None:
            continue
        for path in await storage.list_files(table_folder(tenant, table.name)):
            data = await storage.read(path)
            if data is not None and (rewritten := await asyncio.to_thread(_forget_rows, data, table, users)) != data:
                await storage.write(path, rewritten)
                changed += 1
        assert table.user is not None
        for path in [] if table.events is None else await storage.list_files(table_folder(tenant, table.events)):
            data = await storage.read(path)
            if (
                data is not None
                and (rewritten := await asyncio.to_thread(_forget_lines, data, table.user, users)) != data
            ):
                await storage.write(path, rewritten)
                changed += 1
    return changed


def _rewrite(data: bytes, table: LakeTable) -> bytes:
    return write_state(read_state(data, table), table)


def _forget_rows(data: bytes, table: LakeTable, users: set[str]) -> bytes:
    rows = read_state(data, table)
    left = forget_user(rows, table, users)
    return data if left.equals(rows) else write_state(left, table)


def _forget_lines(data: bytes, member: str, users: set[str]) -> bytes:
    if not any(user.encode() in data for user in users):
        return data
    lines = []
    for line in data.splitlines():
        row = _decode(line)
        if row.get(member) in users:
            row[member] = FORGOTTEN
            line = _encode(row)  # noqa: PLW2901 -- most lines stay as they are
        lines.append(line + b"\n")
    return b"".join(lines)
