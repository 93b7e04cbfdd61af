"""The commands about stock: `inventory` and its subcommands, which use the records of the persistence server."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.progress import Progress

from clients.cli.files import CHUNK_BYTES, DEFAULT_UPLOAD_BYTES, create_progress, name_source, open_source
from clients.cli.output import Output, print_error
from clients.cli.targets import PERSISTENCE, read_setting, resolve_target
from clients.errors import ClientError
from clients.inventory import imports, stock
from clients.inventory.heartbeat import HEARTBEAT_TIMEOUT_SECONDS, heartbeat_age
from clients.inventory.imports import Import
from clients.inventory.upload import Report, Upload
from clients.persistence import PersistenceClient
from shared.csv.export import HEAD, export_lines
from shared.domain.errors import InvalidParams
from shared.domain.stock import MAX_COUNT, ImportState, check_item, check_store
from shared.domain.tenants import MAIN
from shared.runtime.programs import server_command

inventory = App(name="inventory", help="Stock: upload files, list counts, undo imports.")

_EXPORT_ROWS = 1000
_LOOK_SECONDS = 0.5
_PARTIAL = "--partial takes the other rows"
_COLUMNS = ("id", "state", "rows", "applied", "name")

Store = Annotated[str, Parameter(help="The store's name.")]
AnyStore = Annotated[str | None, Parameter(help="One store's name; else all stores.")]
Item = Annotated[str, Parameter(help="The item's name.")]
ImportId = Annotated[str, Parameter(help="The import's id, which `inventory imports` lists.")]
NewCount = Annotated[int, Parameter(validator=Number(gte=0, lte=MAX_COUNT), help="The new count.")]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="The maximum number.")]


@Parameter(name="*")
@dataclass(frozen=True)
class StockOptions:
    """Options of the commands about stock."""

    host: Annotated[str | None, Parameter(help="The persistence server's name; else TCP_PERSIST_HOST.")] = None
    port: Annotated[int | None, Parameter(alias="-p", help="Its port; else TCP_PERSIST_PORT.")] = None
    json: Annotated[bool, Parameter(negative="", show_default=False, help="JSON lines, also on a terminal.")] = False
    tenant: Annotated[str, Parameter(help="The tenant whose stock it is.")] = MAIN

    @contextlib.asynccontextmanager
    async def open_client(self) -> AsyncIterator[PersistenceClient]:
        """Connects to the selected persistence server. Raises InvalidParams for an invalid tenant."""
        async with PersistenceClient(*resolve_target(self.host, self.port, PERSISTENCE)) as client:
            yield client.of(self.tenant)


_OPTIONS = StockOptions()


@inventory.command(name="upload")
async def upload_file(
    file: Annotated[str, Parameter(allow_leading_hyphen=True, help="A CSV file; - is standard input.")],
    /,
    *,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Show the changes, and make none.")
    ] = False,
    partial: Annotated[
        bool, Parameter(negative="", show_default=False, help="Take the valid rows of a file that has invalid ones.")
    ] = False,
    again: Annotated[
        bool, Parameter(negative="", show_default=False, help="Take a file that went in already.")
    ] = False,
    options: StockOptions = _OPTIONS,
) -> int:
    """Bring in a CSV file of store,item,count, and show every row that is wrong.

    Exit status 1 when a row is wrong, or the file went in already: without --partial or --again nothing of it is
    taken then. A --dry-run ends as the same command without it would.
    """
    output = Output(json=options.json)
    most = int(read_setting("MAX_UPLOAD_BYTES", DEFAULT_UPLOAD_BYTES))
    with open_source(file) as source, create_progress() as progress:
        async with options.open_client() as records:
            sent = Upload(
                records, name=name_source(file), source="cli", max_bytes=most, dry_run=dry_run, partial=partial
            )
            try:
                reading = progress.add_task("reading", total=None)
                while data := await asyncio.to_thread(source.read, CHUNK_BYTES):
                    await sent.feed(data)
                    progress.update(reading, completed=sent.rows)
                found = await sent.finish(again=again)
            except InvalidParams as error:
                progress.stop()
                if isinstance(report := error.details.get("report"), Report):
                    _show_faults(output, report)
                raise
            progress.update(reading, completed=sent.rows, total=sent.rows)
            if isinstance(found, Report):
                progress.stop()
                return _end_dry_run(output, found, partial=partial, again=again)
            found = await _wait_until_final(records, found, progress, "applying")
    report = sent.build_report()
    if report.faults and not output.json:
        _show_faults(output, report)
    output.print_rows([_import_members(found)], shown=_COLUMNS)
    if report.faults:
        return print_error(
            ClientError(f"{_format_count(report.faults, 'row')} not taken; {_format_count(report.rows, 'row')} taken")
        )
    return 0


@inventory.command(name="undo")
async def undo_import(import_id: ImportId, /, *, options: StockOptions = _OPTIONS) -> int:
    """Undo an import: reverts its changes of counts; sales in the meantime stay."""
    async with options.open_client() as records:
        found = await imports.undo_import(records, import_id)
        with create_progress() as progress:
            found = await _wait_until_final(records, found, progress, "taking back")
    Output(json=options.json).print_rows([_import_members(found)], shown=_COLUMNS)
    return 0


@inventory.command(name="imports")
async def list_imports(*, limit: Limit = 20, options: StockOptions = _OPTIONS) -> int:
    """List imports, newest first."""
    async with options.open_client() as records:
        page = await imports.list_imports(records, limit=limit, cursor=None)
    Output(json=options.json).print_rows([_import_members(found) for found in page.imports], shown=_COLUMNS)
    return 0


@inventory.command(name="list")
async def list_items(store: AnyStore = None, /, *, limit: Limit = 100, options: StockOptions = _OPTIONS) -> int:
    """List the stock of all stores, or of one."""
    async with options.open_client() as records:
        page = await stock.list_stock(records, store, limit=limit)
    shown = ("store", "item", "count", "changed")
    rows = [{name: stored.item.get(name) for name in shown} for stored in page.items if stored.item is not None]
    Output(json=options.json).print_rows(rows)
    return 0


@inventory.command(name="stores")
async def list_stores(*, limit: Limit = 100, options: StockOptions = _OPTIONS) -> int:
    """List stores with their sums."""
    async with options.open_client() as records:
        found, _ = await stock.list_stores(records, limit=limit, cursor=None)
    Output(json=options.json).print_rows([msgspec.to_builtins(one) for one in found])
    return 0


@inventory.command(name="set")
async def set_count(store: Store, item: Item, count: NewCount, /, *, options: StockOptions = _OPTIONS) -> int:
    """Set a count by hand."""
    async with options.open_client() as records:
        stored = await stock.set_count(records, check_store(store), check_item(item), count, version=None)
    assert stored.item is not None
    Output(json=options.json).print_rows(
        [{name: stored.item.get(name) for name in ("store", "item", "count", "changed")}]
    )
    return 0


@inventory.command(name="movements")
async def list_movements(store: Store, item: Item, /, *, limit: Limit = 20, options: StockOptions = _OPTIONS) -> int:
    """Show the changes of a count, newest first."""
    async with options.open_client() as records:
        found, _ = await stock.list_movements(records, store, item, limit=limit, cursor=None)
    Output(json=options.json).print_rows([msgspec.to_builtins(one) for one in found])
    return 0


@inventory.command(name="alerts")
async def list_alerts(*, limit: Limit = 100, options: StockOptions = _OPTIONS) -> int:
    """List low-stock alerts."""
    async with options.open_client() as records:
        found, _ = await stock.list_alerts(records, None, limit=limit, cursor=None)
    Output(json=options.json).print_rows([msgspec.to_builtins(one) for one in found])
    return 0


@inventory.command(name="acknowledge")
async def acknowledge_alert(store: Store, item: Item, /, *, options: StockOptions = _OPTIONS) -> int:
    """Mark an alert as seen."""
    async with options.open_client() as records:
        found = await stock.acknowledge_alert(records, store, item)
    Output(json=options.json).print_rows([msgspec.to_builtins(found)])
    return 0


@inventory.command(name="export")
async def export_stock(
    store: AnyStore = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o", help="Write to this file; else to standard output.")] = None,
    options: StockOptions = _OPTIONS,
) -> int:
    """Write the stock as CSV that is safe to open in a spreadsheet."""
    with _open_output(output) as out:
        await _write_stock(options, store, out)
    return 0


async def _write_stock(options: StockOptions, store: str | None, out: BinaryIO) -> None:
    async with options.open_client() as records:
        out.write(HEAD)
        rows: list[tuple[str, str, int]] = []
        async for row in stock.iterate_stock(records, store):
            rows.append(row)
            if len(rows) == _EXPORT_ROWS:
                out.write(export_lines(rows))
                rows = []
        out.write(export_lines(rows))
    out.flush()


def _open_output(file: Path | None) -> AbstractContextManager[BinaryIO]:
    """Returns the file, or standard output, which stays open. Raises ClientError."""
    if file is None:
        return contextlib.nullcontext(sys.stdout.buffer)
    try:
        return file.open("wb")
    except OSError as error:
        raise ClientError(f"{file} cannot be written: {error.strerror}") from None


async def _wait_until_final(records: PersistenceClient, found: Import, progress: Progress, description: str) -> Import:
    """Shows the progress of an import until it is final, and returns it. Raises ClientError without a service."""
    bar = progress.add_task(description, total=found.rows)
    while True:
        before = found.applied
        found = await imports.wait_for_import(records, found.id, seconds=_LOOK_SECONDS)
        done = found.rows - found.applied if found.state is ImportState.UNDOING else found.applied
        progress.update(bar, completed=done)
        if found.state in (ImportState.APPLIED, ImportState.UNDONE):
            return found
        if found.applied == before and (
            (beat := await heartbeat_age(records)) is None or beat > HEARTBEAT_TIMEOUT_SECONDS
        ):
            raise ClientError(
                f"import {found.id} is stored, and goes on as soon as the inventory service runs",
                hint=f"start it: {server_command('inventory')}",
            )


def _import_members(found: Import) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(found)
    return shown


def _show_faults(output: Output, report: Report) -> None:
    output.print_rows([msgspec.to_builtins(fault) for fault in report.fault_list], "faults")
    if report.faults > len(report.fault_list):
        output.print_result({"faults": report.faults}, f"… and {report.faults - len(report.fault_list)} more")


def _format_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{' is' if number == 1 else 's are'}"


def _end_dry_run(output: Output, report: Report, *, partial: bool, again: bool) -> int:
    """Prints the report of a dry run; returns the exit status that the upload would have."""
    _show_report(output, report)
    if report.faults and not partial:
        return print_error(
            ClientError(f"{_format_count(report.faults, 'row')} wrong: the file would be refused", hint=_PARTIAL)
        )
    if report.duplicate_of is not None and not again:
        reason = f"the very same file went in already: import {report.duplicate_of}"
        return print_error(ClientError(f"{reason}; it would be refused", hint="--again takes it again"))
    if report.faults:
        return print_error(ClientError(f"{_format_count(report.faults, 'row')} wrong and would not be taken"))
    return 0


def _show_report(output: Output, report: Report) -> None:
    """Prints the report of a dry run."""
    if output.json:
        output.print_result(report, "")
        return
    output.print_rows([msgspec.to_builtins(one) for one in report.preview or ()], "what would change")
    _show_faults(output, report)
    names = ("rows", "new", "changed", "same", "faults", "encoding", "delimiter", "duplicate_of")
    output.print_members({name: getattr(report, name) for name in names if getattr(report, name) is not None})
