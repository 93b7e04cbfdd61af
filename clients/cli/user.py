"""The commands about accounts of users: `user` and its subcommands, which use the records of the persistence server."""

from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from clients.accounts import accounts, tenants
from clients.accounts.resets import INVITATION_SECONDS, link_to_reset, open_reset
from clients.cli.output import Output
from clients.cli.targets import read_gateway_url
from clients.cli.tenant import TenantOptions
from clients.persistence import PersistenceClient
from shared.domain.accounts import Account, Role, normalize_email
from shared.domain.errors import NotFound
from shared.domain.tenants import MAIN

user = App(name="user", help="Accounts of users: add, list and block them, give roles, and set passwords by links.")

_COLUMNS = ("email", "roles", "active", "first_name", "last_name", "user")

Email = Annotated[str, Parameter(help="The account's e-mail address.")]
Tenant = Annotated[str, Parameter(help="The tenant that the account belongs to.")]

_OPTIONS = TenantOptions()


@user.command(name="add")
async def add_user(
    email: Email,
    /,
    *,
    role: Annotated[Role, Parameter(help="What the account may do.")] = "customer",
    first_name: Annotated[str, Parameter(help="Else the part of the address before the @.")] = "",
    last_name: Annotated[str, Parameter(help="Else a hyphen.")] = "",
    tenant: Tenant = MAIN,
    options: TenantOptions = _OPTIONS,
) -> int:
    """Add an account, and show the link with which its owner sets the password within 24 hours."""
    address = normalize_email(email)
    account = accounts.build_account(address, first_name or address.partition("@")[0], last_name or "-", [role])
    reset = open_reset(tenant, account, seconds=INVITATION_SECONDS)
    async with options.open_client() as client:
        await tenants.get_tenant(client, tenant)
        await accounts.create_account(client.of(tenant), account, password_hash=None, also=[reset.action])
    _print_account(options, account, link=link_to_reset(read_gateway_url(), reset.token, account.roles))
    return 0


@user.command(name="list")
async def list_users(*, tenant: Tenant = MAIN, options: TenantOptions = _OPTIONS) -> int:
    """List all accounts of a tenant."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    async with options.open_client() as client:
        while True:
            page = await accounts.list_accounts(client.of(tenant), cursor=cursor)
            rows += [msgspec.to_builtins(account) for account in page.accounts]
            cursor = page.cursor
            if cursor is None:
                break
    Output(json=options.json).print_rows(sorted(rows, key=lambda row: str(row["email"])), shown=_COLUMNS)
    return 0


@user.command(name="role")
async def change_role(
    email: Email,
    role: Annotated[Role, Parameter(help="What the account may do.")],
    /,
    *,
    tenant: Tenant = MAIN,
    options: TenantOptions = _OPTIONS,
) -> int:
    """Give an account a role, in force within 10 seconds."""
    async with options.open_client() as client:
        records = client.of(tenant)
        found = await _find_account(records, email)
        _print_account(options, await accounts.change_account(records, found.user, roles=[role]))
    return 0


@user.command(name="reset")
async def reset_password(email: Email, /, *, tenant: Tenant = MAIN, options: TenantOptions = _OPTIONS) -> int:
    """Show a link that sets a new password within 24 hours. Until it is used, nothing changes."""
    async with options.open_client() as client:
        records = client.of(tenant)
        found = await _find_account(records, email)
        reset = open_reset(tenant, found, seconds=INVITATION_SECONDS)
        await records.transact([reset.action])
    _print_account(options, found, link=link_to_reset(read_gateway_url(), reset.token, found.roles))
    return 0


@user.command(name="block")
async def block_user(email: Email, /, *, tenant: Tenant = MAIN, options: TenantOptions = _OPTIONS) -> int:
    """Block an account: its sessions end within 10 seconds, and it cannot sign in."""
    return await _change_active(email, tenant, options, active=False)


@user.command(name="unblock")
async def unblock_user(email: Email, /, *, tenant: Tenant = MAIN, options: TenantOptions = _OPTIONS) -> int:
    """Let a blocked account sign in again."""
    return await _change_active(email, tenant, options, active=True)


async def _change_active(email: str, tenant: str, options: TenantOptions, *, active: bool) -> int:
    async with options.open_client() as client:
        records = client.of(tenant)
        found = await _find_account(records, email)
        _print_account(options, await accounts.change_account(records, found.user, active=active))
    return 0


async def _find_account(records: PersistenceClient, email: str) -> Account:
    found = await accounts.find_account(records, normalize_email(email))
    if found is None:
        raise NotFound(f"no account has the address {email}", field="email", hint="user list shows all; see --tenant")
    return found


def _print_account(options: TenantOptions, account: Account, *, link: str | None = None) -> None:
    members = msgspec.to_builtins(account)
    shown = {name: members[name] for name in _COLUMNS}
    Output(json=options.json).print_members(shown if link is None else {**shown, "link": link})
