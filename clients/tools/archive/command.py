"""The commands `archive` and `compact`."""

import os
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clients.cli.output import Output
from clients.cli.times import parse_time, to_microseconds
from clients.errors import ClientError
from clients.tools.backup.file_copies import lower_priority
from clients.tools.backup.locations import load_locations, servers_stopped
from shared.stores.sqlite.archiver import Archiver
from shared.stores.sqlite.database import Writer, translate_errors

Json = Annotated[bool, Parameter(negative="", show_default=False, help="One JSON line, also on a terminal.")]


def archive_orders(
    *,
    before: Annotated[str, Parameter(help="A day, or a time: 2030-01-31 or 2030-01-31T08:00:00Z, in UTC.")],
    json: Json = False,
) -> int:
    """Move final orders that were received before a time to compressed files; the suite may run.

    The files are in DATA_DIR/archive, and their orders stay readable: `status ID`, `explain ID`, `list --archive`. A
    running intake deletes the archived rows; `compact` returns their space to the disk.
    """
    moment = parse_time(before, "--before")
    microseconds = to_microseconds(moment)
    locations = load_locations()
    if not locations.orders.orders.exists():
        raise ClientError(f"there are no orders in {locations.orders.orders}", hint="DATA_DIR and DB_PATH say where")
    lower_priority()
    archiver = Archiver(locations.orders)
    try:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
            task = progress.add_task("orders looked at", total=archiver.max_orders)
            archived = archiver.archive_before(microseconds, lambda orders: progress.advance(task, orders))
            kept = archiver.count_kept(microseconds)
    finally:
        archiver.close()
    output = Output(json=json)
    members = {"archived": archived, "before": before, "folder": str(locations.orders.archive), "kept": kept._asdict()}
    if output.json:
        output.print_members(members)
        return 0
    output.print_members({**members, "before": moment, "kept": kept.newer + kept.open + kept.with_request_id})
    output.print_rows(
        [
            {"kept": kept.newer, "because": f"received on {before} or later"},
            {"kept": kept.open, "because": "not final yet"},
            {"kept": kept.with_request_id, "because": "their request_id has not expired (REQUEST_ID_SECONDS)"},
        ]
    )
    return 0


def compact_files(*, json: Json = False) -> int:
    """Return the space of deleted rows to the disk; stop all servers before.

    Each file is rewritten, at about half a minute a GiB, and needs as much free space meanwhile.
    """
    locations = load_locations()
    sizes: dict[str, list[int]] = {}
    with servers_stopped(locations):
        for one in locations.store_files:
            if not one.path.exists():
                continue
            before = one.path.stat().st_size
            writer = Writer(one.path)
            with translate_errors(one.path):
                writer.connection.execute("VACUUM")
            writer.close()
            sizes[one.name] = [before, os.stat(one.path).st_size]
    output = Output(json=json)
    found = {name: {"bytes_before": was, "bytes": now} for name, (was, now) in sizes.items()}
    if output.json:
        output.print_members(found)
    else:
        output.print_rows([{"file": name, **of_file} for name, of_file in found.items()])
    return 0
