"""The commands around the persistence server: `data` with its own commands."""

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

from clients.cli.display import duration_text
from clients.cli.orders import Sourced, decode_json, read_objects
from clients.cli.output import Output
from clients.cli.target import PERSISTENCE, target
from clients.cli.text import printable
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
Prefix = Annotated[str | None, Parameter(help="What the ids begin with; else all are listed.")]
Limit = Annotated[int | None, Parameter(validator=Number(gte=1), help="No more than so many.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What every command about the persistence server can be told."""

    server: Annotated[
        str | None, Parameter(name=["--server", "-s", "--host"], help="Name or address; else TCP_PERSIST_HOST.")
    ] = None
    port: Annotated[int | None, Parameter(alias="-p", help="The server's port; else TCP_PERSIST_PORT.")] = None
    output: Annotated[Path | None, Parameter(alias="-o", help="Write results to this file, one JSON line each.")] = None
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="One JSON line a result, also on a terminal.")
    ] = False
    uuid: Annotated[str | None, Parameter(help="Who asks, for the audit log.")] = None
    verbose: Annotated[bool, Parameter(alias="-v", negative="", help="Say what is done, on standard error.")] = False

    def client(self) -> PersistenceClient:
        """A client of the server that is meant."""
        where = target(self.server, self.port, PERSISTENCE)
        self.note(f"server {where.host} port {where.port}")
        return PersistenceClient(*where, uuid=self.uuid)

    def open(self) -> AbstractContextManager[TextIO]:
        """Where results go, for a block. Raises ClientError."""
        if self.output is None:
            return contextlib.nullcontext(sys.stdout)
        try:
            return self.output.open("w", encoding="utf-8")
        except OSError as error:
            raise ClientError(f"{self.output} cannot be written: {error.strerror}") from None

    def note(self, text: str) -> None:
        """Tells on standard error what is done, if asked to."""
        if self.verbose:
            sys.stderr.write(printable(text) + "\n")

    @property
    def for_people(self) -> bool:
        """Whether somebody reads the results on a terminal."""
        return self.output is None and not self.json and sys.stdout.isatty()

    def show(self, out: TextIO, result: Any) -> None:
        """Writes one result: names and values for people, a line of JSON for programs."""
        if self.for_people:
            Output(json=False).members(_flat(msgspec.to_builtins(result)))
            return
        out.write(_encode(result).decode() + "\n")
        out.flush()

    async def show_all(self, results: AsyncIterator[Any], limit: int | None, *, columns: Sequence[str]) -> int:
        """Writes results, no more than `limit`: as a table with these columns for people."""
        shown = 0
        table: list[dict[str, Any]] = []
        with self.open() as out:
            async for result in results:
                if self.for_people:
                    table.append(msgspec.to_builtins(result))
                else:
                    self.show(out, result)
                shown += 1
                if shown == limit:
                    break
        if self.for_people:
            Output(json=False).rows(table, shown=columns)
        self.note(f"{shown} results")
        return 0


_COMMON = Common()
_ENTRY_COLUMNS = ("number", "timestamp", "action", "record", "CPUid")


def _flat(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the members of a record beside its id and version."""
    rest = {name: value for name, value in result.items() if name != "data"}
    inner = result.get("data")
    return rest | inner if isinstance(inner, dict) else dict(result)


@data.command
async def get(record_id: AnyRecord = None, /, *, file: Input = None, common: Common = _COMMON) -> int:
    """Show records: one by its id, or those of a file whose objects have an id."""
    wanted = [record_id] if record_id is not None else [_id(item.members) for item in _items(file)]
    with common.open() as out:
        async with common.client() as client:
            for name in wanted:
                common.show(out, await client.get(name))
    return 0


@data.command(name="set")
async def set_records(
    record_id: AnyRecord = None,
    /,
    *members: Annotated[str, Parameter(help="NAME=VALUE: JSON where it can be read as JSON, else text.")],
    file: Input = None,
    common: Common = _COMMON,
) -> int:
    """Store records: one from NAME=VALUE words, or those of a file whose objects have an id."""
    items = _items(file) if record_id is None else [Sourced("", {"id": record_id, **dict(map(_member, members))})]
    with common.open() as out:
        async with common.client() as client:
            for item in items:
                record = {name: value for name, value in item.members.items() if name != "id"}
                try:
                    common.show(out, await client.set(_id(item.members), record))
                except Refused as refusal:
                    where = f"{item.where}: " if item.where else ""
                    raise ClientError(f"{where}{refusal.message}", hint=refusal.hint) from None
    return 0


@data.command
async def delete(record_id: Record, /, *, common: Common = _COMMON) -> int:
    """Remove a record. Exit status 1 when it was not there."""
    async with common.client() as client:
        deleted = await client.delete(record_id)
    with common.open() as out:
        common.show(out, {"id": record_id, "deleted": deleted})
    return 0 if deleted else 1


@data.command(name="list")
async def list_records(prefix: Prefix = None, /, *, limit: Limit = None, common: Common = _COMMON) -> int:
    """List records in the order of their ids."""
    async with common.client() as client:
        return await common.show_all(client.list(prefix), limit, columns=("id", "version", "data"))


@data.command
async def history(record_id: Record, /, *, limit: Limit = None, common: Common = _COMMON) -> int:
    """Show what was done to a record, newest first."""
    async with common.client() as client:
        return await common.show_all(client.history(record_id), limit, columns=_ENTRY_COLUMNS)


@data.command
async def logs(*, limit: Limit = 50, common: Common = _COMMON) -> int:
    """Show the audit log, newest first."""
    async with common.client() as client:
        return await common.show_all(client.logs(), limit, columns=_ENTRY_COLUMNS)


@data.command
async def verify(*, common: Common = _COMMON) -> int:
    """Prove that the audit log is whole. Exit status 1 when it is not."""
    async with common.client() as client:
        found = await client.verify_log()
    with common.open() as out:
        common.show(out, found)
    return 0 if found["valid"] else 1


@data.command
async def ping(*, common: Common = _COMMON) -> int:
    """Exit with 0 when the server answers."""
    async with common.client() as client:
        began = time.perf_counter()
        await client.ping()
        milliseconds = (time.perf_counter() - began) * 1000
    if common.for_people:
        Output(json=False).plain({}, f"answered in {duration_text(milliseconds)}")
    return 0


def _items(file: str | None) -> list[Sourced]:
    if file is None:
        raise WrongUsage("no record was named", hint="give its id, or --input FILE")
    return read_objects(file)


def _id(item: dict[str, Any]) -> str:
    found = item.get("id", item.get("ID"))
    if not isinstance(found, str):
        raise ClientError("an object has no id", hint='write {"id":"X",…}')
    return found


def _member(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not equals:
        raise WrongUsage(f"{word!r} is not NAME=VALUE", hint="as in: cp=3260")
    try:
        return name, decode_json(value.encode())
    except InvalidParams as error:
        # A number that is JSON, but more than any member can hold.
        raise WrongUsage(f"{name}: {error.message}", hint="quote it to store it as text: NAME='\"…\"'") from None
    except InvalidJson as error:
        if value.lstrip()[:1] in ("{", "["):
            # Meant as JSON: it would be a surprise as text.
            raise WrongUsage(
                f"{name}: {error.message}", hint="quote it for the shell, as in: data='{\"a\":1}'"
            ) from None
        return name, value
