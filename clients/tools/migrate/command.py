"""The command `migrate`: moves all data to another kind of store, and verifies it."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.cli.output import Output, print_error
from clients.errors import ClientError, WrongUsage
from clients.tools.migrate.migration import ProgressFile, StoreContents, begin_migration, copy_contents, read_contents
from clients.tools.migrate.open_stores import Kind, MigrationSettings, open_store
from shared.runtime.settings import load_settings

_MARK = "migration.json"


async def run_migration(
    *,
    source: Annotated[Kind, Parameter(name="--from", help="The kind of store that has everything.")],
    target: Annotated[Kind, Parameter(name="--to", help="The kind of store that is to have it.")],
) -> int:
    """Copy all orders, records, statistics and notifications to another kind of store; stop all servers before.

    The settings of the servers name the stores. Run an interrupted migration again to continue it. At the end both
    stores are read, and their counts and checksums compared.
    """
    if source == target:
        raise WrongUsage(f"both sides are {source}", hint="move from sqlite to dynamodb, or from dynamodb to sqlite")
    settings = load_settings(MigrationSettings, flags={}, environ=os.environ)
    file = ProgressFile(Path(settings.data_dir) / _MARK)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_store(source, settings) as giving, open_store(target, settings) as taking:
        mark = await begin_migration(giving, taking, (source, target), file)
        with Progress(*columns, console=Console(file=sys.stderr)) as progress:
            reading = progress.add_task(f"reading {source}", total=None)
            had = await read_contents(giving, lambda number: progress.advance(reading, number))
            total = had.orders + had.items + had.rows
            progress.update(reading, total=total)
            copying = progress.add_task(f"copying to {target}", total=total)
            await copy_contents(giving, taking, mark, file, had, lambda number: progress.advance(copying, number))
            progress.update(copying, completed=total)
            if mark.node is not None:
                await taking.orders.finish_transfer(mark.node, await giving.orders.last_given())
            checking = progress.add_task(f"reading {target}", total=total)
            has = await read_contents(taking, lambda number: progress.advance(checking, number))
            if had == has:
                await taking.carried.finish_transfer(mark.node, had.followed_sum)
    _print_contents({source: had, target: has})
    if had != has:
        return print_error(
            ClientError(
                "the two sides are not the same",
                hint=f"was a server running? empty {target}, remove {file.path}, and start again",
            )
        )
    file.remove_file()
    return 0


def _print_contents(ends: dict[str, StoreContents]) -> None:
    """Prints the contents of both stores, as a table on a terminal and in a pipe."""
    output = Output(json=False)
    output.json = False
    rows = []
    for name, found in ends.items():
        sums = {
            "orders": (found.orders, found.order_sum),
            "items": (found.items, found.item_sum),
            "other rows": (found.rows, found.row_sum),
        }
        rows += [
            {"store": name, "what": what, "count": count, "checksum": f"{total:032x}"}
            for what, (count, total) in sums.items()
        ]
    output.print_rows(rows)
