"""Stored tenants and their settings: the records of the table `Tenants`, which belong to the tenant `main`."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

import msgspec

from clients.errors import Refused
from clients.persistence import PersistenceClient, StoredItem
from clients.shop.books import count_books
from shared.domain.errors import Conflict, InvalidParams, NotFound
from shared.domain.money import currency_exponent
from shared.domain.records import Condition
from shared.domain.tables import TENANTS
from shared.domain.tenants import MAIN, RESERVED_NAMES, TenantRecord, check_tenant_name
from shared.runtime.clock import iso_now
from shared.wire.strict_json import translate_error

_ATTEMPTS = 20
_PAGE = 1000
_FIXED = ("tenant", "created_at", "updated_at")


class StoredTenant(NamedTuple):
    """A tenant, and the version of its record."""

    record: TenantRecord
    version: int


class TenantPage(NamedTuple):
    """Tenants by name; `cursor` continues with the next page."""

    tenants: list[StoredTenant]
    cursor: str | None
    invalid: list[str]
    """Names of records that another client has written and that are no tenants."""


async def add_tenant(records: PersistenceClient, tenant: str, members: Mapping[str, Any]) -> StoredTenant:
    """Stores a new tenant with settings by the names of `TenantRecord`.

    Raises InvalidParams, and Conflict if there is a tenant of this name or one with one of the hosts.
    """
    record = build_tenant(tenant, members)
    await _check_hosts(records, record)
    try:
        stored = await records.of(MAIN).put_item(
            TENANTS.name, msgspec.to_builtins(record), when=Condition(exists=False)
        )
    except Refused as refusal:
        if refusal.error != "conflict":
            raise
        raise Conflict(
            f"there is a tenant {tenant} already", field="tenant", hint="tenant set changes its settings"
        ) from None
    return StoredTenant(record, stored.version)


def build_tenant(tenant: str, members: Mapping[str, Any]) -> TenantRecord:
    """Returns the record of a new tenant, by default named like its key. Raises InvalidParams."""
    if tenant in RESERVED_NAMES:
        raise InvalidParams(f"{tenant} is reserved", field="tenant", hint="choose another name")
    now = iso_now()
    fixed = {"tenant": check_tenant_name(tenant), "created_at": now, "updated_at": now}
    return _convert_record({"name": tenant, **_complete_currency(members), **fixed})


async def get_tenant(records: PersistenceClient, tenant: str) -> StoredTenant:
    """Returns one tenant. Raises NotFound, and InvalidParams for an invalid name."""
    stored = await records.of(MAIN).get_item(TENANTS.name, {"tenant": check_tenant_name(tenant)})
    if stored.item is None:
        raise NotFound(f"there is no tenant {tenant}", field="tenant", hint="tenant list shows all of them")
    return StoredTenant(_convert_record(stored.item), stored.version)


async def list_tenants(records: PersistenceClient, *, limit: int = _PAGE, cursor: str | None = None) -> TenantPage:
    """Returns a page of tenants by name."""
    page = await records.of(MAIN).query(TENANTS.name, "all", page_size=limit, cursor=cursor)
    found: list[StoredTenant] = []
    invalid: list[str] = []
    for stored in page.items:
        tenant = _read_stored(stored)
        if tenant is not None:
            found.append(tenant)
        elif stored.item is not None:
            invalid.append(str(stored.item.get("tenant")))
    return TenantPage(found, page.cursor, invalid)


async def iterate_tenants(records: PersistenceClient) -> AsyncGenerator[StoredTenant, None]:
    """Yields all tenants by name."""
    cursor: str | None = None
    while True:
        page = await list_tenants(records, cursor=cursor)
        for tenant in page.tenants:
            yield tenant
        cursor = page.cursor
        if cursor is None:
            return


async def update_tenant(records: PersistenceClient, tenant: str, members: Mapping[str, Any]) -> StoredTenant:
    """Changes settings of a tenant; those that `members` does not name stay as they are.

    Raises NotFound, InvalidParams, and Conflict if another tenant has one of the hosts, or if the digits of the
    currency change while there are books: their prices are whole numbers of its minor unit.
    """
    if tenant == MAIN and not members.get("active", True):
        raise InvalidParams(f"the tenant {MAIN} is that of the installation, and stays active", field="active")
    if fixed := next((name for name in _FIXED if name in members), None):
        raise InvalidParams(f"{fixed} cannot be changed", field=fixed)
    for _ in range(_ATTEMPTS):
        found = await get_tenant(records, tenant)
        if not members:
            return found
        changed = {**_complete_currency(members), "updated_at": iso_now()}
        record = _convert_record({**msgspec.to_builtins(found.record), **changed})
        await _check_hosts(records, record)
        if record.exponent != found.record.exponent:
            await _check_no_prices(records, found.record)
        try:
            stored = await records.of(MAIN).put_item(
                TENANTS.name, msgspec.to_builtins(record), when=Condition(version=found.version)
            )
        except Refused as refusal:
            if refusal.error != "conflict":
                raise
            await asyncio.sleep(0)
            continue
        return StoredTenant(record, stored.version)
    raise Conflict("other clients keep changing the tenant", field="tenant", hint="try again later")


async def _check_hosts(records: PersistenceClient, record: TenantRecord) -> None:
    """Raises Conflict if another tenant has one of the hosts. Two changes at once can both succeed."""
    if not record.hosts:
        return
    async for other in iterate_tenants(records):
        taken = set(record.hosts) & set(other.record.hosts)
        if taken and other.record.tenant != record.tenant:
            raise Conflict(
                f"the host {min(taken)} belongs to the tenant {other.record.tenant}",
                field="hosts",
                hint="a host leads to one tenant",
            )


def _complete_currency(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns settings in which a currency without `exponent` has its own (ISO 4217)."""
    if "currency" not in members or "exponent" in members:
        return members
    return {**members, "exponent": currency_exponent(members["currency"])}


async def _check_no_prices(records: PersistenceClient, record: TenantRecord) -> None:
    """Raises Conflict if the shop of a tenant has books. One that is added at the same moment is not seen."""
    books = await count_books(records.of(record.tenant))
    if books:
        raise Conflict(
            f"the prices of {books} books have {record.exponent} decimals",
            field="exponent",
            hint="keep the digits with --exponent, delete the books first, or add another tenant",
        )


def _convert_record(members: Mapping[str, Any]) -> TenantRecord:
    """Returns the tenant of these members. Raises InvalidParams."""
    if unknown := sorted(members.keys() - set(TenantRecord.__struct_fields__)):
        raise InvalidParams(
            f"a tenant has no setting {unknown[0]}",
            field=unknown[0],
            hint=f"settings: {', '.join(TenantRecord.__struct_fields__)}",
        )
    try:
        return msgspec.convert(dict(members), TenantRecord)
    except msgspec.ValidationError as error:
        raise translate_error(str(error), TenantRecord) from None


def _read_stored(stored: StoredItem) -> StoredTenant | None:
    """Returns a tenant as it is stored; None if another client has written something else."""
    try:
        return StoredTenant(msgspec.convert(stored.item, TenantRecord), stored.version)
    except msgspec.ValidationError:
        return None
