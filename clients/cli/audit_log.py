"""The command `audit-log`: entries of the audit logs of all servers of this machine."""

import heapq
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from clients.cli.output import Output
from clients.cli.times import parse_time, to_wire
from clients.errors import ClientError
from clients.tools.backup.locations import load_locations
from shared.stores.audit_log import FOLDER, KINDS, list_audit_files

_OWN_COLUMNS = ("at", "server", "user", "action")


def show_audit_log(
    *,
    kind: Annotated[
        Literal["access", "changes"] | None,
        Parameter(help="access: sign-ins, refusals, roles and keys; else all."),
    ] = None,
    user: Annotated[str | None, Parameter(help="Only entries of this user.")] = None,
    since: Annotated[str | None, Parameter(help="A day, or a time in UTC: 2030-01-31T08:00:00Z.")] = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000), help="The newest so many entries.")] = 100,
    json: Annotated[bool, Parameter(negative="", show_default=False, help="One JSON line each.")] = False,
) -> int:
    """Show who changed what, who signed in and who was refused: the newest entries, the newest last.

    Reads the files in DATA_DIR/audit on this machine. The gateway verifies names of users; those of requests to the
    TCP ports are claims of their clients.
    """
    folder = load_locations().data / FOLDER
    if not folder.is_dir():
        raise ClientError(f"there is no audit log in {folder}", hint="DATA_DIR says where; servers write it")
    moment = None if since is None else to_wire(parse_time(since, "--since"))
    entries = (
        entry
        for path in list_audit_files(folder, KINDS if kind is None else [kind])
        for entry in _read_entries(path)
        if (user is None or entry.get("user") == user) and (moment is None or entry["at"] >= moment)
    )
    output = Output(json=json)
    newest = sorted(heapq.nlargest(limit, entries, key=itemgetter("at")), key=itemgetter("at"))
    if output.json:
        for entry in newest:
            output.print_members(entry)
        return 0
    output.print_rows([_summarize_entry(entry) for entry in newest])
    return 0


def _read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the entries of a file; a line that a killed server left half-written is left out."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
                if "at" in entry:
                    yield entry
    except FileNotFoundError:
        # A server has removed it in the meantime.
        return
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}", hint="run this as the servers' user") from error


def _summarize_entry(entry: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in entry.items() if name not in _OWN_COLUMNS}
    return {
        **{name: entry.get(name, "") for name in _OWN_COLUMNS},
        "details": ", ".join(f"{name}={_format_detail(value)}" for name, value in rest.items()),
    }


def _format_detail(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
