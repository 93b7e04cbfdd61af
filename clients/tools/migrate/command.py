"""The command `migrate`: moves everything from one kind of store to the other, and proves that it is there."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.cli.output import Output, print_error
from clients.errors import ClientError, WrongUsage
from clients.tools.migrate.ends import Kind, MoveSettings, open_end
from clients.tools.migrate.move import Contents, MarkFile, begin, contents, copy
from shared.runtime.settings import load_settings

_MARK = "migration.json"


async def migrate(
    *,
    source: Annotated[Kind, Parameter(name="--from", help="The kind of store that has everything.")],
    target: Annotated[Kind, Parameter(name="--to", help="The kind of store that is to have it.")],
) -> int:
    """Copy all orders, records, statistics and notifications to another kind of store; stop every server before.

    Where the stores are is said by the settings of the servers. A move that was interrupted goes on when it is
    started again. In the end both sides are read, and their counts and checksums compared.
    """
    if source == target:
        raise WrongUsage(f"both sides are {source}", hint="move from sqlite to dynamodb, or from dynamodb to sqlite")
    settings = load_settings(MoveSettings, flags={}, environ=os.environ)
    file = MarkFile(Path(settings.data_dir) / _MARK)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_end(source, settings) as giving, open_end(target, settings) as taking:
        mark = await begin(giving, taking, (source, target), file)
        with Progress(*columns, console=Console(file=sys.stderr)) as progress:
            reading = progress.add_task(f"reading {source}", total=None)
            had = await contents(giving, lambda number: progress.advance(reading, number))
            total = had.orders + had.items + had.rows
            progress.update(reading, total=total)
            copying = progress.add_task(f"copying to {target}", total=total)
            await copy(giving, taking, mark, file, had, lambda number: progress.advance(copying, number))
            progress.update(copying, completed=total)
            if mark.node is not None:
                await taking.orders.finish_transfer(mark.node, await giving.orders.last_given())
            checking = progress.add_task(f"reading {target}", total=total)
            has = await contents(taking, lambda number: progress.advance(checking, number))
            if had == has:
                await taking.carried.finish_transfer(mark.node, had.followed_sum)
    _show({source: had, target: has})
    if had != has:
        return print_error(
            ClientError(
                "the two sides are not the same",
                hint=f"was a server running? empty {target}, remove {file.path}, and start again",
            )
        )
    file.remove()
    return 0


def _show(ends: dict[str, Contents]) -> None:
    """Prints what both sides hold, as a table on a terminal and into a pipe."""
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
