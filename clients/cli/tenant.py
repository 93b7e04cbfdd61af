"""The commands about tenants: `tenant` and its subcommands, which use the records of the persistence server."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from clients.accounts import tenants
from clients.accounts.tenants import StoredTenant
from clients.cli.output import Output, print_note
from clients.cli.targets import PERSISTENCE, resolve_target
from clients.errors import WrongUsage
from clients.persistence import PersistenceClient

tenant = App(name="tenant", help="Tenants: add, list and change them.")

_COLUMNS = ("tenant", "name", "currency", "active", "hosts")

Name = Annotated[str, Parameter(help="The tenant's name: a-z, 0-9 and -, at most 40.")]
Title = Annotated[str | None, Parameter(help="The name that people read.")]
Words = list[str] | None


@Parameter(name="*")
@dataclass(frozen=True)
class TenantOptions:
    """Options of the commands about tenants."""

    host: Annotated[str | None, Parameter(help="The persistence server's name; else TCP_PERSIST_HOST.")] = None
    port: Annotated[int | None, Parameter(alias="-p", help="Its port; else TCP_PERSIST_PORT.")] = None
    json: Annotated[bool, Parameter(negative="", show_default=False, help="JSON lines, also on a terminal.")] = False

    @contextlib.asynccontextmanager
    async def open_client(self) -> AsyncIterator[PersistenceClient]:
        """Connects to the selected persistence server."""
        async with PersistenceClient(*resolve_target(self.host, self.port, PERSISTENCE)) as client:
            yield client


@Parameter(name="*")
@dataclass(frozen=True)
class TenantSettings:
    """The settings of a tenant; None leaves one as it is. A list replaces the stored one; one empty text clears it."""

    currency: Annotated[str | None, Parameter(help="ISO 4217 code of all prices, such as ARS.")] = None
    exponent: Annotated[int | None, Parameter(help="Digits of the currency's minor unit.")] = None
    tax_rates: Annotated[Words, Parameter(name="--tax", negative="", help="CATEGORY=PERCENT; repeatable.")] = None
    prices_include_tax: Annotated[bool | None, Parameter(help="Whether prices include the tax.")] = None
    origins: Annotated[
        Words, Parameter(name="--origin", negative="", help="An origin whose pages may call the API; repeatable.")
    ] = None
    hosts: Annotated[
        Words, Parameter(name="--for-host", negative="", help="A host name whose requests are for it; repeatable.")
    ] = None
    limits: Annotated[Words, Parameter(name="--limit", negative="", help="GROUP=500/second; repeatable.")] = None

    def get_members(self) -> dict[str, Any]:
        """Returns the given settings by the names of `TenantRecord`. Raises WrongUsage."""
        members: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("tax_rates", "limits") and value is not None:
                members[field.name] = dict(_parse_pair(field.name, word) for word in value if word)
            elif isinstance(value, list):
                members[field.name] = [word for word in value if word]
            elif value is not None:
                members[field.name] = value
        return members


_OPTIONS = TenantOptions()
_SETTINGS = TenantSettings()


@tenant.command(name="add")
async def add_tenant(
    name: Name, /, title: Title = None, *, settings: TenantSettings = _SETTINGS, options: TenantOptions = _OPTIONS
) -> int:
    """Add a tenant."""
    members = settings.get_members() | ({} if title is None else {"name": title})
    async with options.open_client() as records:
        _print_tenant(options, await tenants.add_tenant(records, name, members))
    return 0


@tenant.command(name="set")
async def set_tenant(
    name: Name,
    /,
    *,
    title: Title = None,
    active: Annotated[bool | None, Parameter(help="Whether requests for it are answered.")] = None,
    settings: TenantSettings = _SETTINGS,
    options: TenantOptions = _OPTIONS,
) -> int:
    """Change settings of a tenant; the others stay as they are."""
    members = settings.get_members()
    members |= {} if title is None else {"name": title}
    members |= {} if active is None else {"active": active}
    if not members:
        raise WrongUsage("no setting was given", hint="tenant set --help lists them")
    async with options.open_client() as records:
        _print_tenant(options, await tenants.update_tenant(records, name, members))
    return 0


@tenant.command(name="show")
async def show_tenant(name: Name, /, *, options: TenantOptions = _OPTIONS) -> int:
    """Show a tenant with its settings."""
    async with options.open_client() as records:
        _print_tenant(options, await tenants.get_tenant(records, name))
    return 0


@tenant.command(name="list")
async def list_tenants(*, options: TenantOptions = _OPTIONS) -> int:
    """List all tenants by name."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    async with options.open_client() as records:
        while True:
            page = await tenants.list_tenants(records, cursor=cursor)
            rows += [msgspec.to_builtins(found.record) for found in page.tenants]
            for invalid in page.invalid:
                print_note(f"the record of {invalid} is not that of a tenant, and is left out")
            cursor = page.cursor
            if cursor is None:
                break
    Output(json=options.json).print_rows(rows, shown=_COLUMNS)
    return 0


def _print_tenant(options: TenantOptions, found: StoredTenant) -> None:
    Output(json=options.json).print_members({**msgspec.to_builtins(found.record), "version": found.version})


def _parse_pair(name: str, word: str) -> tuple[str, str]:
    """Returns name and value of NAME=VALUE. Raises WrongUsage."""
    left, equals, right = word.rpartition("=")
    if not (left and equals and right):
        example = "--tax books=10.5" if name == "tax_rates" else "--limit search=100/second"
        raise WrongUsage(f"{word!r} is not NAME=VALUE", hint=f"as in: {example}")
    return left, right
