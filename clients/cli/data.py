"""The commands about corporate data: `data` and its subcommands."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from clients.cli.display import format_duration
from clients.cli.order_input import LocatedObject, decode_json, read_objects
from clients.cli.output import Output
from clients.cli.targets import PERSISTENCE, resolve_target
from clients.cli.text import make_printable
from clients.errors import ClientError, Refused, WrongUsage
from clients.persistence import PersistenceClient
from shared.domain.errors import InvalidJson, InvalidParams

data = App(name="data", help="Corporate data, and the audit log of it.")

_encode = msgspec.json.Encoder(decimal_format="number").encode

Input = Annotated[
    str | None,
    Parameter(name=["--input", "-i"], allow_leading_hyphen=True, help="A file with JSON objects; - is standard input."),
]
Record = Annotated[str, Parameter(help="The record's id.")]
AnyRecord = Annotated[str | None, Parameter(help="The record's id.")]
Prefix = Annotated[str | None, Parameter(help="Prefix of the ids; else all are listed.")]
Limit = Annotated[int | None, Parameter(validator=Number(gte=1), help="The maximum number.")]


@Parameter(name="*")
@dataclass(frozen=True)
class PersistenceOptions:
    """Options of the commands about the persistence server."""

    server: Annotated[
        str | None, Parameter(name=["--server", "-s", "--host"], help="Name or address; else TCP_PERSIST_HOST.")
    ] = None
    port: Annotated[int | None, Parameter(alias="-p", help="The server's port; else TCP_PERSIST_PORT.")] = None
    output: Annotated[Path | None, Parameter(alias="-o", help="Write results to this file, one JSON line each.")] = None
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="One JSON line a result, also on a terminal.")
    ] = False
    uuid: Annotated[str | None, Parameter(help="The client's name in the audit log.")] = None
    verbose: Annotated[bool, Parameter(alias="-v", negative="", help="Report each step on standard error.")] = False

    def create_client(self) -> PersistenceClient:
        """Returns a client of the selected server."""
        where = resolve_target(self.server, self.port, PERSISTENCE)
        self.print_note(f"server {where.host} port {where.port}")
        return PersistenceClient(*where, uuid=self.uuid)

    def open_output(self) -> AbstractContextManager[TextIO]:
        """Opens the output file, or standard output, which stays open. Raises ClientError."""
        if self.output is None:
            return contextlib.nullcontext(sys.stdout)
        try:
            return self.output.open("w", encoding="utf-8")
        except OSError as error:
            raise ClientError(f"{self.output} cannot be written: {error.strerror}") from None

    def print_note(self, text: str) -> None:
        """Prints a line on standard error if `verbose` is set."""
        if self.verbose:
            sys.stderr.write(make_printable(text) + "\n")

    @property
    def is_interactive(self) -> bool:
        """Whether results go to a terminal."""
        return self.output is None and not self.json and sys.stdout.isatty()

    def write_result(self, out: TextIO, result: Any) -> None:
        """Writes one result: names and values on a terminal, else a line of JSON."""
        if self.is_interactive:
            Output(json=False).print_members(_flatten_record(msgspec.to_builtins(result)))
            return
        out.write(_encode(result).decode() + "\n")
        out.flush()

    async def write_results(self, results: AsyncIterator[Any], limit: int | None, *, columns: Sequence[str]) -> int:
        """Writes up to `limit` results: a table with `columns` on a terminal, else lines of JSON. Returns 0."""
        shown = 0
        table: list[dict[str, Any]] = []
        with self.open_output() as out:
            async for result in results:
                if self.is_interactive:
                    table.append(msgspec.to_builtins(result))
                else:
                    self.write_result(out, result)
                shown += 1
                if shown == limit:
                    break
        if self.is_interactive:
            Output(json=False).print_rows(table, shown=columns)
        self.print_note(f"{shown} results")
        return 0


_OPTIONS = PersistenceOptions()
_ENTRY_COLUMNS = ("number", "timestamp", "action", "record", "CPUid")


def _flatten_record(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a result with the members of its `data` next to its id and version."""
    rest = {name: value for name, value in result.items() if name != "data"}
    inner = result.get("data")
    return rest | inner if isinstance(inner, dict) else dict(result)


@data.command(name="get")
async def show_records(
    record_id: AnyRecord = None, /, *, file: Input = None, options: PersistenceOptions = _OPTIONS
) -> int:
    """Show records: one by its id, or those of a file whose objects have an id."""
    wanted = [record_id] if record_id is not None else [_get_record_id(item.members) for item in _read_records(file)]
    with options.open_output() as out:
        async with options.create_client() as client:
            for name in wanted:
                options.write_result(out, await client.get(name))
    return 0


@data.command(name="set")
async def set_records(
    record_id: AnyRecord = None,
    /,
    *members: Annotated[str, Parameter(help="NAME=VALUE: JSON where it can be read as JSON, else text.")],
    file: Input = None,
    options: PersistenceOptions = _OPTIONS,
) -> int:
    """Store records: one from NAME=VALUE words, or those of a file whose objects have an id."""
    items = (
        _read_records(file)
        if record_id is None
        else [LocatedObject("", {"id": record_id, **dict(map(_parse_member, members))})]
    )
    with options.open_output() as out:
        async with options.create_client() as client:
            for item in items:
                record = {name: value for name, value in item.members.items() if name != "id"}
                try:
                    options.write_result(out, await client.set(_get_record_id(item.members), record))
                except Refused as refusal:
                    where = f"{item.where}: " if item.where else ""
                    raise ClientError(f"{where}{refusal.message}", hint=refusal.hint) from None
    return 0


@data.command(name="delete")
async def delete_record(record_id: Record, /, *, options: PersistenceOptions = _OPTIONS) -> int:
    """Remove a record. Exit status 1 when it was not there."""
    async with options.create_client() as client:
        deleted = await client.delete(record_id)
    with options.open_output() as out:
        options.write_result(out, {"id": record_id, "deleted": deleted})
    return 0 if deleted else 1


@data.command(name="list")
async def list_records(prefix: Prefix = None, /, *, limit: Limit = None, options: PersistenceOptions = _OPTIONS) -> int:
    """List records in the order of their ids."""
    async with options.create_client() as client:
        return await options.write_results(client.list(prefix), limit, columns=("id", "version", "data"))


@data.command(name="history")
async def show_history(record_id: Record, /, *, limit: Limit = None, options: PersistenceOptions = _OPTIONS) -> int:
    """Show the audit log's entries about a record, newest first."""
    async with options.create_client() as client:
        return await options.write_results(client.history(record_id), limit, columns=_ENTRY_COLUMNS)


@data.command(name="logs")
async def show_log(*, limit: Limit = 50, options: PersistenceOptions = _OPTIONS) -> int:
    """Show the audit log, newest first."""
    async with options.create_client() as client:
        return await options.write_results(client.logs(), limit, columns=_ENTRY_COLUMNS)


@data.command(name="verify")
async def verify_log(*, options: PersistenceOptions = _OPTIONS) -> int:
    """Prove that the audit log is whole. Exit status 1 when it is not."""
    async with options.create_client() as client:
        found = await client.verify_log()
    with options.open_output() as out:
        options.write_result(out, found)
    return 0 if found["valid"] else 1


@data.command(name="ping")
async def ping_server(*, options: PersistenceOptions = _OPTIONS) -> int:
    """Exit with 0 when the server answers."""
    async with options.create_client() as client:
        began = time.perf_counter()
        await client.ping()
        milliseconds = (time.perf_counter() - began) * 1000
    if options.is_interactive:
        Output(json=False).print_result({}, f"answered in {format_duration(milliseconds)}")
    return 0


def _read_records(file: str | None) -> list[LocatedObject]:
    if file is None:
        raise WrongUsage("no record was named", hint="give its id, or --input FILE")
    return read_objects(file)


def _get_record_id(item: dict[str, Any]) -> str:
    found = item.get("id", item.get("ID"))
    if not isinstance(found, str):
        raise ClientError("an object has no id", hint='write {"id":"X",…}')
    return found


def _parse_member(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals:
        raise WrongUsage(f"{word!r} is not NAME=VALUE", hint="as in: cp=3260")
    try:
        return name, decode_json(value.encode())
    except InvalidParams as error:
        # A number that is valid JSON but out of range.
        raise WrongUsage(f"{name}: {error.message}", hint="quote it to store it as text: NAME='\"…\"'") from None
    except InvalidJson as error:
        if value.lstrip()[:1] in ("{", "["):
            # Probably meant as JSON, so it is not stored as text.
            raise WrongUsage(
                f"{name}: {error.message}", hint="quote it for the shell, as in: data='{\"a\":1}'"
            ) from None
        return name, value
