"""The commands about the analytics lake: `sql`, and `lake` with its subcommands."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from clients.accounts.tenants import get_tenant
from clients.cli.output import Output, print_error, print_note
from clients.cli.targets import PERSISTENCE, read_setting, resolve_target
from clients.errors import ClientError, WrongUsage
from clients.lake.location import LakeLocation, resolve_location
from clients.lake.queries import LakeQueries, QueryLimits, QueryResult
from clients.lake.requests import LakeWork, list_requests, read_heartbeat, request_work
from clients.persistence import PersistenceClient
from shared.csv.results import export_results
from shared.domain.tenants import MAIN
from shared.lake.athena import describe_database

lake = App(name="lake", help="The analytics lake: its state, rebuilding, forgetting a person, tables for Athena.")

_POLL_SECONDS = 0.2

Tenant = Annotated[str, Parameter(help="The tenant whose tables are read.")]
Wait = Annotated[float, Parameter(validator=Number(gte=0, lte=86_400), help="Seconds to wait for it.")]


@Parameter(name="*")
@dataclass(frozen=True)
class LakeOptions:
    """Options of the commands that ask the lake's service."""

    tenant: Annotated[str, Parameter(help="The tenant.")] = MAIN
    host: Annotated[str | None, Parameter(help="The persistence server's name; else TCP_PERSIST_HOST.")] = None
    port: Annotated[int | None, Parameter(alias="-p", help="Its port; else TCP_PERSIST_PORT.")] = None
    json: Annotated[bool, Parameter(negative="", show_default=False, help="JSON lines, also on a terminal.")] = False

    @contextlib.asynccontextmanager
    async def open_records(self) -> AsyncIterator[PersistenceClient]:
        """Connects to the persistence server."""
        async with PersistenceClient(*resolve_target(self.host, self.port, PERSISTENCE)) as client:
            yield client


_OPTIONS = LakeOptions()


async def run_sql(
    query: Annotated[str, Parameter(allow_leading_hyphen=True, help="One SELECT; - reads it from standard input.")],
    /,
    *,
    tenant: Tenant = MAIN,
    form: Annotated[
        Literal["table", "csv", "json"] | None,
        Parameter(name="--format", help="Else a table on a terminal, and JSON lines otherwise."),
    ] = None,
) -> int:
    """Ask the analytics lake with one SELECT; docs/how-to/ask-the-lake.md lists its tables.

    It reads the files of this machine, or of the bucket of LAKE_URL.
    """
    text = sys.stdin.read() if query == "-" else query
    location = locate_lake()
    if location.bucket is None and not Path(location.root).exists():  # noqa: ASYNC240 -- nothing else runs
        raise ClientError(
            f"there is no lake in {location.root}", hint="LAKE=on fills it; DATA_DIR or LAKE_URL names it"
        )
    queries = LakeQueries(location, read_limits())
    try:
        result = await queries.run(tenant, text)
    finally:
        await queries.close()
    names = make_unique([column.name for column in result.columns])
    _print_result(result, names, form)
    if result.truncated:
        print_note(f"only the first {len(result.rows)} rows are shown")
    return 0


@lake.command(name="status")
async def show_status(*, options: LakeOptions = _OPTIONS) -> int:
    """Show whether the lake's service writes, and how far it is behind. Exit status 1 if it is away or cannot write."""
    async with options.open_records() as records:
        heard = await read_heartbeat(records)
    if heard is None:
        raise ClientError("no lake has been filled yet", hint="LAKE=on starts the service that does it")
    members = {"status": heard.status, **msgspec.to_builtins(heard.heartbeat), "heard_s": round(heard.age, 1)}
    Output(json=options.json).print_members(members)
    return 0 if heard.status == "ok" else 1


@lake.command(name="rebuild")
async def rebuild(*, wait: Wait = 600.0, options: LakeOptions = _OPTIONS) -> int:
    """Make all files of a tenant again: purchases and books from the records, the others from their events."""
    return await _ask_service(options, "rebuild", wait)


@lake.command(name="rewrite")
async def rewrite(*, wait: Wait = 600.0, options: LakeOptions = _OPTIONS) -> int:
    """Write all files of a tenant with today's columns, after an upgrade that has added some."""
    return await _ask_service(options, "rewrite", wait)


@lake.command(name="forget")
async def forget(
    user: Annotated[str, Parameter(help="The id of the user, or the name of a customer of orders.")],
    /,
    *,
    wait: Wait = 600.0,
    options: LakeOptions = _OPTIONS,
) -> int:
    """Remove a person from all files of a tenant: their rows stay, and name nobody."""
    if not user.strip():
        raise WrongUsage("a user is expected")
    return await _ask_service(options, "forget", wait, user)


@lake.command(name="ddl")
async def print_ddl(
    bucket: Annotated[str, Parameter(help="The bucket and prefix, as in LAKE_URL: s3://my-bucket/lake.")],
    /,
    *,
    tenant: Tenant = MAIN,
) -> int:
    """Print the statements that make the tables of a tenant known to Athena and Glue."""
    sys.stdout.write(describe_database(bucket, tenant))
    return 0


def locate_lake() -> LakeLocation:
    """Returns the place of the lake by the settings. Raises WrongUsage."""
    return resolve_location(
        read_setting("LAKE_URL", "") or None,
        read_setting("DATA_DIR", "data"),
        region=read_setting("AWS_REGION", "") or None,
        endpoint=read_setting("AWS_ENDPOINT_URL", "") or None,
    )


def read_limits() -> QueryLimits:
    """Returns the limits of a query by the settings. Raises WrongUsage."""
    limits = QueryLimits()
    settings = {
        "seconds": "SQL_SECONDS",
        "memory_mib": "SQL_MEMORY_MIB",
        "max_rows": "MAX_SQL_ROWS",
        "max_bytes": "MAX_SQL_BYTES",
    }
    for name, setting in settings.items():
        text = read_setting(setting, str(getattr(limits, name)))
        try:
            limits = limits._replace(**{name: type(getattr(limits, name))(text)})
        except ValueError:
            raise WrongUsage(f"{setting}={text} is not a number") from None
    return limits


def make_unique(names: Sequence[str]) -> list[str]:
    """Returns names of columns of which each is there once: the second `a` becomes `a_2`."""
    found: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in found:
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return found


def _print_result(result: QueryResult, names: Sequence[str], form: str | None) -> None:
    if form == "csv":
        sys.stdout.write(export_results(names, result.rows).decode())
        return
    rows: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in result.rows]
    output = Output(json=form == "json")
    if form == "table":
        output.json = False
    output.print_rows(rows)


async def _ask_service(options: LakeOptions, kind: LakeWork, wait: float, user: str = "") -> int:
    async with options.open_records() as records:
        await get_tenant(records, options.tenant)
        number = await request_work(records, kind, options.tenant, user)
        deadline = asyncio.get_running_loop().time() + wait
        while any(request.number == number for request in await list_requests(records)):
            if asyncio.get_running_loop().time() >= deadline:
                return print_error(
                    ClientError(
                        f"the lake's service has not done it after {wait:g} s; it will, once it runs",
                        hint="see whether it runs: python -m clients lake status",
                    )
                )
            await asyncio.sleep(_POLL_SECONDS)
    Output(json=options.json).print_members({"tenant": options.tenant, "done": kind})
    return 0
